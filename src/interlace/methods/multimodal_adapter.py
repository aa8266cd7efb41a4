"""Multi-Modal Adapter: attention between the class features and each image's feature.

Shapes: B images, C classes, E embedding, M width of the attention, H heads, S width of the
bottleneck.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.backbone.dual import DualEncoder
from interlace.backbone.tower import TowerOutput
from interlace.errors import InterlaceError
from interlace.methods.base import Method, Output, Share, TokenCount, Width
from interlace.methods.registry import register

Mask = Literal["cross", "released", "none"]
_BOTTLENECK = 32


@register
class MultiModalAdapter(Method):
    """Multi-Modal Adapter: class and image features attend to each other before they are compared.

    Seputis et al., "Multi-Modal Adapter for Vision-Language Models", 2024,
    https://arxiv.org/abs/2409.02958. For each image the sequence is ``[T_1 .. T_C, v]`` of frozen
    normalised features. It goes down (two linears), through multi-head attention and up (linear,
    GELU, linear); then, for text and image alike, ``x' = norm(ratio * norm(adapted) +
    (1 - ratio) * x)``. Logits are ``tau <v', t'_c>``: the class features depend on the image.

    Which pairs attend, by ``mask``: ``cross`` (the paper's text) each class to itself and the
    image, the image to itself and every class; ``released`` (the released code) everything to
    everything, with 1 added to the scores of image-class pairs; ``none`` everything to everything.

    Nothing of size B x C x C, B x C x E or B x C x M is ever formed. With ``cross`` a class's
    attention is a softmax over two keys; with the others the classes' scores among themselves do
    not depend on the image, so they are summed once and the image enters as one more key. Either
    way the adapted class is a blend, by one weight per head, of a part that depends on the class
    and a part that depends on the image; the linears after the attention are applied to the parts,
    and the norms and products of the adapted classes are taken in the bottleneck through its Gram
    matrix. Exact, and O(B C (H + S)) or with the other masks O(C^2 + B C (H + S)) in memory.

    Args:
        clip: the frozen dual encoder.
        dim: M; None for a quarter of the embedding.
        heads: H; must divide M.
        mask: ``cross``, ``released`` or ``none``.
        ratio: share of the adapted features in the blend, 0 to 1.

    Raises:
        InterlaceError: if the heads do not divide the width.
    """

    key = "multimodal_adapter"
    summary = "Class and image features attend to each other (2409.02958)."
    uses_frozen_features = True

    def __init__(
        self, clip: DualEncoder, *, dim: Width | None, heads: TokenCount, mask: Mask, ratio: Share
    ) -> None:
        super().__init__(clip)
        embedding = clip.spec.embed_dim
        width = max(1, embedding // 4) if dim is None else dim
        if width % heads:
            raise InterlaceError(f"heads={heads}: must divide the attention's width, {width}")
        self.heads, self.mask, self.ratio = heads, mask, ratio
        self.downsampler = nn.Sequential(
            nn.Linear(embedding, _BOTTLENECK), nn.Linear(_BOTTLENECK, width)
        )
        self.mha = nn.MultiheadAttention(width, heads, batch_first=True)
        self.upsampler = nn.Sequential(
            nn.Linear(width, _BOTTLENECK), nn.GELU(), nn.Linear(_BOTTLENECK, embedding)
        )

    def score(self, image: TowerOutput, text: TowerOutput, seen: bool = True) -> Output:
        """Let B images and C classes attend to each other, and compare them.

        Args:
            image: the frozen output for B images.
            text: the frozen output for C classes.
            seen: not used: the adapter treats all classes alike.

        Returns:
            Logits [B, C] and the adapted image features; ``text_features`` are the frozen ones,
            since the adapted ones differ from image to image.
        """
        v, t = F.normalize(image.features, dim=-1), F.normalize(text.features, dim=-1)
        if not self.shortcuts:
            return self._score_plainly(v, t)
        (qv, kv, vv), (qt, kt, vt) = self._attention_inputs(v), self._attention_inputs(t)
        pair = torch.einsum("bhd,chd->bch", kv, qt)  # class asks, image answers
        asked = torch.einsum("bhd,chd->bhc", qv, kt)  # image asks, classes answer
        if self.mask == "released":
            pair, asked = pair + 1, asked + 1
        if self.mask == "cross":
            among, own = (qt * kt).sum(-1), vt
        else:
            scores = torch.einsum("chd,khd->hck", qt, kt)
            among = scores.logsumexp(-1).T
            own = torch.einsum("hck,khd->chd", scores.softmax(-1), vt)
        weight = torch.sigmoid(pair - among)  # [B, C, H], the image's share in each class
        adapted_v = self._adapt_images(v, asked, (qv * kv).sum(-1), vv, vt)
        logits = self._compare(adapted_v, t, weight, own, vv)
        return Output(adapted_v, t, self.clip.scale * logits)

    def _score_plainly(self, v: Tensor, t: Tensor) -> Output:
        """Return the same from the sequences themselves and a mask for each image and head."""
        count = len(t)
        x = torch.cat([t.expand(len(v), -1, -1), v[:, None]], dim=1)
        mask = v.new_zeros(count + 1, count + 1)
        if self.mask == "released":
            mask[:count, count] = mask[count, :count] = 1
        if self.mask == "cross":
            mask[:count, :count] = float("-inf")
            mask.fill_diagonal_(0)
        mask = mask.repeat(len(v) * self.heads, 1, 1)
        low = self.downsampler(x)
        adapted = self.upsampler(self.mha(low, low, low, attn_mask=mask, need_weights=False)[0])
        x = self.ratio * F.normalize(adapted, dim=-1) + (1 - self.ratio) * x
        x = F.normalize(x, dim=-1)
        adapted_t, adapted_v = x[:, :count], x[:, count]
        logits = torch.einsum("bce,be->bc", adapted_t, adapted_v)
        return Output(adapted_v, t, self.clip.scale * logits)

    def _attention_inputs(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries (scaled), keys and values [n, H, M / H] of features [n, E]."""
        inputs = self.downsampler(features)
        projected = F.linear(inputs, self.mha.in_proj_weight, self.mha.in_proj_bias)
        q, k, v = (y.unflatten(-1, (self.heads, -1)) for y in projected.chunk(3, dim=-1))
        return q * q.shape[-1] ** -0.5, k, v

    def _adapt_images(
        self, v: Tensor, asked: Tensor, itself: Tensor, own: Tensor, classes: Tensor
    ) -> Tensor:
        """Return adapted image features [B, E]: one softmax over C classes and the image itself."""
        share = torch.cat([asked, itself[..., None]], dim=-1).softmax(-1)
        mixed = torch.einsum("bhc,chd->bhd", share[..., :-1], classes) + share[..., -1:] * own
        adapted = self.upsampler(self.mha.out_proj(mixed.flatten(1)))
        blend = self.ratio * F.normalize(adapted, dim=-1) + (1 - self.ratio) * v
        return F.normalize(blend, dim=-1)

    def _compare(
        self, image: Tensor, text: Tensor, weight: Tensor, own: Tensor, values: Tensor
    ) -> Tensor:
        """Cosines [B, C] of adapted images with the classes adapted to each.

        Args:
            image: [B, E], adapted and normalised.
            text: [C, E], frozen and normalised.
            weight: [B, C, H], the image's share in each class.
            own: [C, H, M / H], what a class takes from itself or the other classes.
            values: [B, H, M / H], what a class takes from the image.
        """
        first, last = cast(nn.Linear, self.upsampler[0]), cast(nn.Linear, self.upsampler[2])
        # out-projection and first linear, per head: [S, H, M / H]
        into = (first.weight @ self.mha.out_proj.weight).unflatten(1, (self.heads, -1))
        constant = first(self.mha.out_proj.bias)
        from_class = torch.einsum("chd,shd->chs", own, into)
        from_image = torch.einsum("bhd,shd->bhs", values, into)
        hidden = (
            constant
            + from_class.sum(1)
            + torch.einsum("bch,bhs->bcs", weight, from_image)
            - torch.einsum("bch,chs->bcs", weight, from_class)
        )
        hidden = F.gelu(hidden)  # adapted = hidden @ last.weight.T + last.bias, never formed
        gram, offset = last.weight.T @ last.weight, last.weight.T @ last.bias
        square = (hidden @ gram * hidden).sum(-1) + 2 * hidden @ offset + last.bias.square().sum()
        norm = square.clamp_min(1e-24).sqrt()
        with_text = (
            torch.einsum("bcs,cs->bc", hidden, text @ last.weight) + text @ last.bias
        ) / norm
        with_image = (
            torch.einsum("bcs,bs->bc", hidden, image @ last.weight) + (image @ last.bias)[:, None]
        ) / norm
        keep = 1 - self.ratio
        length = (self.ratio**2 + keep**2 + 2 * self.ratio * keep * with_text).clamp_min(1e-24)
        return (self.ratio * with_image + keep * image @ text.T) / length.sqrt()
