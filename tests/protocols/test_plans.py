"""What each protocol fits and scores, on picto and on tiny trees of benchmarks."""

from __future__ import annotations

import csv

import pytest

from interlace import protocols
from interlace.errors import InterlaceError
from interlace.protocols import CLEAN, Condition, Setting, domain_generalization
from interlace.protocols.cross_dataset import default_targets
from interlace.protocols.retrieval import Retrieval
from tests.data.trees import MAKERS, image_bytes

# those of retrieval have plans of their own kind: test_retrieval.py
NAMES = [name for name, own in protocols.PROTOCOLS.items() if not isinstance(own, Retrieval)]


def plan(name, data, **rest):
    return protocols.get(name).plan(Setting(data, **{"shots": 1, "seed": 1, **rest}))


def by_name(found):
    return {target.name: target for target in found.targets}


@pytest.mark.parametrize("name", NAMES)
def test_picto_takes_part_in_every_protocol(name):
    for condition in protocols.get(name).conditions():
        found = plan(name, "picto/activities", condition=condition)
        assert found.task.train and found.targets
        # what is trained or chosen on is scored nowhere
        used = {record.key for record in (*found.task.train, *found.task.val)}
        for target in found.targets:
            assert target.task.test
            assert used.isdisjoint(record.key for record in target.task.test)


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_is_drawn_again_as_it_was(name):
    first, second = (plan(name, "picto/activities", seed=3) for _ in range(2))
    assert first.task == second.task
    assert first.targets == second.targets
    assert plan(name, "picto/activities", seed=4).task.train != first.task.train


def test_an_unknown_protocol_is_named():
    with pytest.raises(InterlaceError, match="did you mean 'base_to_novel'"):
        protocols.get("base-to-nowel")
    assert protocols.get("base-to-novel").name == "base_to_novel"


def test_few_shot_scores_all_classes_as_seen():
    found = plan("few_shot", "picto/food-drink", shots=2)
    (target,) = found.targets
    assert (target.name, target.seen, target.task) == ("all", True, found.task)
    assert len(found.task.train) == 2 * len(found.task.classes)


def test_base_to_novel_halves_the_classes():
    found = plan("base_to_novel", "picto/activities")
    base, novel, joint = found.targets
    assert [t.name for t in found.targets] == ["base", "novel", "joint"]
    assert [t.seen for t in found.targets] == [True, False, False]
    assert found.task == base.task
    assert set(base.task.classes).isdisjoint(novel.task.classes)
    assert sorted(base.task.classes + novel.task.classes) == sorted(joint.task.classes)
    assert max(base.task.classes) < min(novel.task.classes)
    assert len(base.task.test) + len(novel.task.test) == len(joint.task.test)
    for target in found.targets:
        for record in target.task.test:
            assert 0 <= record.label < len(target.task.classes)


def test_cross_dataset_keeps_the_targets_classes_and_prompts(tmp_path):
    for name in ("dtd", "eurosat", "oxford_flowers"):
        MAKERS[name](tmp_path)
    found = plan(
        "cross_dataset", "dtd", root=tmp_path, targets=("eurosat", "oxford_flowers"), template="{}!"
    )
    targets = by_name(found)
    assert list(targets) == ["source", "eurosat", "oxford_flowers"]
    assert targets["source"].seen and not targets["eurosat"].seen
    assert found.task.template == "{}!"
    assert targets["eurosat"].task.template == "a centered satellite photo of {}."
    assert targets["oxford_flowers"].task.classes[0] == "pink primrose"


def test_cross_dataset_knows_the_other_data_sets():
    found = by_name(plan("cross_dataset", "picto/activities"))
    assert list(found) == [
        "source",
        "picto/animals-nature",
        "picto/food-drink",
        "picto/objects",
        "picto/subgroups",
        "picto/travel-places",
    ]
    published = default_targets(Setting("imagenet"))
    assert len(published) == 10 and "eurosat" in published and "imagenetv2" not in published
    # from another set, ImageNet itself is no target
    assert len(default_targets(Setting("eurosat"))) == 9


def test_of_the_suite_transfer_starts_from_the_one_set_made_for_it():
    for name in ("cross_dataset", "domain_generalization"):
        assert protocols.get(name).data_sets("suite") == ("suite/kinds",)
        assert len(protocols.get(name).data_sets("picto")) == 6
    assert len(protocols.get("few_shot").data_sets("suite")) == 11
    others = default_targets(Setting("suite/kinds"))
    assert len(others) == 10 and "suite/kinds" not in others
    variants = domain_generalization.default_targets(Setting("suite/kinds"))
    assert len(variants) == 4 and all(name.startswith("suite-shifts/") for name in variants)
    assert domain_generalization.default_targets(Setting("suite/signs")) == ()


def test_cross_dataset_from_own_images_needs_targets(photo_table):
    with pytest.raises(InterlaceError, match="--targets"):
        plan("cross_dataset", str(photo_table))


def test_imagenet_goes_to_its_variants(tmp_path):
    for name in ("imagenet", "imagenetv2", "imagenet-sketch", "imagenet-a", "imagenet-r"):
        MAKERS[name](tmp_path)
    found = by_name(plan("domain_generalization", "imagenet", root=tmp_path))
    assert list(found) == ["source", "imagenetv2", "imagenet-sketch", "imagenet-a", "imagenet-r"]
    assert not any(t.seen for name, t in found.items() if name != "source")
    # two of the variants have some of the classes only
    assert len(found["imagenet-a"].task.classes) == 2
    assert set(found["imagenet-a"].task.classes) < set(found["source"].task.classes)


def test_domain_generalization_refuses_other_classes(tmp_path):
    for name in ("imagenet", "dtd"):
        MAKERS[name](tmp_path)
    with pytest.raises(InterlaceError, match="cross_dataset is for that"):
        plan("domain_generalization", "imagenet", root=tmp_path, targets=("dtd",))


def test_domains_of_the_test_images_are_held_out():
    found = by_name(plan("domain_generalization", "picto/animals-nature"))
    assert list(found) == ["source", "fluent-3d", "fluent-flat", "fluent-hc"]
    for name, target in found.items():
        domains = {record.domain for record in target.task.test}
        if name == "source":
            assert target.seen and not domains & {"fluent-3d", "fluent-flat", "fluent-hc"}
        else:
            assert not target.seen and domains == {name}


@pytest.fixture
def photo_table(tmp_path):
    """A table of two classes in three domains, four images each, without parts."""
    rows, color = [], 0
    for label in ("cat", "dog"):
        for domain in ("photo", "sketch", "cartoon"):
            for i in range(4):
                color += 1
                name = f"{label}_{domain}_{i}.png"
                (tmp_path / name).write_bytes(image_bytes(color))
                rows.append({"path": name, "label": label, "domain": domain})
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "domain"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_own_domains_are_held_out_by_name(photo_table):
    found = plan("domain_generalization", str(photo_table), shots=2, targets=("sketch",))
    targets = by_name(found)
    assert {record.domain for record in found.task.train} <= {"photo", "cartoon"}
    assert len(targets["sketch"].task.test) == 8
    assert {record.domain for record in targets["source"].task.test} == {"photo", "cartoon"}
    with pytest.raises(InterlaceError, match="has no domain oil; it has cartoon, photo, sketch"):
        plan("domain_generalization", str(photo_table), targets=("sketch", "oil"))
    with pytest.raises(InterlaceError, match="--targets"):
        plan("domain_generalization", str(photo_table))


def test_images_of_ones_own_get_the_models_prompt(photo_table):
    own = plan("few_shot", str(photo_table), own_template="a drawing of {}")
    assert own.task.template == "a drawing of {}"
    known = plan("few_shot", "picto/activities", own_template="a {} of mine")
    assert known.task.template == "a drawing of {}"


def changed(kind, severity, data="picto/activities", **rest):
    return plan("robustness", data, condition=Condition(kind, severity), **rest).task


def test_label_noise_changes_the_share_it_says():
    clean = plan("robustness", "picto/activities", shots=2).task
    before = 0
    for share in (0.1, 0.2, 0.3):
        noisy = changed("label_noise", share, shots=2)
        wrong = {i for i, (a, b) in enumerate(zip(clean.train, noisy.train, strict=True)) if a != b}
        assert len(wrong) == round(share * len(clean.train))
        assert [r.key for r in noisy.train] == [r.key for r in clean.train]
        assert noisy.test == clean.test and noisy.val == clean.val
        # a larger share adds to a smaller one
        assert len(wrong) > before
        before = len(wrong)


def test_image_noise_is_on_training_images_alone():
    noisy = changed("image_noise", 0.2)
    assert {record.noise for record in noisy.train} == {0.2}
    assert {record.noise for record in (*noisy.val, *noisy.test)} == {0.0}


def test_imbalance_thins_out_by_the_ratio():
    task = changed("imbalance", 5, "picto/subgroups", shots=10)
    counts = [sum(r.label == label for r in task.train) for label in range(len(task.classes))]
    assert (max(counts), min(counts)) == (10, 2)
    even = plan("robustness", "picto/subgroups", shots=10).task
    assert set(task.train) < set(even.train)
    # never a class without an image
    few = changed("imbalance", 10, shots=2)
    assert {r.label for r in few.train} == set(range(len(few.classes)))


@pytest.mark.parametrize(("ratio", "base"), [(1, 43), (2, 57), (3, 64), (5, 71)])
def test_base_share(ratio, base):
    found = plan("robustness", "picto/activities", condition=Condition("base_share", ratio))
    # of 85 classes: ceil(85 * ratio / (ratio + 1))
    assert len(found.task.classes) == base
    assert [target.name for target in found.targets] == ["base", "novel", "joint"]


def test_prompts():
    assert changed("template", 2).template == "{}"
    assert changed("ensemble", 2).template == ("a photo of a {}.", "{}")
    with pytest.raises(InterlaceError, match="template=9"):
        changed("template", 9)
    with pytest.raises(InterlaceError, match="no condition 'fog'"):
        changed("fog", 1)


def test_typos_misspell_more_names_at_a_higher_rate():
    clean = plan("robustness", "picto/activities").task.classes
    wrong = []
    for rate in (0.05, 0.1, 0.2):
        names = changed("typos", rate).classes
        assert len(set(names)) == len(clean) and all(name.strip() for name in names)
        wrong.append(sum(a != b for a, b in zip(clean, names, strict=True)))
    assert 0 < wrong[0] < wrong[1] < wrong[2] <= len(clean)
    assert changed("typos", 0.1).classes == changed("typos", 0.1).classes
    assert changed("typos", 0.0).classes == clean


def test_the_conditions_of_other_protocols():
    assert protocols.get("few_shot").conditions() == (CLEAN,)
    kinds = {condition.kind for condition in protocols.get("robustness").conditions()}
    assert kinds == {
        "clean",
        "label_noise",
        "image_noise",
        "imbalance",
        "base_share",
        "template",
        "ensemble",
        "typos",
    }
