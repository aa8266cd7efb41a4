"""CLIP in loops. What a method changes are the methods of :class:`PlainCLIP` that it overrides.

Shapes: L positions, D width, E embedding. Towers are called ``image`` and ``text``; blocks count
from 0.
"""

from __future__ import annotations

import math

import torch


class PlainCLIP:
    """The frozen model.

    Args:
        clip: the model; only its weights and sizes are read.
        parameters: what the method learns, by name.
    """

    def __init__(self, clip, parameters=None, **settings):
        self.weights = {name: value.detach() for name, value in clip.state_dict().items()}
        self.sizes = {"image": clip.spec.image, "text": clip.spec.text}
        self.parameters = parameters or {}
        self.settings = settings

    # what methods change

    def site(self, tower, block, name, y):
        """``y`` [L, D], what comes out of ``ln_1``, ``attn``, ``ln_2`` or ``mlp`` of a block.

        For ``ln_final`` and ``projection``, ``block`` is None.
        """
        return y

    def linear(self, tower, block, name, weight):
        """The weight [D, D] of the linear ``q``, ``k`` or ``v``."""
        return weight

    def prompt(self, ids):
        """The embedded positions [L, D] of a text, begin and end included."""
        words = self.weights["text.table.weight"][ids]
        return words + self.weights["text.positions"][: len(ids)]

    def embedded(self, patches):
        """The positions [L, D] of an image as they enter the first LayerNorm."""
        return patches

    def entering(self, tower, block, x):
        """The positions [L, D] as they enter a block."""
        return x

    # the model

    def norm(self, name, x, eps):
        mean = x.mean(dim=-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
        scaled = (x - mean) / torch.sqrt(variance + eps)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, tower, block, x):
        at, sizes = f"{tower}.blocks.{block}.attn", self.sizes[tower]
        biases = self.weights[f"{at}.qkv.bias"].chunk(3)
        parts = zip("qkv", self.weights[f"{at}.qkv.weight"].chunk(3), biases, strict=True)
        q, k, v = (x @ self.linear(tower, block, name, w).T + b for name, w, b in parts)
        width, heads = sizes.width // sizes.heads, []
        for i in range(sizes.heads):
            own = slice(i * width, (i + 1) * width)
            scores = q[:, own] @ k[:, own].T / math.sqrt(width)
            if tower == "text":
                future = torch.ones_like(scores).triu(1).bool()
                scores = scores.masked_fill(future, -math.inf)
            weights = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
            heads.append(weights / weights.sum(dim=-1, keepdim=True) @ v[:, own])
        out = torch.cat(heads, dim=-1)
        return out @ self.weights[f"{at}.out.weight"].T + self.weights[f"{at}.out.bias"]

    def mlp(self, tower, block, x):
        at = f"{tower}.blocks.{block}.mlp"
        hidden = x @ self.weights[f"{at}.fc.weight"].T + self.weights[f"{at}.fc.bias"]
        if self.sizes[tower].activation == "quick_gelu":
            hidden = hidden / (1 + torch.exp(-1.702 * hidden))
        else:
            hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        return hidden @ self.weights[f"{at}.proj.weight"].T + self.weights[f"{at}.proj.bias"]

    def blocks(self, tower, x):
        eps = self.sizes[tower].norm_eps
        for i in range(self.sizes[tower].depth):
            at = f"{tower}.blocks.{i}"
            x = self.entering(tower, i, x)
            y = self.site(tower, i, "ln_1", self.norm(f"{at}.ln_1", x, eps))
            x = x + self.site(tower, i, "attn", self.attention(tower, i, y))
            y = self.site(tower, i, "ln_2", self.norm(f"{at}.ln_2", x, eps))
            x = x + self.site(tower, i, "mlp", self.mlp(tower, i, y))
        return self.site(tower, None, "ln_final", self.norm(f"{tower}.ln_final", x, eps))

    def image_feature(self, pixels):
        """The feature [E] of an image [3, H, W]."""
        side = self.sizes["image"].patch_size
        filters = self.weights["image.patch.weight"].flatten(1)
        patches = [
            filters @ pixels[:, row : row + side, column : column + side].flatten()
            for row in range(0, pixels.shape[1], side)
            for column in range(0, pixels.shape[2], side)
        ]
        x = torch.stack([self.weights["image.class_token"], *patches])
        x = self.embedded(x + self.weights["image.positions"])
        x = self.blocks("image", self.norm("image.ln_pre", x, self.sizes["image"].norm_eps))
        return self.site("image", None, "projection", x[0] @ self.weights["image.projection"])

    def text_feature(self, ids):
        """The feature [E] of a text; ``ids`` end at end-of-text."""
        x = self.blocks("text", self.prompt(ids))
        return self.site("text", None, "projection", x[-1] @ self.weights["text.projection"])

    def __call__(self, images, texts):
        """Normalised features [B, E] and [C, E], and logits [B, C]."""
        image = torch.stack([_unit(self.image_feature(one)) for one in images])
        text = torch.stack([_unit(self.text_feature(one)) for one in texts])
        return image, text, torch.exp(self.weights["logit_scale"]) * image @ text.T


def _unit(feature):
    return feature / torch.sqrt((feature**2).sum())


def cross_entropy(logits, labels):
    """Mean over the batch of ``log sum exp - own``."""
    losses = [torch.log(torch.exp(row - row.max()).sum()) + row.max() - row[label]
              for row, label in zip(logits, labels, strict=True)]  # fmt: skip
    return torch.stack(losses).mean()
