"""Names that a user may have imported stay, and the version has one home."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import interlace

#: What ``interlace`` has offered so far; a name may be added, none may go.
NAMES = {
    "Adapted",
    "AdaptedModel",
    "Affine",
    "DualEncoder",
    "Edit",
    "FewShotTask",
    "Gallery",
    "InterlaceError",
    "LowRank",
    "NotMergeable",
    "Prediction",
    "Prompts",
    "Tokens",
    "compare",
    "evaluate",
    "evaluation",
    "fit",
    "list_methods",
    "load",
    "load_adapted",
    "methods",
}


def test_every_public_name_is_there():
    assert set(interlace.__all__) >= NAMES
    for name in interlace.__all__:
        assert getattr(interlace, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        interlace.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("interlace.evaluation", ("Scores", "harmonic_mean", "paired_difference", "top1")),
        ("interlace.evaluation.retrieve", ("retrieval_metrics",)),
        ("interlace.methods", ("Method", "Output", "available", "create", "get", "parameters")),
        ("interlace.methods", ("count_parameters", "register", "unregister", "defaults", "Range")),
        ("interlace.search", ("BuildReport", "Gallery", "Hit")),
        ("interlace.adaptation.model", ("AdaptedModel", "Prediction", "ImageSource")),
        ("interlace.search.embed", ("METADATA", "EmbedReport", "embed")),
    ],
)
def test_names_of_the_rooms(module, names):
    for name in names:
        assert hasattr(import_module(module), name), name


def test_importing_interlace_loads_nothing_heavy():
    code = (
        "import sys, interlace; print([m for m in ('torch', 'numpy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
