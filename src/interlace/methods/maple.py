"""MaPLe: deep prompts in both towers, the image's computed from the text's."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interlace.backbone.dual import DualEncoder
from interlace.backbone.edits import Edit, Tokens
from interlace.backbone.prompts import Prompts
from interlace.errors import InterlaceError
from interlace.methods.base import Blocks, Method, TokenCount
from interlace.methods.coop import placeholders, word_vectors
from interlace.methods.registry import register


@register
class MaPLe(Method):
    """Multi-modal prompt learning: K tokens in the first blocks of both towers.

    Khattak et al., CVPR 2023, https://arxiv.org/abs/2210.03117. Block i of the first ``depth``
    blocks receives ``text_tokens[i]`` in the text tower and ``to_image[i](text_tokens[i])`` in the
    image tower; after these blocks the tokens run on. At the text's input the tokens stand in the
    place of the template's first K words and start as those of the model's own template.

    Deviations: in the image tower the released code puts the tokens at the end of the sequence,
    here they follow the class token; attention does not tell the two apart. A template with fewer
    than K words before the name gets placeholders instead, so no name is overwritten.

    Args:
        clip: the frozen dual encoder.
        n_tokens: K.
        depth: how many blocks get tokens of their own; None for three quarters of the shallower
            tower (9 of 12).

    Raises:
        InterlaceError: if the model has no such depth, or no room for the tokens.
    """

    key = "maple"
    summary = "Deep prompts in both towers, the image's from the text's (CVPR 2023)."

    def __init__(self, clip: DualEncoder, *, n_tokens: TokenCount, depth: Blocks | None) -> None:
        super().__init__(clip)
        most = min(clip.image.depth, clip.text.depth)
        depth = max(1, most * 3 // 4) if depth is None else depth
        if depth > most:
            raise InterlaceError(f"depth={depth}: the shallower tower has blocks 1 to {most}")
        room = clip.spec.text.context_length - 3
        if n_tokens > room:
            raise InterlaceError(f"n_tokens={n_tokens}: at most {room} fit the model's context")
        tokens = torch.randn(depth, n_tokens, clip.text.width) * 0.02
        start = _first_words(clip, n_tokens)
        if start is not None:
            tokens[0] = start
        self.text_tokens = nn.Parameter(tokens)
        linear = nn.Linear(clip.text.width, clip.image.width)
        self.to_image = nn.ModuleList(copy.deepcopy(linear) for _ in range(depth))

    def prompt_templates(self, template: str) -> Sequence[str]:
        """Return the template without its first K words: the tokens stand there."""
        head, _, tail = template.partition("{}")
        return (" ".join(head.split()[self.text_tokens.shape[1] :] + ["{}"]) + tail,)

    def edits(self) -> tuple[Edit, Edit]:
        """Tokens for the first blocks of both towers."""
        image, text = self.clip.image, self.clip.text
        for_image = torch.stack(
            [linear(t) for linear, t in zip(self.to_image, self.text_tokens, strict=True)]
        )
        if image.ln_pre is not None:  # the image's input tokens pass it with the patches
            for_image = torch.cat([image.ln_pre(for_image[:1]), for_image[1:]])
        at, count = text.insert_at, self.text_tokens.shape[1]
        for_text = torch.cat(
            [self.text_tokens[:1] + text.positions[at : at + count], self.text_tokens[1:]]
        )
        return (
            Edit(tokens=Tokens(0, for_image)),
            Edit(tokens=Tokens(0, for_text, overwrite=True)),
        )

    def prompt_ids(self, prompts: Prompts) -> Tensor:
        """Make room for the tokens in each prompt."""
        return placeholders(self.clip, prompts, self.text_tokens.shape[1])


def _first_words(clip: DualEncoder, count: int) -> Tensor | None:
    """Embeddings of the template's first ``count`` words, if they are as many tokens."""
    words = clip.template.partition("{}")[0].split()[:count]
    if clip.tokenizer is None or len(words) < count:
        return None
    vectors = word_vectors(clip, " ".join(words))
    return vectors if len(vectors) == count else None
