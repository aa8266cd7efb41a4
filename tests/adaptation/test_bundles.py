"""Bundles of the first format, written by earlier versions: read as ever, on their backbone only.

``expected.json`` in each holds its answers on ``former.backbone()``. They were written down by code
that gave, with the weights the bundles were fitted on, the answers recorded at the fit to the last
bit. A change that is meant to change them writes them anew:
``python -m tests.adaptation.test_bundles``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import interlace
from interlace.backbone.dual import DualEncoder
from interlace.errors import InterlaceError
from tests.adaptation import former

NAMES = ("linear_probe", "tip_adapter", "mail", "mmrl")


@pytest.fixture(scope="module")
def clip() -> DualEncoder:
    return former.backbone()


def answers(name: str, folder: Path, clip: DualEncoder) -> list[tuple[str, float]]:
    """What a kept bundle says of a colour ramp: the first five classes and their probabilities."""
    adapted = interlace.load_adapted(former.bundle(name, folder, clip), clip, device="cpu")
    ramp = np.tile(np.linspace(0, 255, 48).astype(np.uint8), (48, 1))
    image = Image.fromarray(np.stack([ramp, ramp.T, np.full((48, 48), 90, np.uint8)], -1))
    return list(adapted.predict([image])[0].ranking)


def path_of_expected(name: str) -> Path:
    return former.BUNDLES / f"format_1_{name}" / "expected.json"


@pytest.mark.parametrize("name", NAMES)
def test_bundles_of_the_first_format_are_read(name: str, clip: DualEncoder, tmp_path: Path) -> None:
    found = answers(name, tmp_path, clip)
    expected = json.loads(path_of_expected(name).read_text(encoding="utf-8"))
    assert [label for label, _ in found] == [label for label, _ in expected]
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=5e-5)


def test_every_kept_bundle_is_read() -> None:
    assert {path.name for path in former.BUNDLES.iterdir()} == {f"format_1_{n}" for n in NAMES}


@pytest.mark.parametrize("name", ["mail", "mmrl"])
def test_they_name_the_configuration_of_that_model(name: str, clip: DualEncoder) -> None:
    header = json.loads((former.BUNDLES / f"format_1_{name}" / "bundle.json").read_text())
    assert header["backbone"]["configuration"] == clip.configuration_hash()


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_embedded_model_of_today_is_another_backbone(name: str, given: bool) -> None:
    folder, picto = former.BUNDLES / f"format_1_{name}", interlace.load("picto")
    with pytest.raises(InterlaceError) as caught:
        interlace.load_adapted(folder, picto if given else None, device="cpu")
    assert str(caught.value) == (
        f"{folder} was made for backbone 'picto' (941ab3d1d34a38a9), "
        f"not for 'picto' ({picto.fingerprint()})"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as given:
        for one in NAMES:
            rows = json.dumps(answers(one, Path(given), former.backbone()))
            path_of_expected(one).write_text(rows + "\n", encoding="utf-8")
