"""What a checkpoint, or a model of another library, comes to: the parts of a dual encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from interlace.backbone.byte_pairs import CLIP_VOCABULARY
from interlace.backbone.preprocess import Preprocess
from interlace.backbone.prompts import Tokenizer
from interlace.backbone.spec import Spec
from interlace.backbone.tokenizer import TextTokenizer, byte_pair_tokenizer

#: The prompt where a checkpoint names none.
TEMPLATE = "a photo of a {}."


@dataclass(frozen=True)
class LoadedModel:
    """The parts of a dual encoder, without a module.

    Every reader of this package returns one, and :func:`~.save.save_model` takes one.

    Attributes:
        spec: the architecture.
        state: the tensors, under our names and in float32.
        tokenizer: texts to ids, where the checkpoint has one.
        preprocess: image constants.
        source: where it came from, as :func:`interlace.load` takes it.
        template: the default prompt.
    """

    spec: Spec
    state: Mapping[str, Tensor]
    tokenizer: Tokenizer | None
    preprocess: Preprocess
    source: str = ""
    template: str = TEMPLATE


def own_tokenizer(spec: Spec) -> TextTokenizer | None:
    """Return OpenAI's byte pairs, for tensors without a config; None for another vocabulary."""
    if spec.text.vocab_size != CLIP_VOCABULARY:
        return None
    return byte_pair_tokenizer(spec.text.context_length)
