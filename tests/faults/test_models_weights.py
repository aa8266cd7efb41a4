"""Weights that are not ours: files alone, PyTorch's files, wrapped names, values no model has."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from interlace import DualEncoder, InterlaceError, load
from tests.backbone.families import FAMILIES, NATIVE, changed, of_open_clip

PICTO = Path(str(resources.files("interlace") / "data" / "datasets" / "picto" / "model"))
WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def fingerprint() -> str:
    return load("picto").fingerprint()


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return load_file(PICTO / WEIGHTS)


def bare(folder: Path, weights: str = "") -> Path:
    """Picto's folder, with other weights or none."""
    folder.mkdir(parents=True)
    for path in PICTO.iterdir():
        if path.name != WEIGHTS or not weights:
            shutil.copy(path, folder / path.name)
    return folder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Tensors of ``tiny``, an architecture that open_clip knows by name; heads are 16 wide."""
    stock = of_open_clip(NATIVE)
    configs = {"tiny": NATIVE, "tiny-quickgelu": {**NATIVE, "quick_gelu": True}}
    monkeypatch.setattr(open_clip, "list_models", lambda: list(configs))
    monkeypatch.setattr(open_clip, "get_model_config", configs.get)
    return dict(stock.model.state_dict())


class TestAFileAlone:
    def test_the_configuration_beside_it_counts(self, tmp_path: Path, fingerprint: str) -> None:
        folder = bare(tmp_path / "model")
        file, whole, picto = load(folder / WEIGHTS), load(folder), load("picto")
        assert file.spec == whole.spec == picto.spec
        assert file.preprocess == picto.preprocess
        assert file.fingerprint() == fingerprint
        images = torch.randn(2, 3, 48, 48)
        assert torch.equal(file.encode_image(images), picto.encode_image(images))
        ids = file.prompts(["cat"]).ids
        assert torch.equal(ids, whole.prompts(["cat"]).ids)
        assert load(file.source).spec == file.spec

    def test_heads_and_activation_are_never_guessed(self, tmp_path: Path) -> None:
        path = shutil.copy(PICTO / WEIGHTS, tmp_path / "weights.safetensors")
        for settings in ({}, {"activation": "gelu"}):
            with pytest.raises(InterlaceError, match="neither heads nor activation.*ViT-B-16:/"):
                load(path, **settings)

    def test_a_named_architecture_says_both(self, tiny: dict[str, Tensor], tmp_path: Path) -> None:
        torch.save(tiny, tmp_path / "x.pt")
        for name, activation in (("tiny", "gelu"), ("tiny-quickgelu", "quick_gelu")):
            for clip in (load(f"{name}:{tmp_path}/x.pt"), load(tmp_path / "x.pt", arch=name)):
                assert clip.spec.image.activation == clip.spec.text.activation == activation
                assert (clip.spec.image.heads, clip.spec.text.heads) == (3, 4)
                assert load(clip.source).spec == clip.spec
        other = load(f"tiny,gelu_tanh:{tmp_path}/x.pt")
        assert other.spec.image.activation == "gelu_tanh"
        assert load(other.source).spec == other.spec

    def test_an_activation_is_enough_where_one_architecture_has_these_sizes(
        self, tiny: dict[str, Tensor], tmp_path: Path
    ) -> None:
        save_file(tiny, tmp_path / "x.safetensors", metadata={"activation": "quick_gelu"})
        clip = load(tmp_path / "x.safetensors")
        assert (clip.spec.image.heads, clip.spec.image.activation) == (3, "quick_gelu")
        torch.save(tiny, tmp_path / "x.pt")
        with pytest.raises(InterlaceError, match="its sizes fit tiny, tiny-quickgelu"):
            load(tmp_path / "x.pt")

    def test_a_configuration_of_another_model_is_seen(self, tmp_path: Path) -> None:
        folder = bare(tmp_path / "model")
        config = json.loads((folder / "open_clip_config.json").read_text())
        config["model_cfg"]["vision_cfg"]["width"] = 256
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        with pytest.raises(InterlaceError, match=r"vision_cfg.width is 256.* tensors have 128"):
            load(folder)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("ViT-B16:{}", "unknown architecture 'ViT-B16'.*ViT-B-16"),
            ("ViT-B/16:{}", "did you mean ViT-B-16 or ViT-B-16-quickgelu"),
            ("RN50:{}", "a ResNet CLIP"),
            ("ViT-B-16:{}", "as ViT-B-16: vision_cfg.width is 768 and the tensors have 128"),
            ("ViT-B-16,relu:{}", "'relu': expected quick_gelu or gelu"),
            ("ViT-B-16:{}.pt", "no such weights file"),
        ],
    )
    def test_names_that_do_not_fit(self, name: str, words: str, tmp_path: Path) -> None:
        path = shutil.copy(PICTO / WEIGHTS, tmp_path / "weights.safetensors")
        with pytest.raises(InterlaceError, match=words):
            load(name.format(path))

    def test_openais_format_is_not_stretched_to_larger_towers(self) -> None:
        wide = changed(NATIVE, vision_cfg__width=1280, vision_cfg__head_width=80)
        state = of_open_clip(changed(wide, text_cfg__width=64, text_cfg__heads=1))
        with pytest.raises(InterlaceError, match="1280 wide is none of OpenAI's"):
            DualEncoder.from_openai_state_dict(state.model.state_dict())


class TestTorchFiles:
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda state: state,
            lambda state: {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}},
            lambda state: {"model": {f"_orig_mod.module.{k}": v for k, v in state.items()}},
            lambda state: {"model_state_dict": {f"model.{k}": v for k, v in state.items()}},
            lambda state: {"ema": {f"model._orig_mod.{k}": v for k, v in state.items()}},
            lambda state: {k.replace("visual.", "visual.module."): v for k, v in state.items()},
            lambda state: {**state, "epoch": 3},
            lambda state: {k: torch.nn.Parameter(v) for k, v in state.items()},
        ],
    )
    def test_what_training_wrapped_around_them(
        self, wrap: Any, tmp_path: Path, tensors: dict[str, Tensor], fingerprint: str
    ) -> None:
        folder = bare(tmp_path / "model", "own")
        torch.save(wrap(tensors), folder / "epoch_3.pt")
        assert load(folder).fingerprint() == fingerprint
        assert load(folder / "epoch_3.pt").fingerprint() == fingerprint

    @pytest.mark.parametrize("name", ["model.bin", "a.pth", "open_clip_pytorch_model.bin"])
    def test_endings_and_the_older_format(
        self, name: str, tmp_path: Path, tensors: dict[str, Tensor], fingerprint: str
    ) -> None:
        folder = bare(tmp_path / "model", "own")
        torch.save(tensors, folder / name, _use_new_zipfile_serialization=False)
        (folder / "training_args.bin").write_bytes(b"no weights")
        assert load(folder).fingerprint() == fingerprint

    def test_transformers_folder(self, tmp_path: Path) -> None:
        stock = FAMILIES["hf_clip"]()
        folder = stock.save(tmp_path / "model")
        expected = load(folder).fingerprint()
        (folder / "model.safetensors").unlink()
        torch.save(stock.model.state_dict(), folder / "pytorch_model.bin")
        assert load(folder).fingerprint() == expected

    def test_the_same_names_in_safetensors(
        self, tmp_path: Path, tensors: dict[str, Tensor], fingerprint: str
    ) -> None:
        folder = bare(tmp_path / "model", "own")
        save_file({f"module._orig_mod.{k}": v for k, v in tensors.items()}, folder / WEIGHTS)
        assert load(folder).fingerprint() == fingerprint

    def test_an_adapter_of_peft_is_told(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        folder = bare(tmp_path / "model", "own")
        part = "visual.transformer.resblocks.0.mlp.c_fc"
        for name in (f"{part}.base_layer.weight", f"{part}.lora_A.default.weight"):
            state = {**tensors, name: torch.ones(2)}
            torch.save({f"base_model.model.{k}": v for k, v in state.items()}, folder / "x.pt")
            with pytest.raises(InterlaceError, match="peft adapter: merge it first"):
                load(folder)
        (folder / "x.pt").unlink()
        (folder / "adapter_config.json").write_text("{}")
        with pytest.raises(InterlaceError, match="peft adapter and no model: merge it first"):
            load(folder)

    def test_two_of_one_name(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        folder = bare(tmp_path / "model", "own")
        torch.save({**tensors, "module.logit_scale": torch.tensor(1.0)}, folder / "x.pt")
        with pytest.raises(InterlaceError, match="'logit_scale' twice"):
            load(folder)


class Evil:
    def __reduce__(self) -> Any:
        return (Path.write_text, (Path("code_ran"), "x"))


def nested_tuples() -> bytes:
    """A dictionary whose key takes 2^60 steps to hash, in 300 bytes."""
    code = b"\x80\x02}K\x01K\x02\x86q\x00"
    for i in range(60):
        code += b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1])
    return code + b"K\x01s."


def archive(program: bytes, compress: int = zipfile.ZIP_STORED, **more: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compress) as out:
        for name, content in {"data.pkl": program, "version": b"3\n", **more}.items():
            out.writestr(f"archive/{name}", content)
    return file.getvalue()


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def scripted() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "objects": (lambda: saved({"state_dict": {}, "args": Path("x")}), "more than tensors.*pathlib"),
    "code": (lambda: saved({"x": Evil()}), "holds more than tensors"),
    "a pickle": (lambda: pickle.dumps({"x": Evil()}), "more than tensors|not be read|torch.save"),
    "hashes": (lambda: archive(nested_tuples()), "unfolds to more"),
    "old hashes": (lambda: nested_tuples(), "unfolds to more"),
    "a packed archive": (
        lambda: archive(b"\x80\x02}.", zipfile.ZIP_DEFLATED, **{"data/0": bytes(1 << 20)}),
        "packed or overlapping",
    ),
    "memory": (
        lambda: archive(b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R."),
        "more than tensors.*bytearray",
    ),
    "a storage by itself": (
        lambda: archive(b"\x80\x02ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R."),
        "more than tensors",
    ),
    "a program": (scripted, "TorchScript.*state_dict"),
    "no archive of torch": (lambda: archive(b"")[:-1] + b"x", "torch.save|read as a PyTorch"),
    "another zip": (lambda: archive(b"\x80\x02}.").replace(b"data.pkl", b"dota.pkl"), "data.pkl"),
    "nothing": (lambda: b"", "not a file that torch.save wrote"),
    "a list": (lambda: saved([torch.ones(2)]), "holds no state dict"),
    "no tensors": (lambda: saved({"state_dict": {"a": 1}}), "holds no state dict"),
    "names": (lambda: saved({1: torch.ones(2)}), "names of its tensors"),
    "spread": (
        lambda: saved({"logit_scale": torch.ones(1).expand(1 << 40)}),
        "fewer values than its shape says",
    ),
    "sparse": (lambda: saved({"x": torch.ones(2).to_sparse()}), "more than tensors|no ordinary"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_torch_file_that_is_not_opened(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, words = HOSTILE[kind]
    folder = bare(tmp_path / "model", "own")
    (folder / "x.pt").write_bytes(make())
    with pytest.raises(InterlaceError, match=words) as caught:
        load(folder)
    assert str(folder / "x.pt") in str(caught.value) and "\n" not in str(caught.value)
    assert not Path("code_ran").exists()


class TestValues:
    def _load(self, tmp_path: Path, state: dict[str, Tensor]) -> DualEncoder:
        folder = bare(tmp_path / "model", "own")
        save_file(state, folder / WEIGHTS)
        return load(folder)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_what_is_no_number(
        self, value: float, tmp_path: Path, tensors: dict[str, Tensor]
    ) -> None:
        name = "visual.transformer.resblocks.3.mlp.c_fc.weight"
        state = {**tensors, name: tensors[name].clone()}
        state[name][5, 7] = value
        with pytest.raises(InterlaceError, match=f"'{name}' holds values that are not finite"):
            self._load(tmp_path, state)

    def test_what_overflows_float32(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        state = {**tensors, "ln_final.bias": torch.full((128,), 1e300, dtype=torch.float64)}
        with pytest.raises(InterlaceError, match="'ln_final.bias' holds values that are not"):
            self._load(tmp_path, state)

    def test_large_values_are_numbers(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        state = {**tensors, "ln_final.bias": torch.full((128,), 3e38)}
        assert float(self._load(tmp_path, state).text.ln_final.bias[0]) == pytest.approx(3e38)

    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.uint8])
    def test_other_types(
        self, dtype: torch.dtype, tmp_path: Path, tensors: dict[str, Tensor]
    ) -> None:
        state = {**tensors, "ln_final.bias": torch.ones(128, dtype=dtype)}
        with pytest.raises(InterlaceError, match="'ln_final.bias' holds [a-z0-9]+ values"):
            self._load(tmp_path, state)

    @pytest.mark.parametrize("value", [1000.0, -50.0])
    def test_a_temperature_that_overflows(
        self, value: float, tmp_path: Path, tensors: dict[str, Tensor]
    ) -> None:
        with pytest.raises(InterlaceError, match="'logit_scale' is .*CLIP's is 4.6"):
            self._load(tmp_path, {**tensors, "logit_scale": torch.tensor(value)})

    def test_a_shape_without_a_place(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        with pytest.raises(InterlaceError, match="has shape"):
            self._load(tmp_path, {**tensors, "ln_final.bias": torch.ones(3, 128)})


class TestShards:
    @pytest.fixture
    def parts(self, tmp_path: Path) -> Path:
        stock = FAMILIES["hf_clip"]()
        stock.model.save_pretrained(tmp_path / "parts", max_shard_size="40KB")
        return tmp_path / "parts"

    def _index(self, parts: Path, change: Any) -> None:
        path = parts / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        change(index)
        path.write_text(json.dumps(index))

    @pytest.mark.parametrize(
        "place",
        [
            "../secret.safetensors",
            "/etc/passwd",
            "a/b.safetensors",
            "a\\b.safetensors",
            "x\0.safetensors",
            "config.json",
            3,
            None,
            ["a"],
            {"a": 1},
        ],
    )
    def test_a_place_outside_the_folder(self, place: Any, parts: Path) -> None:
        shutil.copy(PICTO / WEIGHTS, parts.parent / "secret.safetensors")
        self._index(parts, lambda index: index["weight_map"].update({"logit_scale": place}))
        with pytest.raises(InterlaceError, match="weight_map holds .* not a file name"):
            load(parts)

    def test_an_index_that_does_not_fit_its_shards(self, parts: Path) -> None:
        def swap(index: Any) -> None:
            names = sorted(set(index["weight_map"].values()))
            first = next(n for n, place in index["weight_map"].items() if place == names[0])
            index["weight_map"][first] = names[1]

        self._index(parts, swap)
        with pytest.raises(InterlaceError, match="against its index"):
            load(parts)

    @pytest.mark.parametrize("value", [None, {}, [], "x", 3])
    def test_no_map(self, value: Any, parts: Path) -> None:
        self._index(parts, lambda index: index.update(weight_map=value))
        with pytest.raises(InterlaceError, match="'weight_map' names no tensors"):
            load(parts)
