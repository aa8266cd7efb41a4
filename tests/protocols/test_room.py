"""The protocols as a package: what it loads, and what it keeps between models."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache

import pytest

import interlace
from interlace import protocols
from interlace.data.images import loader
from interlace.data.images.loader import Images
from interlace.protocols import CLEAN, Condition, Setting

LISTING = "import sys, interlace.protocols.condition; print('torch' in sys.modules)"


def test_a_condition_loads_no_torch() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", LISTING], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split() == ["False"]


def test_conditions_have_names() -> None:
    assert (str(CLEAN), str(Condition("typos", 0.1))) == ("clean", "typos=0.1")
    assert sorted([Condition("typos", 0.2), Condition("typos", 0.1)])[0].severity == 0.1


def test_every_public_name_is_there() -> None:
    assert [name for name in protocols.__all__ if not hasattr(protocols, name)] == []
    assert sorted(protocols._HOMES) == sorted(protocols.__all__) == dir(protocols)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        protocols.nothing  # noqa: B018


def test_every_protocol_has_a_class_of_its_own() -> None:
    kinds = {type(own) for own in protocols.PROTOCOLS.values()}
    assert len(kinds) == len(protocols.PROTOCOLS) == 9
    for name, own in protocols.PROTOCOLS.items():
        assert own.name == name and own.summary.endswith(").") and own.shots


def test_images_are_decoded_once_for_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    plain = loader.open_image
    monkeypatch.setattr(loader, "open_image", lambda *rest: decoded.append(1) or plain(*rest))
    kept = lru_cache(maxsize=1)(Images)
    clip = interlace.load("picto")
    found = []
    # picto's test images are the same for every seed
    for seed in (1, 2):
        plan = protocols.get("few_shot").plan(Setting("picto/activities", 1, seed))
        for key in ("zero_shot", "tip_adapter"):
            adapted = interlace.fit(clip, plan.task, key)
            decoded.clear()
            found.append((plan.score(adapted, kept)["all"].to_dict(), len(decoded)))
            assert plan.score(adapted)["all"].to_dict() == found[-1][0]
    n = found[0][0]["n"]
    assert [count for _, count in found] == [n, 0, 0, 0]
