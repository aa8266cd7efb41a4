"""Multi-Modal Adapter: reference numbers, and the factorised attention against a plain one."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from interlace import methods
from interlace.backbone.dual import DualEncoder
from interlace.backbone.spec import VIT_B_16
from interlace.backbone.tower import TowerOutput
from interlace.errors import InterlaceError
from tests import golden, models

NAME = "multimodal_adapter"


def plain_logits(method, v, t):
    """The definition, image by image, with the whole attention matrix."""
    rows = []
    count = len(t)
    for feature in v:
        sequence = torch.cat([t, feature[None]])
        mask = torch.zeros(count + 1, count + 1)
        if method.mask == "released":
            mask[:count, count] = mask[count, :count] = 1
        if method.mask == "cross":
            mask[:count, :count] = float("-inf")
            mask.fill_diagonal_(0)
        x = method.downsampler(sequence)[None]
        adapted = method.upsampler(method.mha(x, x, x, attn_mask=mask, need_weights=False)[0][0])
        blend = method.ratio * F.normalize(adapted, dim=-1) + (1 - method.ratio) * sequence
        blend = F.normalize(blend, dim=-1)
        rows.append(blend[:count] @ blend[count])
    return method.clip.scale * torch.stack(rows)


def build(mask, seed=0, **arguments):
    torch.manual_seed(seed)
    clip = models.tiny()
    method = methods.create(NAME, clip, mask=mask, **arguments)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape))
    return method


@pytest.mark.parametrize("mask", ["cross", "released", "none"])
@pytest.mark.parametrize("arguments", [{"heads": 1}, {"dim": 12, "heads": 4, "ratio": 0.7}])
def test_it_equals_plain_attention(mask, arguments):
    method = build(mask, **arguments)
    v = F.normalize(torch.randn(5, 20), dim=-1)
    t = F.normalize(torch.randn(7, 20), dim=-1)
    logits = method.score(TowerOutput(3 * v), TowerOutput(2 * t)).logits
    expected = plain_logits(method, v, t)
    method.shortcuts = False
    plain = method.score(TowerOutput(3 * v), TowerOutput(2 * t)).logits
    torch.testing.assert_close(plain, expected, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-5)
    weights = torch.randn_like(logits)
    ours = torch.autograd.grad((logits * weights).sum(), list(method.parameters()))
    theirs = torch.autograd.grad((expected * weights).sum(), list(method.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).norm() <= 1e-4 * b.norm() + 1e-4


@pytest.mark.parametrize("mask", ["cross", "released"])
def test_reference_numbers(mask):
    arrays, values = golden.arrays(NAME), golden.meta(NAME)
    method = methods.create(
        NAME, golden.clip(), heads=values["heads"], dim=values["down"], mask=mask
    )
    method.load_state_dict(golden.arrays(NAME, "params/"))
    image, text = (TowerOutput(arrays[f"{n}_features"]) for n in ("image", "text"))

    def error(stage):
        found = method.score(image, text).logits
        return (found - arrays[f"{mask}/{stage}/logits"]).abs().max() / 100

    assert error("before") < 2e-5
    golden.check_three_steps(
        method,
        lambda: method.loss(method.score(image, text), arrays["labels"]),
        NAME,
        prefix=f"{mask}/",
        learning_rate=1e-3,
    )
    assert error("after") < 2e-5


@pytest.mark.parametrize("mask", ["cross", "released"])
def test_a_step_over_a_thousand_classes_fits_in_little_memory(mask):
    """B 256, C 1000, E 512, in a process of its own, whose peak is what the step took."""
    script = f"""
import torch
from interlace import methods
from interlace.backbone.dual import DualEncoder
from interlace.backbone.spec import VIT_B_16
from interlace.backbone.tower import TowerOutput
def peak():  # in KiB; ru_maxrss would begin with that of the process this one was forked from
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

with torch.device("meta"):
    clip = DualEncoder(VIT_B_16)
    method = methods.create("{NAME}", clip, mask="{mask}")
method.to_empty(device="cpu")
for p in method.parameters():
    torch.nn.init.normal_(p, std=0.02)
clip.logit_scale = torch.nn.Parameter(torch.tensor(4.6), requires_grad=False)
image, text = TowerOutput(torch.randn(256, 512)), TowerOutput(torch.randn(1000, 512))
before = peak()
method.loss(method.score(image, text), torch.randint(0, 1000, (256,))).backward()
print((peak() - before) / 2**20)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    gigabytes = float(done.stdout)
    assert 0.01 < gigabytes < 2


def test_masks_differ():
    v, t = TowerOutput(torch.randn(3, 20)), TowerOutput(torch.randn(4, 20))
    found = [build(mask, heads=1).score(v, t).logits for mask in ("cross", "released", "none")]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not torch.allclose(found[first], found[second], atol=1e-3)


def test_the_card_s_parameter_count():
    with torch.device("meta"):
        method = methods.create(NAME, DualEncoder(VIT_B_16))
    e, s, m = 512, 32, 128
    down, up = (e * s + s) + (s * m + m), (m * s + s) + (s * e + e)
    assert sum(p.numel() for p in method.parameters()) == down + up + 4 * m * m + 4 * m


@pytest.mark.parametrize(
    ("bad", "message"),
    [({"mask": "both"}, "cross, released, none"), ({"heads": 3}, "heads=3"), ({"ratio": 2}, "2")],
)
def test_values_out_of_range(bad, message):
    with pytest.raises(InterlaceError, match=message):
        methods.create(NAME, models.tiny(), **{"heads": 1, **bad})
