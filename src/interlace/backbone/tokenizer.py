"""Tokenizers: texts to padded ids, and never a text cut short in silence."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interlace.errors import InterlaceError

#: Vocabulary of OpenAI's CLIP: 256 bytes, each twice, 48,894 merges and two special tokens.
CLIP_VOCABULARY = 49408
#: File of a model folder that holds its own merges, where they are not OpenAI's.
MERGES_FILE = "bpe_merges.txt.gz"

_SPECIAL = 2
_BYTES = 512


@dataclass(frozen=True)
class TextTokenizer:
    """Texts to ids [n, L], padded to the full context on the right (or where the model's pads are).

    Attributes:
        encode: texts to lists of ids, special tokens included, neither padded nor cut.
        context_length: L.
        pad_id: id of the padding.
        pad_left: whether padding stands in front.
        end_id: id of the end-of-text token, where there is one.
        save: writes what a folder needs to make this tokenizer again; called with the folder and
            ``open_clip`` or ``hf``; returns the settings that open_clip's ``text_cfg`` needs.
    """

    encode: Callable[[list[str]], list[list[int]]]
    context_length: int
    pad_id: int
    pad_left: bool
    end_id: int | None
    save: Callable[[Path, str], dict[str, Any]]

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Ids [n, L] of ``texts``.

        Raises:
            InterlaceError: if a text has more tokens than the context holds.
        """
        texts = list(texts)
        result = torch.full((len(texts), self.context_length), self.pad_id, dtype=torch.long)
        for row, text, ids in zip(result, texts, self.encode(texts), strict=True):
            if len(ids) > self.context_length:
                raise InterlaceError(
                    f"prompt {text!r} has {len(ids)} tokens with its begin and end tokens; "
                    f"the model reads at most {self.context_length}: shorten it"
                )
            start = self.context_length - len(ids) if self.pad_left else 0
            row[start : start + len(ids)] = torch.tensor(ids)
        return result


def byte_pair_tokenizer(
    context_length: int,
    vocab_size: int = CLIP_VOCABULARY,
    merges_file: Path | None = None,
    clean: str = "lower",
) -> TextTokenizer:
    """CLIP's byte-pair tokenizer, open_clip's ``SimpleTokenizer``.

    A vocabulary smaller than OpenAI's keeps the first merges; the begin and end tokens are always
    its last two ids.

    Args:
        context_length: L.
        vocab_size: rows of the model's token table.
        merges_file: merges in place of OpenAI's, gzipped, one a line after a header line.
        clean: open_clip's name of the text cleaning.

    Raises:
        InterlaceError: if the merges do not make a vocabulary of ``vocab_size``.
    """
    from open_clip.tokenizer import SimpleTokenizer, default_bpe

    source = Path(default_bpe()) if merges_file is None else merges_file
    with gzip.open(source, "rt", encoding="utf-8") as file:
        header, *merges = file.read().rstrip("\n").split("\n")
    merges = merges[: CLIP_VOCABULARY - _BYTES - _SPECIAL]  # OpenAI's file holds unused ones
    wanted = vocab_size - _BYTES - _SPECIAL
    if not 0 <= wanted <= len(merges):
        raise InterlaceError(
            f"a vocabulary of {vocab_size} needs {wanted} merges, "
            f"the byte-pair tokenizer has {len(merges)}"
        )
    packed = gzip.compress("\n".join([header, *merges[:wanted]]).encode(), mtime=0)
    tokenizer = SimpleTokenizer(
        io.BytesIO(packed),
        context_length=context_length,
        clean=clean,
    )
    begin, end = tokenizer.sot_token_id, tokenizer.eot_token_id

    def encode(texts: list[str]) -> list[list[int]]:
        return [[begin, *tokenizer.encode(text), end] for text in texts]

    def save(folder: Path, format: str) -> dict[str, Any]:
        own = vocab_size != CLIP_VOCABULARY or merges_file is not None
        if own or format == "hf":
            _save_as_transformers(folder, tokenizer, context_length)
        if own and format == "open_clip":
            # we read the merges; stock open_clip knows no merges but OpenAI's, and reads the files
            # of transformers in the same folder because the config names a tokenizer
            (folder / MERGES_FILE).write_bytes(packed)
            return {"hf_tokenizer_name": "CLIPTokenizer"}
        return {} if clean == "lower" else {"tokenizer_kwargs": {"clean": clean}}

    return TextTokenizer(encode, context_length, 0, False, end, save)


def has_clip_merges(path: Path) -> bool:
    """Whether the ``merges.txt`` of a transformers tokenizer holds OpenAI's merges."""
    from open_clip.tokenizer import default_bpe

    count = CLIP_VOCABULARY - _BYTES - _SPECIAL
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        expected = [file.readline().strip() for _ in range(count + 1)][1:]
    found = path.read_text(encoding="utf-8").split("\n")[1:]
    return [line.strip() for line in found if line.strip()] == expected


def _save_as_transformers(folder: Path, tokenizer: Any, context_length: int) -> None:
    """Write a byte-pair tokenizer in the files of transformers' ``CLIPTokenizer``."""
    special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {special.get(token, token): i for token, i in tokenizer.encoder.items()}
    merges = ["#version: 0.2", *(" ".join(pair) for pair in tokenizer.bpe_ranks)]
    begin, end = special.values()
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": begin,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end,
        "do_lower_case": True,
        "model_max_length": context_length,
    }
    _write_json(folder / "vocab.json", vocabulary)
    _write_json(folder / "tokenizer_config.json", config)
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def transformers_tokenizer(
    source: str | Path,
    context_length: int,
    clean: str | None = None,
    settings: dict[str, Any] | None = None,
    cache_dir: str | None = None,
) -> TextTokenizer:
    """A tokenizer of the transformers library.

    Args:
        source: a folder, which is read without the network, or a Hugging Face repository.
        context_length: L.
        clean: open_clip's name of the text cleaning; None leaves texts to the tokenizer.
        settings: open_clip's ``text_cfg`` entries that name this tokenizer, kept for saving.
        cache_dir: where downloads are kept.

    Raises:
        InterlaceError: if transformers is not installed or ``source`` holds no tokenizer.
    """
    from open_clip.tokenizer import get_clean_fn

    tokenizer = _auto_tokenizer(source, cache_dir)
    cleaned = get_clean_fn(clean) if clean else str

    def encode(texts: list[str]) -> list[list[int]]:
        ids = tokenizer([cleaned(text) for text in texts], padding=False, truncation=False)
        return ids["input_ids"]

    def save(folder: Path, format: str) -> dict[str, Any]:
        tokenizer.save_pretrained(str(folder))
        kept = {"hf_tokenizer_name": str(source), **(settings or {})}
        if clean:
            kept.setdefault("tokenizer_kwargs", {"clean": clean})
        return kept

    pad = tokenizer.pad_token_id
    return TextTokenizer(
        encode,
        context_length,
        0 if pad is None else pad,
        tokenizer.padding_side == "left",
        tokenizer.eos_token_id,
        save,
    )


def _auto_tokenizer(source: str | Path, cache_dir: str | None) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise InterlaceError(
            f"the tokenizer of {str(source)!r} needs the transformers library: "
            f"pip install 'interlace[hf]'"
        ) from None
    local = isinstance(source, Path)
    try:
        return AutoTokenizer.from_pretrained(
            str(source), cache_dir=cache_dir, local_files_only=local
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).split("\n")[0]
        raise InterlaceError(f"no tokenizer can be read from {str(source)!r}: {reason}") from None
