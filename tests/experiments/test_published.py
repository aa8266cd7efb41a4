"""The published presets and numbers are those of the method cards, and every one can be used."""

from __future__ import annotations

import math

import pytest
import yaml

from interlace import methods, protocols
from interlace.adaptation.presets import preset_name
from interlace.config import (
    TRAINING,
    TrainConfig,
    files,
    method_defaults,
    preset_names,
    read_packaged,
    resolve,
)
from interlace.data.datasets.benchmark_table import (
    BENCHMARKS,
    CROSS_DATASET_TARGETS,
    DOMAIN_GENERALIZATION_TARGETS,
    FEW_SHOT_DATA_SETS,
)
from interlace.data.datasets.retrieval_table import RETRIEVAL_BENCHMARKS
from interlace.errors import InterlaceError
from interlace.experiments.cell import CellSpec, run_cell
from interlace.experiments.grid import list_cells
from interlace.experiments.published import recipe, values
from interlace.experiments.reproduce import find
from tests.data import trees

ELEVEN = set(FEW_SHOT_DATA_SETS)
TARGETS = {
    "cross_dataset": set(CROSS_DATASET_TARGETS),
    "domain_generalization": set(DOMAIN_GENERALIZATION_TARGETS),
}
RETRIEVAL = {"retrieval", "ucdr", "uccdr", "udcdr"}
FILES = sorted(
    item.name.removesuffix(".yaml")
    for item in files("interlace").joinpath("configs", "presets", "published").iterdir()
)
BLOCKS = [(m, p) for m in FILES for p in read_packaged(f"presets/published/{m}.yaml")]
RESULTS = read_packaged("published_results.yaml")

# written by hand from the method cards: reg of MMRL; beta and reg of MMRL++
MMRL = {
    "stanford_cars": 7,
    "fgvc_aircraft": 6,
    "sun397": 6,
    "dtd": 6,
    "food101": 5,
    "oxford_flowers": 4,
    "ucf101": 3,
    "imagenet": 0.5,
    "caltech101": 0.5,
    "oxford_pets": 0.2,
    "eurosat": 0.01,
}
MMRLPP = {
    "imagenet": (0.9, 0.2),
    "fgvc_aircraft": (0.9, 2),
    "ucf101": (0.9, 3),
    "dtd": (0.9, 7),
    "oxford_pets": (0.7, 0.01),
    "stanford_cars": (0.7, 6),
    "caltech101": (0.6, 3),
    "sun397": (0.5, 3),
    "oxford_flowers": (0.4, 7),
    "eurosat": (0.2, 0.01),
    "food101": (0.1, 1),
}
MAIL = {
    "dtd": {"rank": 12, "lr": 2.5e-5},
    "food101": {"lr": 5e-6},
    "eurosat": {"optimizer": "sgd"},
    "imagenet": {"epochs": 5, "batch_size": 64},
    "sun397": {"batch_size": 64},
    "stanford_cars": {"crop_scale": 0.45},
    "oxford_pets": {"train_projections": False},
}


def settled(method, protocol, data, **settings):
    """What a method is run with under the published preset."""
    preset = f"published/{protocol}/{data}"
    return resolve(method, methods.parameters(method), settings, preset=preset)


def setting(config, name):
    return config.arguments[name] if name in config.arguments else getattr(config.train, name)


@pytest.mark.parametrize(("method", "protocol"), BLOCKS)
def test_every_block_can_be_used(method, protocol):
    block = recipe(method, protocol)
    retrieves = protocol in RETRIEVAL
    assert protocol in protocols.PROTOCOLS
    assert block.model == ("ViT-B-32:openai" if retrieves else "ViT-B-16:openai")
    assert "arXiv" in block.source or "github.com" in block.source
    assert block.shots and (block.seeds or retrieves)
    wanted = {"imagenet"} if protocol in TARGETS else ELEVEN
    assert set(block.data_sets) == (set(RETRIEVAL_BENCHMARKS) if retrieves else wanted)
    assert not block.targets or set(block.targets) == TARGETS[protocol]
    known = set(methods.parameters(method))
    for part in (block.all, *block.data_sets.values(), *block.targets.values()):
        assert set(part) <= {"method", "train"}
        assert set(part.get("method", {})) <= known
        assert set(part.get("train", {})) <= TRAINING
    for data in block.data_sets:
        config = settled(method, protocol, data)  # checks every value of training
        assert config.preset == f"published/{protocol}/{data}"
        for name, value in config.arguments.items():
            default = method_defaults(method).method[name]
            assert default is None or isinstance(value, type(default) | int | float), name


def test_the_defaults_are_the_published_few_shot_recipes():
    for method in FILES:
        if recipe(method, "few_shot") is None or recipe(method, "few_shot").rule:
            continue
        defaults, block = method_defaults(method), recipe(method, "few_shot").all
        plain = {**vars(TrainConfig()), **defaults.train}
        for name, value in block.get("train", {}).items():
            if name == "drop_last":  # the one known difference: our default trains on every shot
                assert value is True and plain[name] is False
                continue
            assert plain[name] == value, f"{method}: {name}"
        for name, value in block.get("method", {}).items():
            assert defaults.method[name] == value, f"{method}: {name}"


@pytest.mark.parametrize("protocol", ["few_shot", "base_to_novel"])
def test_values_of_the_cards(protocol):
    assert set(MMRL) == set(MMRLPP) == ELEVEN
    for data, reg in MMRL.items():
        arguments = settled("mmrl", protocol, data).arguments
        assert arguments["reg"] == reg
        assert arguments["dim"] == (2048 if data == "eurosat" else 512)
    for data, (beta, reg) in MMRLPP.items():
        arguments = settled("mmrl++", protocol, data).arguments
        assert (arguments["beta"], arguments["reg"], arguments["dim"]) == (beta, reg, 512)
    plain = {"rank": 32, "train_projections": True, "lr": 1.5e-5, "epochs": 10, "batch_size": 4}
    plain |= {"optimizer": "adamw", "crop_scale": 0.5, "warmup_epochs": 0}
    for data in ELEVEN:
        config = settled("mail", protocol, data)
        for name, value in (plain | MAIL.get(data, {})).items():
            assert setting(config, name) == value, f"{data}: {name}"


def test_training_of_each_protocol():
    def length(method, protocol, data):
        train = settled(method, protocol, data).train
        return train.batch_size, train.epochs, train.lr

    assert length("mmrl", "base_to_novel", "eurosat") == (4, 10, 1e-3)
    assert length("mmrl", "base_to_novel", "imagenet") == (32, 5, 1e-3)
    assert length("mmrl", "few_shot", "eurosat") == (32, 50, 1e-3)
    assert length("mmrl++", "base_to_novel", "dtd") == (4, 10, 1e-3)
    assert length("mmrl++", "few_shot", "dtd") == (32, 100, 2e-3)
    assert length("mmrl", "cross_dataset", "imagenet") == (32, 1, 1e-3)
    # with a warm-up epoch, the only epoch would be at 1e-5
    assert settled("mmrl", "cross_dataset", "imagenet").train.warmup_epochs == 0
    assert settled("mmrl", "cross_dataset", "imagenet").arguments["reg"] == 0.2
    assert settled("mmrl++", "domain_generalization", "imagenet").arguments["reg"] == 0.1


@pytest.mark.parametrize("protocol", sorted(RETRIEVAL))
def test_retrieval_as_mail_was_published(protocol):
    for data, epochs, batch in (("domainnet", 1, 60), ("sketchy", 20, 24), ("tuberlin", 20, 24)):
        config = settled("mail", protocol, data)
        assert config.arguments == {"rank": 8, "train_projections": True}
        train = config.train
        assert (train.optimizer, train.lr, train.weight_decay) == ("adam", 2e-4, 5e-4)
        assert (train.batch_size, train.epochs, train.objective) == (batch, epochs, "retrieve")
        assert train.groups and (train.temperature, train.margin) == (0.07, 0.5)


@pytest.mark.parametrize("protocol", ["few_shot", "base_to_novel"])
def test_mail_is_reproduced_with_its_own_prompts(protocol):
    cells = find(f"mail/{protocol}").cells(
        sorted(ELEVEN), "ViT-B-16:openai", seeds=[1], shots=[16], settings={}
    )
    own = {cell.data: cell.template for cell in cells if cell.template}
    assert own == {
        "imagenet": "a photo of a {}.",
        "caltech101": "a drawing of a {}.",
        "oxford_pets": "an awesome animal pet photo of a {}.",
        "stanford_cars": "a photo of my {}.",
        "oxford_flowers": "a flower photo of a {}.",
        "food101": "a yummy food photo of a {}.",
        "fgvc_aircraft": "a brand aircraft of a {}.",
        "sun397": "an awesome large-scale scene photo of a {}.",
        "dtd": "a beautiful texture drawing of a {}.",
        "eurosat": "a photo of a {}, , a type of centered satellite",
        "ucf101": "a photo of a {}, a type of action.",
    }
    assert {cell.data for cell in cells} == ELEVEN == set(own)
    assert not [m for m, p in BLOCKS if recipe(m, p).templates and m != "mail"]
    others = find(f"mmrl/{protocol}").cells(["dtd"], "ViT-B-16:openai", [1], [16], {})
    assert [cell.template for cell in others] == [None]


def test_recipes_of_dassl_drop_the_last_batch():
    dropping = {(m, p) for m, p in BLOCKS if recipe(m, p).all.get("train", {}).get("drop_last")}
    dassl = {"mmrl", "mmrl++", "mail", "coop", "maple", "clip_adapter"}
    assert dropping == {(m, p) for m, p in BLOCKS if m in dassl and p not in RETRIEVAL}


def test_steps_of_clip_lora_are_the_same_on_every_data_set():
    for data in ELEVEN:
        classes = BENCHMARKS[data].totals.classes
        whole = settled("clip_lora", "few_shot", data)
        half = settled("clip_lora", "base_to_novel", data)
        assert whole.train.epochs == round(16_000 / classes)
        assert half.train.epochs == round(16_000 / math.ceil(classes / 2))
        assert whole.tuned is None  # a rule chose it, nobody chose it for this data set


def test_beta_by_target_is_kept_and_takes_no_part():
    beta = {t: c["method"]["beta"] for t, c in recipe("mmrl++", "cross_dataset").targets.items()}
    assert (beta["oxford_pets"], beta["dtd"], beta["eurosat"]) == (0.6, 0.5, 0.3)
    beta = recipe("mmrl++", "domain_generalization").targets
    assert beta["imagenet-sketch"] == {"method": {"beta": 0.7}}
    assert settled("mmrl++", "cross_dataset", "imagenet").arguments["beta"] == 0.9
    assert not [b for b in BLOCKS if b[0] != "mmrl++" and recipe(*b).targets]


def test_tuned_is_the_source_where_values_of_the_data_set_acted():
    source = recipe("mmrl", "few_shot").source
    assert settled("mmrl", "few_shot", "eurosat").tuned == source
    assert settled("mmrl", "few_shot", "eurosat", dim=8, epochs=1).tuned == source  # reg acts still
    assert settled("mmrl", "few_shot", "eurosat", dim=8, reg=1.0).tuned is None
    assert settled("mail", "base_to_novel", "ucf101").tuned is None  # as all data sets
    assert settled("mmrl", "cross_dataset", "imagenet").tuned is None
    for preset in (None, "picto"):
        assert resolve("mmrl", methods.parameters("mmrl"), {}, preset=preset).tuned is None


def test_what_is_not_published_takes_the_defaults_and_says_so():
    for method, protocol, data in (
        ("mmrl", "few_shot", "imagenetv2"),
        ("mmrl", "robustness", "eurosat"),
        ("multimodal_adapter", "few_shot", "eurosat"),
        ("mail++", "few_shot", "eurosat"),
    ):
        config = settled(method, protocol, data)
        assert (config.preset, config.tuned) == (None, None)
        assert config == resolve(method, methods.parameters(method), {})


@pytest.mark.parametrize("preset", ["pictoo", "published", "published/few_shot", "published/a/b/c"])
def test_a_preset_that_is_none_is_refused(preset):
    with pytest.raises(InterlaceError, match="preset"):
        resolve("mmrl", methods.parameters("mmrl"), {}, preset=preset)
    if preset != "published":
        with pytest.raises(InterlaceError, match="picto, picto-retrieval, published"):
            list_cells("few_shot", ["eurosat"], ["mmrl"], [1], [1], preset=preset)


def test_the_preset_for_retrieval_has_every_method_that_edits_images():
    preset = read_packaged("presets/picto-retrieval.yaml")
    assert set(preset) == {"clip_lora", "maple", "mail", "mail++", "mmrl", "mmrl++"}
    for method in preset:
        known = methods.parameters(method)
        assert resolve(method, known, {}, preset="picto-retrieval").train.groups


def test_the_folder_of_published_presets_is_no_preset():
    assert preset_names() == ["picto", "picto-retrieval"]


def test_preset_names_of_data_sets(tmp_path, monkeypatch):
    monkeypatch.delenv("INTERLACE_DATA", raising=False)
    assert preset_name("few_shot", "EuroSAT") == "published/few_shot/eurosat"
    assert preset_name("few_shot", "DescribableTextures") == "published/few_shot/dtd"
    assert preset_name("few_shot", "picto/food-drink") is None
    assert preset_name("ucdr", "domainnet:sketch") == "published/ucdr/domainnet"
    assert preset_name("uccdr", "TU-Berlin") == "published/uccdr/tuberlin"
    assert preset_name("ucdr", "picto/retrieval:symbola") is None
    (tmp_path / "eurosat").mkdir()
    monkeypatch.chdir(tmp_path)
    assert preset_name("few_shot", "eurosat") is None  # a folder of the user's own
    assert preset_name("few_shot", "eurosat", tmp_path) == "published/few_shot/eurosat"


@pytest.mark.parametrize(("preset", "tuned"), [("published", True), ("auto", False)])
def test_the_record_of_a_cell_says_whether_it_was_tuned(tmp_path, preset, tuned):
    trees.split_json(tmp_path, "eurosat")
    spec = CellSpec("base_to_novel", "EuroSAT", "mmrl", 1, 1, {"epochs": 0}, preset=preset)
    spec = CellSpec.from_dict({**spec.to_dict(), "settings": {"epochs": 0, "dim": 8}})
    record = run_cell(spec, root=tmp_path, device="cpu")
    assert record["error"] is None
    source = recipe("mmrl", "base_to_novel").source
    assert record["tuned"] == record["run"]["tuned"] == (source if tuned else None)
    usual = resolve("mmrl", methods.parameters("mmrl"), {}, preset="picto").arguments["reg"]
    assert record["run"]["arguments"]["reg"] == (0.01 if tuned else usual) and usual != 0.01
    assert record["run"]["preset"] == ("published/base_to_novel/eurosat" if tuned else "picto")


def value(method, protocol, data, measure, shots=16):
    """The published values of a cell by their kind and the value."""
    found = values(method, protocol)
    wanted = (data, measure, shots)
    return [v.value for v in found if (v.data, v.measure, v.shots) == wanted]


def test_published_numbers_of_the_notes():
    assert value("mmrl", "base_to_novel", "eurosat", "novel") == [80.17, 72.33]
    assert value("mmrl", "base_to_novel", "average", "HM") == [81.20, 80.72, 80.83]
    assert value("mmrl", "base_to_novel", "sun397", "base") == [83.07]  # the re-run's alone
    assert value("mmrl++", "base_to_novel", "eurosat", "novel") == [84.17]
    assert value("zero_shot", "base_to_novel", "average", "HM") == [71.70]
    assert value("mmrl", "cross_dataset", "imagenet", "accuracy") == [72.03]
    assert value("mmrl", "domain_generalization", "imagenet-a", "accuracy") == [51.20]
    assert value("clip_lora", "few_shot", "average", "accuracy", 4) == [77.32]
    assert value("linear_probe", "few_shot", "average", "accuracy", 1) == [45.77]
    assert values("mail", "base_to_novel") == values("mmrl", "few_shot") == ()


def test_nothing_that_is_not_to_be_used():
    text = files("interlace").joinpath("configs", "published_results.yaml").read_text("utf-8")
    for number in ("84.85", "77.62", "81.08", "84.31", "76.91", "80.44"):  # synthetic
        assert number not in text
    assert not {"oxford_pets", "sun397", "ucf101"} & {
        v.data for v in values("mmrl", "base_to_novel") if "DiscoVL" in v.source
    }


@pytest.mark.parametrize("entry", RESULTS, ids=lambda e: f"{e['method']}/{e['protocol']}")
def test_every_entry_is_whole(entry):
    assert set(entry) <= {
        *("method", "protocol", "kind", "source", "caution", "cautions", "shots"),
        *("columns", "values"),
    }
    methods.get(entry["method"])
    assert entry["protocol"] in protocols.PROTOCOLS and entry["source"]
    assert entry["kind"] in ("paper", "quoted", "independent re-run", "derived")
    assert set(entry["values"]) <= set(BENCHMARKS) | {"average"}
    assert set(entry.get("cautions", {})) <= set(entry["values"])
    halves = entry["protocol"] == "base_to_novel"
    assert entry["columns"] in (
        [["base", "novel", "HM"], ["base", "novel"]] if halves else [["accuracy"]]
    )
    width = len(entry["columns"]) * len(entry.get("shots", [16]))
    for row in entry["values"].values():
        assert len(row) == width and all(10 < number < 100 for number in row)


def test_published_numbers_agree_with_themselves():
    """A slip of the pen shows: HM of base and novel, averages of the rows."""
    for entry in RESULTS:
        if entry["columns"] == ["base", "novel", "HM"]:
            for data, (base, novel, harmonic) in entry["values"].items():
                if "HM" in entry.get("cautions", {}).get(data, ""):
                    continue  # the source disagrees with itself, and its caution says so
                assert 2 * base * novel / (base + novel) == pytest.approx(harmonic, abs=0.011)
    for method, protocol in (
        ("mmrl", "cross_dataset"),
        *((m, "domain_generalization") for m in ("zero_shot", "coop", "maple", "mmrl")),
    ):
        own = {v.data: v.value for v in values(method, protocol)}
        of_targets = [own[target] for target in TARGETS[protocol]]
        assert sum(of_targets) / len(of_targets) == pytest.approx(own["average"], abs=0.011)
    for method, derived in (("mmrl", (85.71, 76.28)), ("mmrl++", (85.43, 77.79))):
        again = [v for v in values(method, "base_to_novel") if v.kind == "independent re-run"]
        for measure, average in zip(("base", "novel"), derived, strict=True):
            rows = {v.data: v.value for v in again if v.measure == measure}
            assert set(rows) == ELEVEN
            assert sum(rows.values()) / 11 == pytest.approx(average, abs=0.006)


def test_no_key_stands_twice():
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader, node):
        keys = [loader.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: {keys}"
        return loader.construct_mapping(node, deep=True)

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    folder = files("interlace").joinpath("configs")
    for name in ("published_results.yaml", *(f"presets/published/{m}.yaml" for m in FILES)):
        yaml.load(folder.joinpath(name).read_text("utf-8"), Strict)
