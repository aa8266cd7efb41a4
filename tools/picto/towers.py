"""The CLIP that is trained: open_clip's own modules, their start values, and its text side."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer, default_bpe
from safetensors.torch import save_file
from store import MEAN, STD
from torch import Tensor, nn

BPE_MERGES = 7678
CONTEXT = 32
HEAD_WIDTH = 32


def model_config(
    image: int, patch: int, width: int, layers: int, embed: int, text_layers: int
) -> dict:
    """Return the ``model_cfg`` of open_clip_config.json."""
    return {
        "embed_dim": embed,
        "quick_gelu": False,
        "vision_cfg": {
            "image_size": image,
            "patch_size": patch,
            "width": width,
            "layers": layers,
            "head_width": HEAD_WIDTH,
        },
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": BPE_MERGES + 514,
            "width": 128,
            "heads": 4,
            "layers": text_layers,
        },
    }


def convolutional_stem(width: int) -> nn.Sequential:
    """Five convolutions that turn 12 x 12 pixels into one token: the teacher's patch embedding."""
    layers: list[nn.Module] = []
    for source, target, stride in ((3, 32, 2), (32, 64, 2), (64, 128, 1), (128, width, 3)):
        padding = 1 if stride < 3 else 0
        layers.append(nn.Conv2d(source, target, 3, stride, padding, bias=False))
        layers += [nn.BatchNorm2d(target), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, width, 1))


def build_model(config: dict) -> CLIP:
    """Return an open_clip CLIP of a model_cfg; with "stem" in it, a teacher (see distil.py)."""
    model = CLIP(
        config["embed_dim"],
        dict(config["vision_cfg"]),
        dict(config["text_cfg"]),
        quick_gelu=config["quick_gelu"],
    )
    if config.get("stem"):
        if config["vision_cfg"]["patch_size"] != 12:
            raise ValueError("the convolutional stem makes patches of 12 pixels")
        model.visual.conv1 = convolutional_stem(config["vision_cfg"]["width"])
    return model


def _cosine_patches(width: int, patch: int) -> Tensor:
    """Patch filters: low-frequency cosine patterns of luminance, then of two colour axes."""
    steps = (torch.arange(patch) + 0.5) / patch
    waves = torch.stack([torch.cos(math.pi * k * steps) for k in range(patch)])
    waves = F.normalize(waves, dim=1)
    axes = F.normalize(torch.tensor([[1.0, 1, 1], [1, 0, -1], [-1, 2, -1]]), dim=1)
    filters = []
    for u in range(patch):
        for v in range(patch):
            for axis, penalty in zip(axes, (1.0, 2.5, 2.5), strict=True):
                order = (u * u + v * v) ** 0.5 + 0.5
                pattern = axis.view(3, 1, 1) * torch.outer(waves[u], waves[v])
                filters.append((order * penalty, pattern))
    filters.sort(key=lambda item: item[0])
    chosen = torch.stack([pattern for _, pattern in filters[:width]])
    if len(chosen) < width:
        chosen = torch.cat([chosen, 0.1 * torch.randn(width - len(chosen), *chosen.shape[1:])])
    return chosen


def _sine_positions(grid: int, width: int) -> Tensor:
    """Two-dimensional sine-cosine positions, grid * grid x width."""
    quarter = width // 4
    frequency = 1.0 / (20.0 ** (torch.arange(quarter) / quarter))
    phase = torch.outer(torch.arange(grid).float() * 8 / grid, frequency)
    line = torch.cat([phase.sin(), phase.cos()], 1)
    rows = line.repeat_interleave(grid, 0)
    return torch.cat([rows, line.repeat(grid, 1)], 1)


@torch.no_grad()
def initialise(model: CLIP, sample: Tensor) -> None:
    """Start values: cosine patch filters, sine positions, small residual branches.

    The filters are scaled so that on ``sample`` (B x 3 x H x W) every channel has mean zero and
    deviation 0.5.
    """
    visual = model.visual
    width = len(visual.class_embedding)
    centre = torch.zeros(width)
    if isinstance(visual.conv1, nn.Conv2d):
        patch = visual.conv1.kernel_size[0]
        filters = _cosine_patches(width, patch)
        seen = F.conv2d(sample, filters, stride=patch).transpose(0, 1).flatten(1)
        filters *= (0.5 / (seen.std(1) + 0.02)).view(-1, 1, 1, 1)
        visual.conv1.weight.copy_(filters)
        centre = 0.5 * seen.mean(1) / (seen.std(1) + 0.02)
    positions = visual.positional_embedding
    positions.zero_()
    grid = int((len(positions) - 1) ** 0.5)
    positions[1:] = _sine_positions(grid, width) - centre
    visual.class_embedding.normal_(std=0.02)
    for tower in (visual.transformer, model.transformer):
        layers = len(tower.resblocks)
        for block in tower.resblocks:
            size = block.attn.embed_dim
            nn.init.normal_(block.attn.in_proj_weight, std=size**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=size**-0.5 * (2 * layers) ** -0.5)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * size) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=size**-0.5 * (2 * layers) ** -0.5)
            for bias in (block.attn.in_proj_bias, block.attn.out_proj.bias):
                nn.init.zeros_(bias)
            nn.init.zeros_(block.mlp.c_fc.bias)
            nn.init.zeros_(block.mlp.c_proj.bias)
    nn.init.normal_(visual.proj, std=width**-0.5)


class Tokeniser:
    """CLIP's byte-pair tokeniser cut to its first merges, with a cache and short batches."""

    def __init__(self, merges: Path) -> None:
        if not merges.exists():
            lines = gzip.open(default_bpe()).read().decode("utf-8").split("\n")
            merges.parent.mkdir(parents=True, exist_ok=True)
            with gzip.GzipFile(merges, "wb", mtime=0) as file:
                file.write("\n".join(lines[: BPE_MERGES + 1]).encode())
        self.bpe = SimpleTokenizer(bpe_path=str(merges), context_length=CONTEXT)
        self.cache: dict[str, list[int]] = {}

    def _encode(self, text: str) -> list[int]:
        if text not in self.cache:
            if len(self.cache) > 500_000:
                self.cache.clear()
            self.cache[text] = self.bpe.encode(text)[: CONTEXT - 2]
        return self.cache[text]

    def __call__(self, texts: list[str]) -> Tensor:
        """Token ids, texts x longest text (end token last, then zeros)."""
        rows = [[self.bpe.sot_token_id, *self._encode(t), self.bpe.eot_token_id] for t in texts]
        out = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.tensor(row)
        return out


def encode_text(model: CLIP, ids: Tensor) -> Tensor:
    """Normalised text features; exact for causal towers though ``ids`` are cut to the longest."""
    length = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)[torch.arange(len(ids), device=ids.device), ids.argmax(-1)]
    return F.normalize(x @ model.text_projection, dim=-1)


def encode_image(model: CLIP, images: Tensor) -> Tensor:
    """Normalised image features."""
    return F.normalize(model.visual(images), dim=-1)


def export(model: CLIP, config: dict, folder: Path) -> None:
    """Write an open_clip model folder: config, fp16 weights; the merges lie beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    text = dict(config["text_cfg"])
    text["tokenizer_kwargs"] = {"bpe_path": "bpe_merges.txt.gz"}
    document = {
        "model_cfg": {**config, "text_cfg": text},
        "preprocess_cfg": {
            "size": config["vision_cfg"]["image_size"],
            "mode": "RGB",
            "mean": list(MEAN),
            "std": list(STD),
            "interpolation": "bicubic",
            "resize_mode": "squash",
            "fill_color": 255,
        },
    }
    (folder / "open_clip_config.json").write_text(json.dumps(document, indent=2) + "\n")
    tensors = {k: v.detach().half().contiguous().cpu() for k, v in model.state_dict().items()}
    tensors.pop("attn_mask", None)
    save_file(tensors, str(folder / "open_clip_model.safetensors"))
