"""Tokenizers give the ids of the stock libraries, and refuse what does not fit."""

from __future__ import annotations

import gzip
from pathlib import Path

import open_clip
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, CLIPTokenizer, PreTrainedTokenizerFast

from interlace import InterlaceError, Prompts
from interlace.backbone.prompts import fill
from interlace.backbone.tokenizer import MERGES_FILE, byte_pair_tokenizer, transformers_tokenizer

TEXTS = [
    "a photo of a cat.",
    "  A Drawing of a Snow-Covered   VOLCANO, 1999!",
    "it's the café &amp; naïve façade",
    "crème brûlée 🦊 日本",
    "",
]


@pytest.fixture(scope="module")
def sentence_pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small tokenizer of SigLIP's manner: no begin token, pads are ends."""
    words = ["<pad>", "</s>", "<unk>", *"a photo of cat drawing snow covered volcano its".split()]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    folder = tmp_path_factory.mktemp("pieces")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="</s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


class TestBytePairs:
    def test_ids_are_open_clips(self) -> None:
        ours, stock = byte_pair_tokenizer(77)(TEXTS), open_clip.get_tokenizer("ViT-B-16")(TEXTS)
        assert ours.dtype == torch.long
        assert torch.equal(ours, stock)

    def test_a_cut_vocabulary_ends_with_its_special_tokens(self, tmp_path: Path) -> None:
        """Stock open_clip makes the same of a file of the first merges."""
        stock = open_clip.SimpleTokenizer(context_length=24)
        lines = ["#version", *(" ".join(pair) for pair in list(stock.bpe_ranks)[:300])]
        for ending in ("", "\n"):
            merges = tmp_path / MERGES_FILE
            merges.write_bytes(gzip.compress(("\n".join(lines) + ending).encode()))
            ours = byte_pair_tokenizer(24, 814, merges)
            ids = ours(["a cat"])
            assert ids[0, 0] == 812 and ids.max() == ours.end_id == 813
        merges.write_bytes(gzip.compress("\n".join(lines).encode()))
        theirs = open_clip.SimpleTokenizer(str(merges), context_length=24)
        assert torch.equal(ours(["a cat", "snow fox"]), theirs(["a cat", "snow fox"]))

    def test_too_few_merges_are_refused(self, tmp_path: Path) -> None:
        merges = tmp_path / MERGES_FILE
        merges.write_bytes(gzip.compress(b"#version\na b\nc d\n"))
        with pytest.raises(InterlaceError, match="vocabulary of 600 needs 86 merges.* has 2"):
            byte_pair_tokenizer(24, 600, merges)

    def test_saved_for_transformers_the_ids_stay(self, tmp_path: Path) -> None:
        ours = byte_pair_tokenizer(77)
        ours.save(tmp_path, "hf")
        theirs = CLIPTokenizer.from_pretrained(tmp_path)
        # transformers leaves escaped characters of web pages as they are
        texts = [text for text in TEXTS if "&amp;" not in text]
        for text, ids in zip(texts, ours(texts), strict=True):
            length = int(ids.argmax()) + 1
            assert theirs(text)["input_ids"] == ids[:length].tolist()

    def test_own_merges_are_saved_for_both_readers(self, tmp_path: Path) -> None:
        first = tmp_path / "first"
        first.mkdir()
        ours = byte_pair_tokenizer(24, 814)
        settings = ours.save(first, "open_clip")
        again = byte_pair_tokenizer(24, 814, first / MERGES_FILE)
        assert torch.equal(again(TEXTS[:1]), ours(TEXTS[:1]))
        assert settings["hf_tokenizer_name"]
        stock = AutoTokenizer.from_pretrained(first)
        assert stock("a cat")["input_ids"][-1] == 813


class TestTransformers:
    def test_ids_are_open_clips(self, sentence_pieces: Path) -> None:
        ours = transformers_tokenizer(sentence_pieces, 16, "canonicalize")(TEXTS)
        stock = open_clip.tokenizer.HFTokenizer(
            str(sentence_pieces), context_length=16, clean="canonicalize"
        )(TEXTS)
        assert torch.equal(ours, stock)
        assert (ours[:, -1] == 1).all(), "padded to the end, as SigLIP reads the last position"

    def test_without_cleaning_texts_reach_the_tokenizer_as_they_are(
        self, sentence_pieces: Path
    ) -> None:
        ids = transformers_tokenizer(sentence_pieces, 4)(["cat CAT"])
        assert ids.tolist() == [[6, 2, 1, 1]]

    def test_a_clip_tokenizer_of_transformers_gives_clips_ids(self, tmp_path: Path) -> None:
        byte_pairs = byte_pair_tokenizer(77)
        byte_pairs.save(tmp_path, "hf")
        theirs = transformers_tokenizer(tmp_path, 77)(TEXTS[:2])
        ours = byte_pairs(TEXTS[:2])
        for row, other in zip(ours, theirs, strict=True):
            length = int(row.argmax()) + 1
            assert torch.equal(row[:length], other[:length])
            assert (other[length:] == 49407).all()

    def test_a_folder_without_one_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(InterlaceError, match="no tokenizer can be read"):
            transformers_tokenizer(tmp_path, 8)

    def test_a_missing_library_is_named(
        self, sentence_pieces: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(__import__("sys").modules, "transformers", None)
        with pytest.raises(InterlaceError, match=r"pip install 'interlace\[hf\]'"):
            transformers_tokenizer(sentence_pieces, 8)


@pytest.mark.parametrize("kind", ["byte pairs", "transformers"])
def test_a_long_prompt_is_refused_not_cut(kind: str, sentence_pieces: Path) -> None:
    tokenize = (
        byte_pair_tokenizer(8)
        if kind == "byte pairs"
        else transformers_tokenizer(sentence_pieces, 8, "canonicalize")
    )
    special = 2 if kind == "byte pairs" else 1
    fits = " ".join(["cat"] * (8 - special))
    assert tokenize([fits]).shape == (1, 8)
    with pytest.raises(InterlaceError, match=f"prompt '{fits} cat' has 9 tokens.* at most 8"):
        tokenize(["cat", fits + " cat"])


class TestPrompts:
    def test_fill(self) -> None:
        assert fill("a {} here", ["cat", "dog"]) == ["a cat here", "a dog here"]

    @pytest.mark.parametrize("template", ["a photo", "{} and {}"])
    def test_a_template_needs_one_place(self, template: str) -> None:
        with pytest.raises(InterlaceError, match="exactly once"):
            fill(template, ["cat"])

    def test_an_empty_name_is_refused(self) -> None:
        with pytest.raises(InterlaceError, match="empty class name"):
            fill("a {}", ["cat", " "])

    def test_prompts_check_their_shape(self) -> None:
        assert len(Prompts(torch.ones(3, 4, dtype=torch.long))) == 3
        for ids, names in ((torch.ones(3), ()), (torch.ones(0, 4), ()), (torch.ones(2, 4), ("a",))):
            with pytest.raises(InterlaceError):
                Prompts(ids, names)
