"""What is saved is an ordinary checkpoint: the stock library loads it and computes the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from transformers import CLIPImageProcessor, CLIPModel, SiglipImageProcessor, SiglipModel

from interlace import DualEncoder, InterlaceError, load
from interlace.backbone.preprocess import Preprocess
from tests.backbone.families import FAMILIES, Stock, inputs
from tests.models import tiny

TOLERANCE = {"atol": 1e-5, "rtol": 0}

#: Families by the formats that can hold them.
BOTH = [
    *("native_gelu", "native_quick_gelu", "native_custom_text", "hf_clip", "hf_clip_legacy_eos"),
    *("timm_siglip", "timm_siglip2", "hf_siglip_gelu"),
]
OPEN_CLIP = ["native_variants", "native_sigmoid", "timm_gap", "timm_projected"]
HF = ["hf_siglip"]


def stock_of(folder: Path, format: str, clip: bool) -> Stock:
    if format == "open_clip":
        model = open_clip.create_model_from_pretrained(
            f"local-dir:{folder}", return_transform=False
        )
    else:
        model = (CLIPModel if clip else SiglipModel).from_pretrained(folder)
    return Stock(model.eval(), {})


@pytest.mark.parametrize(
    ("family", "format"),
    [
        *((family, format) for family in BOTH for format in ("open_clip", "hf")),
        *((family, "open_clip") for family in OPEN_CLIP),
        *((family, "hf") for family in HF),
    ],
)
def test_stock_library_loads_what_we_save(family: str, format: str, tmp_path: Path) -> None:
    ours = load(FAMILIES[family]().save(tmp_path / "stock"))
    folder = ours.save(tmp_path / "ours", format=format)
    stock = stock_of(folder, format, ours.spec.image.class_token)
    again = load(folder)
    images, ids = inputs()
    with torch.no_grad():
        torch.testing.assert_close(stock.image(images), ours.encode_image(images), **TOLERANCE)
        torch.testing.assert_close(stock.text(ids), ours.encode_text(ids), **TOLERANCE)
        torch.testing.assert_close(stock.logits(images, ids), ours(images, ids), **TOLERANCE)
    assert again.fingerprint() == ours.fingerprint()
    assert again.spec == ours.spec


def test_saving_keeps_preprocess_and_template(tmp_path: Path) -> None:
    clip = load(FAMILIES["native_gelu"]().save(tmp_path / "stock"), template="a sketch of {}")
    assert clip.preprocess == Preprocess(32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    for format in ("open_clip", "hf"):
        again = load(clip.save(tmp_path / format, format=format))
        assert again.preprocess == clip.preprocess
        assert again.template == "a sketch of {}"


@pytest.mark.parametrize(("mode", "size"), [("shortest", (50, 70)), ("squash", (70, 41))])
def test_transformers_image_processor_does_what_our_transform_does(
    mode: str, size: tuple[int, int], tmp_path: Path
) -> None:
    from PIL import Image

    pixels = torch.randint(0, 255, (*size[::-1], 3), dtype=torch.uint8).numpy()
    image = Image.fromarray(pixels)
    for family, kind in (("hf_clip", CLIPImageProcessor), ("hf_siglip", SiglipImageProcessor)):
        clip = load(FAMILIES[family]().save(tmp_path / family))
        clip.preprocess = Preprocess(32, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), "bicubic", mode)
        if mode == "shortest" and family == "hf_siglip":
            continue  # SigLIP's processor has no crop
        folder = clip.save(tmp_path / f"{family}-saved", format="hf")
        theirs = kind.from_pretrained(folder)(image, return_tensors="pt").pixel_values[0]
        ours = clip.preprocess.eval_transform()(image)
        assert (ours - theirs).abs().max() < 0.05
        assert load(folder).preprocess == clip.preprocess


def test_a_format_that_cannot_hold_the_model_says_why(tmp_path: Path) -> None:
    cases = {
        ("timm_gap", "hf"): "image pooling is 'mean'",
        ("native_variants", "hf"): "image pooling is 'mean'",
        ("native_sigmoid", "hf"): "text pooling is 'first'",
        ("hf_siglip", "open_clip"): "save as 'hf'",
    }
    for (family, format), words in cases.items():
        clip = load(FAMILIES[family]().save(tmp_path / f"{family}-{format}-stock"))
        with pytest.raises(InterlaceError, match=words):
            clip.save(tmp_path / "out", format=format)
        assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_nearest_timm_model_is_named(tmp_path: Path) -> None:
    clip = load(FAMILIES["timm_siglip"]().save(tmp_path / "stock"))
    image = replace(clip.spec.image, activation="quick_gelu")
    other = DualEncoder(replace(clip.spec, image=image))
    words = "vit_test_patch8_siglip_32 is the same with gelu in place of quick_gelu"
    with pytest.raises(InterlaceError, match=words):
        other.save(tmp_path / "saved")


def test_one_activation_for_both_native_towers(tmp_path: Path) -> None:
    clip = tiny("clip")
    mixed = DualEncoder(replace(clip.spec, text=replace(clip.spec.text, activation="quick_gelu")))
    with pytest.raises(InterlaceError, match="one quick-GELU switch"):
        mixed.save(tmp_path / "saved")
    assert load(mixed.save(tmp_path / "saved", format="hf")).spec == mixed.spec


class TestFolders:
    @pytest.fixture
    def clip(self) -> DualEncoder:
        return tiny("clip")

    def test_a_full_folder_is_kept(self, clip: DualEncoder, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(InterlaceError, match="not empty"):
            clip.save(tmp_path)
        with pytest.raises(InterlaceError, match="not a saved model"):
            clip.save(tmp_path, overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_a_saved_model_is_replaced_on_request(self, clip: DualEncoder, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        clip.save(folder, format="hf")
        with pytest.raises(InterlaceError, match="not empty"):
            clip.save(folder)
        clip.save(folder, overwrite=True)
        assert not (folder / "config.json").exists()
        assert load(folder).fingerprint() == clip.fingerprint()
        assert [path.name for path in tmp_path.iterdir()] == ["model"]

    def test_a_file_in_the_way(self, clip: DualEncoder, tmp_path: Path) -> None:
        (tmp_path / "model").write_text("")
        with pytest.raises(InterlaceError, match="is a file"):
            clip.save(tmp_path / "model")

    def test_an_unknown_format(self, clip: DualEncoder, tmp_path: Path) -> None:
        with pytest.raises(InterlaceError, match="'onnx'"):
            clip.save(tmp_path / "model", format="onnx")

    def test_parents_are_made_and_readable(self, clip: DualEncoder, tmp_path: Path) -> None:
        folder = clip.save(tmp_path / "a" / "b")
        assert folder.stat().st_mode & 0o555 == (tmp_path / "a").stat().st_mode & 0o555
