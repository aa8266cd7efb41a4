"""CoOp: a learnt context in place of the prompt's words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interlace.backbone.dual import DualEncoder
from interlace.backbone.edits import Edit, Tokens
from interlace.backbone.prompts import Prompts, make_room
from interlace.errors import InterlaceError
from interlace.methods.base import Method, TokenCount
from interlace.methods.registry import register


@register
class CoOp(Method):
    """Context optimisation: K learnt word vectors, the same for all classes, before the name.

    Zhou et al., "Learning to Prompt for Vision-Language Models", 2022,
    https://arxiv.org/abs/2109.01134. The prompt is ``[context] name.``; the context stands after
    the begin-of-text token (in front where there is none) and receives the position embeddings of
    its places. The image tower stays as it is.

    Args:
        clip: the frozen dual encoder.
        n_tokens: K; None for as many as ``init`` has.
        init: words whose embeddings the context starts from, such as "a photo of a"; with those of
            the template, training starts at zero-shot. None draws the context at random.

    Raises:
        InterlaceError: if K is below 1 or leaves no room in the context, or ``init`` does not have
            K tokens.
    """

    key = "coop"
    summary = "Learnt word vectors before the class name (2109.01134)."

    def __init__(self, clip: DualEncoder, *, n_tokens: TokenCount | None, init: str | None) -> None:
        super().__init__(clip)
        start = None if init is None else word_vectors(clip, init)
        if start is not None and n_tokens not in (None, len(start)):
            raise InterlaceError(f"n_tokens={n_tokens}: {init!r} has {len(start)} tokens")
        if start is None and n_tokens is None:
            raise InterlaceError("n_tokens=None: give a number, or words as init")
        n_tokens = n_tokens if start is None else len(start)
        room = clip.spec.text.context_length - clip.text.insert_at - 2
        if n_tokens is None or not 1 <= n_tokens <= room:
            raise InterlaceError(
                f"n_tokens={n_tokens}: must be at least 1, and at most {room} fit the model's "
                f"context of {clip.spec.text.context_length} with a class name"
            )
        context = torch.randn(n_tokens, clip.text.width) * 0.02
        self.context = nn.Parameter(context if start is None else start)

    def prompt_templates(self, template: str) -> Sequence[str]:
        """Return the name alone: the context is learnt."""
        return ("{}.",)

    def tokens(self) -> Tensor:
        """Return the context with its position embeddings, [1, K, D]."""
        at, tower = self.clip.text.insert_at, self.clip.text
        return (self.context + tower.positions[at : at + len(self.context)])[None]

    def edits(self) -> tuple[None, Edit]:
        """Return the context at the text tower's input."""
        return None, Edit(tokens=Tokens(0, self.tokens(), overwrite=True))

    def prompt_ids(self, prompts: Prompts) -> Tensor:
        """Make room for the context in each prompt."""
        return placeholders(self.clip, prompts, len(self.context))


def word_vectors(clip: DualEncoder, words: str) -> Tensor:
    """Embeddings [K, D] of the K tokens of ``words``, without those of begin and end.

    Raises:
        InterlaceError: if the model came without a tokenizer.
    """
    if clip.tokenizer is None:
        raise InterlaceError(f"this model came without a tokenizer: it cannot read {words!r}")
    ids = clip.tokenizer([words]).to(clip.device)
    # what a longer text keeps of it: the end is where the two part
    longer = clip.tokenizer([f"{words} {words}"]).to(clip.device)
    count = int((ids == longer)[0].int().cumprod(0).sum())
    return clip.text.table(ids[0, clip.text.insert_at : count]).detach().clone()


def placeholders(clip: DualEncoder, prompts: Prompts, count: int) -> Tensor:
    """Ids of ``prompts`` with ``count`` placeholders where the text tower takes tokens.

    Raises:
        InterlaceError: if a prompt has no room for them.
    """
    read, tower = clip.text.read_position(prompts.ids), clip.text
    return make_room(prompts.ids, tower.insert_at, count, read, clip.spec.text.context_length)
