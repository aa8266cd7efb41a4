"""Tokenizers of other libraries that are in memory, as ours: nothing is cut short in silence."""

from __future__ import annotations

from typing import Any

from interlace.backbone.byte_pairs import CLEANING, CLIP_VOCABULARY, BytePairs
from interlace.backbone.prompts import Tokenizer
from interlace.backbone.tokenizer import (
    TextTokenizer,
    as_text_tokenizer,
    wrap_transformers,
)
from interlace.errors import InterlaceError


def from_open_clip_tokenizer(tokenizer: Any, context_length: int) -> Tokenizer:
    """Return one of open_clip's tokenizers as ours; another function from texts to ids as it is.

    Args:
        tokenizer: what ``open_clip.get_tokenizer`` returned, or any such function.
        context_length: L of the model.

    Raises:
        InterlaceError: if it does what ours cannot.
    """
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    if isinstance(tokenizer, TextTokenizer):
        return tokenizer
    if isinstance(tokenizer, SimpleTokenizer):
        return _byte_pairs(tokenizer, context_length)
    if isinstance(tokenizer, HFTokenizer):
        return _transformers(tokenizer, context_length)
    if not callable(tokenizer):
        raise InterlaceError(
            "expected what open_clip.get_tokenizer returns, or a function from texts to ids, got "
            f"a tokenizer of class {type(tokenizer).__name__}"
        )
    return tokenizer


def _byte_pairs(tokenizer: Any, context_length: int) -> TextTokenizer:
    if len(tokenizer.all_special_ids) != 2 or () in tokenizer.bpe_ranks:
        raise InterlaceError(
            "the tokenizer has more than CLIP's two special tokens, or an empty merge: "
            "not supported"
        )
    clean = _clean(tokenizer)
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    pairs = BytePairs(tokenizer.vocab_size, clean=clean, lines=lines)
    own = tokenizer.vocab_size != CLIP_VOCABULARY or lines[1:] != BytePairs().lines[1:]
    return as_text_tokenizer(pairs, context_length, own, clean)


def _transformers(tokenizer: Any, context_length: int) -> TextTokenizer:
    for name in ("tokenizer_mode", "strip_sep_token"):
        if getattr(tokenizer, name, None):
            raise InterlaceError(f"the tokenizer's setting {name} is not supported")
    inner = tokenizer.tokenizer
    name = str(getattr(inner, "name_or_path", "") or "tokenizer")
    settings = {"hf_tokenizer_name": name}
    return wrap_transformers(inner, name, context_length, _clean(tokenizer), settings)


def _clean(tokenizer: Any) -> str:
    """Return open_clip's name of the text cleaning that a tokenizer does."""
    from open_clip.tokenizer import get_clean_fn

    for name in CLEANING:
        if tokenizer.clean_fn is get_clean_fn(name):
            return name
    raise InterlaceError("the tokenizer cleans texts by a function that open_clip does not have")
