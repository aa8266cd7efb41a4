"""CLIP's byte-pair encoding: text cleaning, splitting into words, merging.

It gives the ids of open_clip's ``SimpleTokenizer`` for any text. That library is not imported: it
brings torchvision and timm, and takes longer to load than a small model.
"""

from __future__ import annotations

import gzip
import html
import string
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from interlace._util.reading import check_regular
from interlace._util.text import first_line, printable
from interlace.errors import InterlaceError

#: Vocabulary of OpenAI's CLIP: 256 bytes, each twice, 48,894 merges and two special tokens.
CLIP_VOCABULARY = 49408
#: OpenAI's merges, a file of the open_clip package.
OPENAI_MERGES = "bpe_simple_vocab_16e6.txt.gz"
BEGIN, END = "<start_of_text>", "<end_of_text>"

#: Bytes that a file of merges may unpack to; OpenAI's has three million.
_MERGES_BYTES = 16 << 20
_OWN_IDS = 512 + 2  # bytes alone and at a word's end; begin and end of text
_MOST_CACHED = 1 << 16
_WORDS = rf"{BEGIN}|{END}|'s|'t|'re|'ve|'m|'ll|'d|" + r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class BytePairs:
    """The encoding that a list of merges defines.

    A vocabulary smaller than OpenAI's keeps the first merges; the begin and end tokens are always
    its last two ids.

    Args:
        vocab_size: number of ids.
        merges_file: merges in place of OpenAI's, gzipped, one a line after a header line.
        clean: open_clip's name of the text cleaning, a key of :data:`CLEANING`.
        lines: merges that were read already, a header first.

    Raises:
        InterlaceError: if the file cannot be read, or its merges do not make ``vocab_size`` ids.
    """

    def __init__(
        self,
        vocab_size: int = CLIP_VOCABULARY,
        merges_file: Path | None = None,
        clean: str = "lower",
        lines: Sequence[str] | None = None,
    ) -> None:
        self.clean = cleaning(clean)
        lines = read_merges(merges_file or openai_merges()) if lines is None else lines
        wanted = vocab_size - _OWN_IDS
        if not 0 <= wanted < len(lines):
            raise InterlaceError(
                f"a vocabulary of {vocab_size} needs {wanted} merges, "
                f"the byte-pair tokenizer has {len(lines) - 1}"
            )
        self.lines = list(lines[: wanted + 1])
        merges = [tuple(line.split()) for line in self.lines[1:]]
        if any(len(pair) != 2 for pair in merges):
            row = next(i for i, pair in enumerate(merges) if len(pair) != 2)
            raise InterlaceError(
                f"{printable(str(merges_file))}, line {row + 2}: a merge is two words, "
                f"found {len(merges[row])}"
            )
        self._bytes = _byte_characters()
        alone = list(self._bytes.values())
        words = [*alone, *(c + "</w>" for c in alone), *("".join(m) for m in merges), BEGIN, END]
        #: Tokens to ids; of equal tokens, which merges may make, the last counts.
        self.ids = {word: i for i, word in enumerate(words)}
        self.ranks = {pair: i for i, pair in enumerate(merges)}
        self.begin, self.end = len(words) - 2, len(words) - 1
        self._cache: dict[str, list[int]] = {BEGIN: [self.begin], END: [self.end]}

    def __call__(self, text: str) -> list[int]:
        """Return the ids of ``text``, begin and end tokens included."""
        found = [self.begin]
        for word in _word_pattern().findall(self.clean(text)):
            found += self._encode("".join(self._bytes[byte] for byte in word.encode()))
        return [*found, self.end]

    def packed(self) -> bytes:
        """Return the merges as a gzipped file, the same bytes for the same merges."""
        return gzip.compress("\n".join(self.lines).encode(), mtime=0)

    def _encode(self, word: str) -> list[int]:
        if word not in self._cache:
            if len(self._cache) >= _MOST_CACHED:
                self._cache = {BEGIN: [self.begin], END: [self.end]}
            self._cache[word] = [self.ids[part] for part in self._merged(word)]
        return self._cache[word]

    def _merged(self, word: str) -> list[str]:
        never = len(self.ranks)
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pairs = set(zip(parts, parts[1:], strict=False))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, never))
            if best not in self.ranks:
                break
            merged: list[str] = []
            for part in parts:
                if merged and (merged[-1], part) == best:
                    merged[-1] += part
                else:
                    merged.append(part)
            parts = merged
        return parts


def read_merges(path: Path) -> list[str]:
    """Read the lines of a gzipped file of merges, header first; at most as many as CLIP can use.

    Raises:
        InterlaceError: if it cannot be read, or unpacks to more than a vocabulary can need.
    """
    shown = printable(str(path))
    check_regular(path)
    try:
        with gzip.open(path) as file:
            content = file.read(_MERGES_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InterlaceError(f"{shown}: cannot be read as gzip ({first_line(error)})") from None
    if len(content) > _MERGES_BYTES:
        raise InterlaceError(f"{shown}: unpacks to more than {_MERGES_BYTES >> 20} MiB of merges")
    try:
        lines = content.decode("utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError:
        raise InterlaceError(f"{shown}: not UTF-8 text") from None
    return lines[: CLIP_VOCABULARY - _OWN_IDS + 1]  # OpenAI's file holds unused ones


def openai_merges() -> Path:
    """Find the file of OpenAI's merges without importing the package that contains it.

    Raises:
        InterlaceError: if open_clip is not installed.
    """
    spec = find_spec("open_clip")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder, OPENAI_MERGES)
        if path.is_file():
            return path
    raise InterlaceError("OpenAI's merges are missing: pip install open_clip_torch")


def cleaning(name: object) -> Callable[[str], str]:
    """Return the text cleaning that open_clip calls ``name``.

    Raises:
        InterlaceError: if there is none of that name.
    """
    if not isinstance(name, str) or name not in CLEANING:
        raise InterlaceError(f"text cleaning {name!r}: expected one of {', '.join(CLEANING)}")
    return CLEANING[name]


def _basic(text: str) -> str:
    if text.isascii() and text.isprintable() and "&" not in text:
        return text.strip()  # nothing to mend, and no need of a library that is slow to import
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def _whitespace(text: str) -> str:
    return " ".join(_basic(text).split())


def _lower(text: str) -> str:
    return _whitespace(text).lower()


def _canonical(text: str) -> str:
    plain = _basic(text).replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return " ".join(plain.lower().split())


#: open_clip's names of text cleanings.
CLEANING: dict[str, Callable[[str], str]] = {
    "lower": _lower,
    "whitespace": _whitespace,
    "canonicalize": _canonical,
}


@lru_cache
def _word_pattern() -> Any:
    import regex

    return regex.compile(_WORDS, regex.IGNORECASE)


@lru_cache
def _byte_characters() -> dict[int, str]:
    """Return a printable character for each byte, as OpenAI's merges write them."""
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in shown]
    return {
        **{byte: chr(byte) for byte in shown},
        **{byte: chr(256 + i) for i, byte in enumerate(others)},
    }
