"""Tokenizers: texts to padded ids; a text that is too long is an error, never cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interlace._util.reading import read_json_object, read_text
from interlace._util.text import first_line, printable
from interlace.backbone.byte_pairs import (
    BEGIN,
    CLIP_VOCABULARY,
    END,
    BytePairs,
    cleaning,
    openai_merges,
    read_merges,
)
from interlace.backbone.files import HubRepository, LocalFolder
from interlace.errors import InterlaceError

#: File of a model folder that holds its own merges, where they are not OpenAI's.
MERGES_FILE = "bpe_merges.txt.gz"

#: Letters of a prompt that a message shows.
_SHOWN = 200
#: Bytes that a file of a tokenizer may have; Gemma's has 34 million.
_TOKENIZER_BYTES = 128 << 20
_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model", "tokenizer.model"),
)
#: Classes (and, where none is named, model types) of transformers that read nothing but text,
#: JSON and sentence pieces: no pickles, and no code.
_SAFE_CLASSES = frozenset(
    """
    CLIPTokenizer SiglipTokenizer Siglip2Tokenizer T5Tokenizer GemmaTokenizer BertTokenizer
    RobertaTokenizer XLMRobertaTokenizer GPT2Tokenizer LlamaTokenizer MPNetTokenizer
    DistilBertTokenizer NllbTokenizer Qwen2Tokenizer PreTrainedTokenizer TokenizersBackend
    clip siglip siglip2 metaclip_2 t5 mt5 gemma bert roberta xlm-roberta gpt2
    """.split()
)


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
        """Return the ids [n, L] of ``texts``.

        Raises:
            InterlaceError: if a text has more tokens than the context holds.
        """
        texts = list(texts)
        result = torch.full((len(texts), self.context_length), self.pad_id, dtype=torch.long)
        for row, text, ids in zip(result, texts, self.encode(texts), strict=True):
            if len(ids) > self.context_length:
                shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
                raise InterlaceError(
                    f"prompt {shown!r} has {len(ids)} tokens with its begin and end tokens; "
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
    """Return CLIP's byte-pair tokenizer, open_clip's ``SimpleTokenizer``.

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
    pairs = BytePairs(vocab_size, merges_file, clean)
    own = vocab_size != CLIP_VOCABULARY or merges_file is not None
    return as_text_tokenizer(pairs, context_length, own, clean)


def as_text_tokenizer(
    pairs: BytePairs, context_length: int, own: bool, clean: str = "lower"
) -> TextTokenizer:
    """Return byte pairs as a tokenizer.

    Args:
        pairs: the encoding.
        context_length: L.
        own: whether the merges are other than OpenAI's.
        clean: open_clip's name of the text cleaning.
    """

    def encode(texts: list[str]) -> list[list[int]]:
        return [pairs(text) for text in texts]

    def save(folder: Path, format: str) -> dict[str, Any]:
        if own or format == "hf":
            _save_as_transformers(folder, pairs, context_length)
        if own and format == "open_clip":
            # we read the merges; stock open_clip knows no merges but OpenAI's, and reads the files
            # of transformers in the same folder because the config names a tokenizer
            (folder / MERGES_FILE).write_bytes(pairs.packed())
            return {"hf_tokenizer_name": "CLIPTokenizer"}
        return {} if clean == "lower" else {"tokenizer_kwargs": {"clean": clean}}

    return TextTokenizer(encode, context_length, 0, False, pairs.end, save)


def has_clip_merges(path: Path) -> bool:
    """Return whether the ``merges.txt`` of a transformers tokenizer holds OpenAI's merges."""
    found = read_text(path, "list of merges", _TOKENIZER_BYTES).split("\n")[1:]
    expected = [line.strip() for line in read_merges(openai_merges())[1:]]
    return [line.strip() for line in found if line.strip()] == expected


def _save_as_transformers(folder: Path, pairs: BytePairs, context_length: int) -> None:
    """Write a byte-pair tokenizer in the files of transformers' ``CLIPTokenizer``."""
    special = {BEGIN: "<|startoftext|>", END: "<|endoftext|>"}
    vocabulary = {special.get(token, token): i for token, i in pairs.ids.items()}
    merges = ["#version: 0.2", *(" ".join(pair) for pair in pairs.ranks)]
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
    """Return a tokenizer of the transformers library.

    Args:
        source: a folder, which is read without the network, or a Hugging Face repository.
        context_length: L.
        clean: open_clip's name of the text cleaning; None leaves texts to the tokenizer.
        settings: open_clip's ``text_cfg`` entries that name this tokenizer, kept for saving.
        cache_dir: where downloads are kept.

    Raises:
        InterlaceError: if transformers is not installed, or ``source`` holds no tokenizer or one
            that needs code of its own.
    """
    tokenizer = _auto_tokenizer(source, cache_dir)
    return wrap_transformers(tokenizer, str(source), context_length, clean, settings)


def wrap_transformers(
    tokenizer: Any,
    name: str,
    context_length: int,
    clean: str | None = None,
    settings: dict[str, Any] | None = None,
) -> TextTokenizer:
    """Return a tokenizer object of the transformers library as ours.

    Args:
        tokenizer: the object.
        name: what messages and saved configurations call it.
        context_length: L.
        clean: open_clip's name of the text cleaning; None leaves texts to the tokenizer.
        settings: open_clip's ``text_cfg`` entries that name this tokenizer, kept for saving.
    """
    cleaned = cleaning(clean) if clean else str
    shown = printable(name)

    def encode(texts: list[str]) -> list[list[int]]:
        with _no_panic(f"the tokenizer of {shown!r} fails on these texts"):
            found = tokenizer([cleaned(text) for text in texts], padding=False, truncation=False)
        return found["input_ids"]

    def save(folder: Path, format: str) -> dict[str, Any]:
        tokenizer.save_pretrained(str(folder))
        kept = {"hf_tokenizer_name": name, **(settings or {})}
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
    """Return a tokenizer of transformers' own classes.

    Code that comes with the files never runs.
    """
    _check_class(source, cache_dir)
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise InterlaceError(
            f"the tokenizer of {printable(str(source))!r} needs the transformers library: "
            f"pip install 'interlace[hf]'"
        ) from None
    with _no_panic(f"no tokenizer can be read from {printable(str(source))!r}"):
        return AutoTokenizer.from_pretrained(
            str(source),
            cache_dir=cache_dir,
            local_files_only=isinstance(source, Path),
            trust_remote_code=False,  # left out, transformers asks on the console and may run it
        )


def _check_class(source: str | Path, cache_dir: str | None) -> None:
    """Refuse a tokenizer of any class but those that read word lists, merges and pieces.

    Raises:
        InterlaceError: naming the class, and the code that it would need.
    """
    files = LocalFolder(source) if isinstance(source, Path) else HubRepository(source, cache_dir)
    for name in _TOKENIZER_FILES if isinstance(source, Path) else ():
        path = files.find(name)
        if path and path.stat().st_size > _TOKENIZER_BYTES:
            raise InterlaceError(
                f"{printable(str(path))}: {path.stat().st_size:,} bytes; at most "
                f"{_TOKENIZER_BYTES:,} are read of a tokenizer"
            )
    configs = []
    for name in ("tokenizer_config.json", "config.json"):
        path = files.find(name)
        configs.append(read_json_object(path, most=_TOKENIZER_BYTES) if path else {})
    kinds = [config.get("tokenizer_class") for config in configs]
    kind = next((kind for kind in kinds if kind), None) or configs[1].get("model_type")
    if kind is None:
        if files.find("tokenizer.json"):  # read by the tokenizers library as it stands
            return
        raise InterlaceError(
            f"no tokenizer can be read from {printable(str(source))!r}: it names none"
        )
    if not isinstance(kind, str) or kind.removesuffix("Fast") not in _SAFE_CLASSES:
        code = "auto_map" in configs[0] or "auto_map" in configs[1]
        reason = (
            "it would need Python code that comes with the files, and such code is never run"
            if code
            else "only tokenizers of word lists, merges and sentence pieces are read"
        )
        raise InterlaceError(
            f"the tokenizer of {printable(str(source))!r} is of class "
            f"{printable(repr(kind))}: {reason}"
        )


@contextmanager
def _no_panic(what: str) -> Iterator[None]:
    """Turn whatever a tokenizer library raises into one line; its Rust part even panics."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, InterlaceError):
        raise
    except BaseException as error:
        raise InterlaceError(f"{what}: {first_line(error)}") from None
