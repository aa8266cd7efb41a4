"""An exported model, scored by open_clip itself."""

from __future__ import annotations

import pytest

import interlace
from interlace.adaptation.merge import NotMergeable
from interlace.errors import InterlaceError
from interlace.experiments.exported import export_and_score
from interlace.protocols.base_to_novel import of_task


@pytest.fixture(scope="module")
def fitted():
    """MAIL-like weights on a small task of the embedded data, and what this library finds."""
    task = interlace.FewShotTask.load("suite/signs", 2, 1)
    plan = of_task(task)
    adapted = interlace.fit(
        interlace.load("picto"), plan.task, "clip_lora", epochs=1, lr=3e-3, device="cpu"
    )
    return adapted, plan.targets, {k: v.scores.top1 for k, v in plan.score(adapted).items()}


def test_open_clip_finds_the_same_accuracy_in_the_export(fitted, tmp_path):
    adapted, targets, expected = fitted
    found = export_and_score(adapted, tmp_path / "plain", targets, expected)
    assert found == pytest.approx(expected)
    # and it is the adapted model that it scored
    frozen = interlace.load("picto")
    assert interlace.load(tmp_path / "plain").fingerprint() != frozen.fingerprint()


def test_another_accuracy_is_an_error_that_names_both(fitted, tmp_path):
    adapted, targets, expected = fitted
    wrong = {**expected, "novel": expected["novel"] + 0.01}
    with pytest.raises(InterlaceError, match="open_clip finds .* % for novel, and this library"):
        export_and_score(adapted, tmp_path / "plain", targets, wrong)


def test_what_cannot_be_merged_leaves_nothing(fitted, tmp_path):
    adapted, targets, expected = fitted
    tokens = interlace.fit(adapted.clip, targets[0].task, "coop", epochs=0, device="cpu")
    with pytest.raises(NotMergeable):
        export_and_score(tokens, tmp_path / "plain", targets, expected)
    assert not (tmp_path / "plain").exists()
