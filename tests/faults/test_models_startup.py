"""What loading a model does not import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import interlace
from interlace import load
from tests.backbone.families import CLIP_VOCABULARY, HF_CLIP, changed, of_clip, of_open_clip

#: torchvision comes with the image transforms of this version, and brings torch._dynamo.
NOT_NEEDED = ("open_clip", "timm", "transformers", "scipy", "huggingface_hub", "pydantic")


@pytest.mark.parametrize("kind", ["picto", "open_clip", "hf", "file"])
def test_small_models_load_without_the_large_libraries(kind: str, tmp_path: Path) -> None:
    name = "picto"
    if kind == "open_clip":
        name = str(of_open_clip(CLIP_VOCABULARY).save(tmp_path / "model"))
    if kind == "hf":
        tables = changed(HF_CLIP, text_config__vocab_size=49408, text_config__eos_token_id=49407)
        name = str(of_clip(tables).save(tmp_path / "model"))
    if kind == "file":
        load("picto").save(tmp_path / "model")
        name = str(tmp_path / "model" / "open_clip_model.safetensors")
    code = (
        "import sys, interlace\n"
        "ids = interlace.load(sys.argv[1]).prompts(['cat']).ids\n"
        f"print(ids.shape[1], *(name for name in {NOT_NEEDED} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, name],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(interlace.__file__).parent.parent)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(load(name).spec.text.context_length)]
