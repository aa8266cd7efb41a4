"""Seeds and numbers of shots: one range for every command and call, and each counts once."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch

from interlace import methods
from interlace.cli._options import numbers
from interlace.config import check_seed, resolve, training_hints
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.experiments.compare import compare
from interlace.experiments.grid import list_cells
from tests import models

LARGEST = 2**47 - 1


def test_a_seed_is_one_that_every_part_can_use():
    assert check_seed(0) == 0 and check_seed(np.int64(5)) == 5 and check_seed(LARGEST) == LARGEST
    epochs = get_args(training_hints()["epochs"])[1].limit
    torch.Generator().manual_seed(LARGEST * 100_003 + epochs)  # what the loop makes of it
    for bad in (-1, 2**47, 2**64, 9**5240, 1.5, math.nan, True, False, None, "1", [1], 1j):
        with pytest.raises(InterlaceError) as error:
            check_seed(bad)
        text = str(error.value)
        assert text.startswith("seed=") and ": must be " in text and "\n" not in text
        with pytest.raises(InterlaceError, match="^seed="):
            resolve("mmrl", methods.parameters("mmrl"), {}, seed=bad)
        with pytest.raises(InterlaceError, match="^seed="):
            list_cells("few_shot", ["a"], ["mail"], [1], [bad])
        with pytest.raises(InterlaceError, match="^seed="):
            compare(models.tiny(), lambda seed: None, ["mail"], [bad])


def test_draws_take_the_same_seeds_and_whole_numbers_of_shots(tmp_path):
    for bad in (-1, 2.5, True, "2", None, math.nan, 9**5240):
        with pytest.raises(InterlaceError, match="^shots="):
            FewShotTask.from_folder(tmp_path, bad)
        with pytest.raises(InterlaceError, match="^seed="):
            FewShotTask.from_folder(tmp_path, 1, bad)
        with pytest.raises(InterlaceError, match="^shots="):
            list_cells("few_shot", ["a"], ["mail"], [bad], [1])


def test_a_seed_counts_once():
    with pytest.raises(InterlaceError, match="seeds 1, 2, 1: each counts once"):
        compare(models.tiny(), lambda seed: None, ["mail"], [1, 2, 1])
    once = list_cells("few_shot", ["a"], ["mail"], [1], [1, 2])
    assert list_cells("few_shot", ["a", "a"], ["mail"], [1, 1], [1, 2, 1]) == once


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("²", "expected whole numbers"),
        ("1,²", "expected whole numbers"),
        ("１", "expected whole numbers"),
        ("٣", "expected whole numbers"),
        ("", "expected whole numbers"),
        (",", "expected whole numbers"),
        ("-1", "expected whole numbers"),
        ("1.0", "expected whole numbers"),
        ("1_0", "expected whole numbers"),
        ("1 2", "expected whole numbers"),
        ("1,1", "'1,1': 1 stands there twice"),
        ("1,01", "1 stands there twice"),
        ("9" * 500, "must be a whole number of at least 0 and at most 140,737,488,355,327"),
        ("9" * 5_000, r"seeds '9{60}\.\.\.': a number of 5,000 digits"),
        (str(2**48), "seeds=281474976710656: must be a whole number"),
    ],
)
def test_lists_of_numbers_on_the_command_line(text, words):
    with pytest.raises(InterlaceError, match=words) as error:
        numbers(text, "seeds")
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


def test_good_lists_of_numbers():
    assert numbers("1,2, 3", "seeds") == [1, 2, 3]
    assert numbers("1,2,", "seeds") == [1, 2]  # a comma at the end says nothing
    assert numbers(str(LARGEST), "seeds") == [LARGEST]
