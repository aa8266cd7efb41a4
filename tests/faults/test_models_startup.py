"""What loading a model does not import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import interlace
from interlace import load
from tests.backbone.families import CLIP_VOCABULARY, HF_CLIP, changed, of_clip, of_open_clip

#: torchvision comes with the image transforms of this version, and brings torch._dynamo.
NOT_NEEDED = ("open_clip", "timm", "transformers", "scipy", "huggingface_hub", "pydantic")


def test_small_models_load_without_the_large_libraries(tmp_path: Path) -> None:
    tables = changed(HF_CLIP, text_config__vocab_size=49408, text_config__eos_token_id=49407)
    models = [
        "picto",
        str(of_open_clip(CLIP_VOCABULARY).save(tmp_path / "open_clip")),
        str(of_clip(tables).save(tmp_path / "hf")),
        str(load("picto").save(tmp_path / "own") / "open_clip_model.safetensors"),
    ]
    code = (
        "import sys, interlace\n"
        "lengths = [interlace.load(m).prompts(['cat']).ids.shape[1] for m in sys.argv[1:]]\n"
        f"print(*lengths, *(name for name in {NOT_NEEDED} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *models],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(interlace.__file__).parent.parent)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["32", "12", "12", "32"]
