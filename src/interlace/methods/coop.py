"""CoOp: a learnt context in place of the prompt's words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interlace.backbone.dual import DualEncoder
from interlace.backbone.edits import Edit, Tokens
from interlace.backbone.text import Prompts, make_room
from interlace.errors import InterlaceError
from interlace.methods.base import Method


class CoOp(Method):
    """Context optimisation: K learnt word vectors, the same for all classes, before the name.

    Zhou et al., "Learning to Prompt for Vision-Language Models", 2022,
    https://arxiv.org/abs/2109.01134. The prompt is ``[context] name.``; the context stands after
    the begin-of-text token (in front where there is none) and receives the position embeddings of
    its places. The image tower stays as it is.

    Args:
        clip: the frozen dual encoder.
        n_tokens: K.

    Raises:
        InterlaceError: if K is below 1, or leaves no room in the context.
    """

    key = "coop"
    summary = "Learnt word vectors before the class name (2109.01134)."

    def __init__(self, clip: DualEncoder, *, n_tokens: int) -> None:
        super().__init__(clip)
        room = clip.spec.text.context_length - clip.text.insert_at - 2
        if not 1 <= n_tokens <= room:
            raise InterlaceError(
                f"n_tokens={n_tokens}: must be at least 1, and at most {room} fit the model's "
                f"context of {clip.spec.text.context_length} with a class name"
            )
        self.context = nn.Parameter(torch.randn(n_tokens, clip.text.width) * 0.02)

    def prompt_templates(self, template: str) -> Sequence[str]:
        """The name alone: the context is learnt."""
        return ("{}.",)

    def tokens(self) -> Tensor:
        """The context with its position embeddings, [1, K, D]."""
        at, tower = self.clip.text.insert_at, self.clip.text
        return (self.context + tower.positions[at : at + len(self.context)])[None]

    def edits(self) -> tuple[None, Edit]:
        """The context at the text tower's input."""
        return None, Edit(tokens=Tokens(0, self.tokens(), overwrite=True))

    def prompt_ids(self, prompts: Prompts) -> Tensor:
        """Make room for the context in each prompt."""
        return placeholders(self.clip, prompts, len(self.context))


def placeholders(clip: DualEncoder, prompts: Prompts, count: int) -> Tensor:
    """Ids of ``prompts`` with ``count`` placeholders where the text tower takes tokens.

    Raises:
        InterlaceError: if a prompt has no room for them.
    """
    read, tower = clip.text.read_position(prompts.ids), clip.text
    return make_room(prompts.ids, tower.insert_at, count, read, clip.spec.text.context_length)
