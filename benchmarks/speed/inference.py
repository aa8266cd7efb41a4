"""The encoders of the speed benchmark beside stock open_clip's."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import open_clip
import torch
from instruments import synchronize
from steps import TEMPLATE, class_names

from interlace import DualEncoder, methods
from interlace.adaptation.merge import merge
from interlace.config import resolve


def in_open_clip(clip: DualEncoder) -> Any:
    """``clip`` as stock open_clip loads it."""
    with tempfile.TemporaryDirectory() as folder:
        saved = clip.save(Path(folder) / "model", "open_clip")
        model, _ = open_clip.create_model_from_pretrained(f"local-dir:{saved}")
    return model.to(clip.device).eval()


@torch.no_grad()
def inference(clip: DualEncoder, batch: int, texts: int, rounds: int) -> dict[str, Any]:
    """Time encoders beside the one of stock open_clip, in turns: milliseconds and ratios."""
    made = {}
    for name in ("mail", "mmrl"):
        torch.manual_seed(1)
        made[name] = methods.create(
            name, clip, **resolve(name, methods.parameters(name), {}).arguments
        ).eval()
    for parameter in made["mail"].parameters():  # so that there is something to merge
        parameter.add_(0.01 * torch.randn_like(parameter))
    merged, mmrl = merge(made["mail"]), made["mmrl"]
    stock, exported = in_open_clip(clip), in_open_clip(merged)
    side = clip.spec.image.image_size
    images = torch.randn(batch, 3, side, side, device=clip.device)
    prompts = clip.prompts(class_names(texts), TEMPLATE)
    ids = prompts.ids
    encoders: dict[str, dict[str, Callable[[], object]]] = {
        "image": {
            "open_clip": lambda: stock.encode_image(images),
            "merged MAIL in open_clip": lambda: exported.encode_image(images),
            "plain in Interlace": lambda: clip.encode_image(images),
            "merged MAIL in Interlace": lambda: merged.encode_image(images),
            "MMRL": lambda: mmrl.encode_image(images),
        },
        "text": {
            "open_clip": lambda: stock.encode_text(ids),
            "merged MAIL in open_clip": lambda: exported.encode_text(ids),
            "plain in Interlace": lambda: clip.encode_text(ids),
            "merged MAIL in Interlace": lambda: merged.encode_text(ids),
            "MMRL": lambda: mmrl.encode_text(prompts),
        },
    }
    result: dict[str, Any] = {"images": batch, "texts": texts}
    for tower, candidates in encoders.items():
        names = list(candidates)
        samples: dict[str, list[float]] = {name: [] for name in names}
        for i in range(1 + (rounds if tower == "image" else -(-rounds // 3))):
            start = i % len(names)  # nobody is always first
            for name in names[start:] + names[:start]:
                synchronize()
                started = time.perf_counter()
                candidates[name]()
                synchronize()
                samples[name].append(1e3 * (time.perf_counter() - started))
        kept = {name: values[1:] for name, values in samples.items()}  # the first one warms up
        result[tower] = {
            name: {
                "ms": median(values),
                "over_open_clip": median(
                    a / b for a, b in zip(values, kept["open_clip"], strict=True)
                ),
                "samples_ms": values,
            }
            for name, values in kept.items()
        }
        for name, row in result[tower].items():
            print(f"{tower}: {name} {row['ms']:.0f} ms, x {row['over_open_clip']:.3f}", flush=True)
    return result
