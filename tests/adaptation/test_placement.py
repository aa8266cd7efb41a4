"""A caller's model stays where it is."""

from __future__ import annotations

import pytest
import torch

import interlace
from interlace.adaptation import fit as fitting
from interlace.adaptation import load as loading
from interlace.adaptation.placement import on_device
from tests import models


@pytest.fixture(scope="module")
def task():
    return interlace.FewShotTask.load("picto/activities", shots=1, seed=1).classes_subset("base")


def test_on_the_same_device_nothing_is_copied():
    clip = models.tiny()
    assert on_device(clip, torch.device("cpu")) is clip


def test_elsewhere_it_is_a_copy_and_the_original_stays():
    clip = models.tiny("siglip")
    before = clip.fingerprint()
    copy = on_device(clip, torch.device("meta"))  # a device that every machine has
    assert copy is not clip and type(copy) is type(clip)
    assert copy.device.type == "meta"
    assert {t.device.type for t in copy.state_dict().values()} == {"meta"}
    assert {t.device.type for t in copy.image.buffers()} <= {"meta"}
    assert clip.device.type == "cpu" and clip.fingerprint() == before
    assert {t.device.type for t in clip.state_dict().values()} == {"cpu"}
    assert not any(p.requires_grad for p in copy.parameters()) and not copy.training
    assert (copy.spec, copy.source, copy.template) == (clip.spec, clip.source, clip.template)
    assert copy.tokenizer is clip.tokenizer
    shared = {id(p) for p in clip.parameters()} & {id(p) for p in copy.parameters()}
    assert not shared


def test_a_copy_computes_what_the_original_does():
    clip = models.tiny()
    there = torch.device("cpu")
    away = on_device(clip, torch.device("meta")).to_empty(device=there)
    away.load_state_dict(clip.state_dict())
    assert torch.equal(
        clip(models.images(clip), models.ids()), away(models.images(clip), models.ids())
    )


def test_fit_and_load_adapted_go_through_it(task, tmp_path, monkeypatch):
    clip = interlace.load("picto")
    asked = []

    def elsewhere(model, device):
        asked.append((model, device))
        return interlace.load("picto")  # what a copy on another device is

    adapted = interlace.fit(clip, task, "zero_shot", device="cpu", output=tmp_path / "run")
    assert adapted.clip is clip
    assert interlace.load_adapted(tmp_path / "run", clip, device="cpu").clip is clip
    for module in (fitting, loading):
        monkeypatch.setattr(module, "on_device", elsewhere)
    fitted = interlace.fit(clip, task, "mmrl++", device="cpu", epochs=1)
    loaded = interlace.load_adapted(tmp_path / "run", clip, device="cpu")
    assert [model for model, _ in asked] == [clip, clip]
    assert all(device == torch.device("cpu") for _, device in asked)
    assert fitted.clip is not clip and loaded.clip is not clip
    assert clip.device.type == "cpu"


@pytest.mark.parametrize("method", ["mmrl++", "clip_adapter"])
def test_a_model_with_trainable_weights_gets_no_gradients_and_keeps_its_flags(task, method):
    clip = interlace.load("picto")
    clip.train()
    clip.image.requires_grad_(True)
    flags = [parameter.requires_grad for parameter in clip.parameters()]
    before = clip.fingerprint()
    free = interlace.fit(clip, task, method, device="cpu", epochs=1)
    assert all(parameter.grad is None for parameter in clip.parameters())
    assert [parameter.requires_grad for parameter in clip.parameters()] == flags
    assert clip.training and clip.fingerprint() == before
    usual = interlace.fit("picto", task, method, device="cpu", epochs=1)
    found, expected = free.method.state_dict(), usual.method.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(RuntimeError, match="stopped"):
        interlace.fit(clip, task, method, device="cpu", epochs=1, report=_stop)
    assert [parameter.requires_grad for parameter in clip.parameters()] == flags


def _stop(progress):
    raise RuntimeError("stopped")
