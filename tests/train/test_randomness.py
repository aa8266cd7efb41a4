"""The batches of an epoch: every image once, whatever the number of processes, whole or dropped."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch

import interlace
from interlace.backbone.preprocess import Preprocess
from interlace.config import TrainConfig
from interlace.data.images.loader import batches
from interlace.data.records import Record
from interlace.errors import InterlaceError
from interlace.train.randomness import dropout_stream, global_batches, shard, steps_per_epoch
from tests import models
from tests.train.test_fit import SETTINGS, fit, folder, task  # noqa: F401  (fixtures)

#: 22 images of three classes from two domains.
RECORDS = [
    Record(Path(f"{i}.png"), i % 3, str(i), "ab"[i % 2])  # never opened
    for i in range(22)
]
GROUPS = {"sampler": "domains", "per_class": 2}


@pytest.mark.parametrize("own", [{}, GROUPS], ids=["shuffle", "domains"])
def test_batches_hold_every_image_once_and_follow_from_seed_and_epoch(own):
    config = TrainConfig(batch_size=5, **own)
    found = global_batches(RECORDS, config, 1, 3)
    assert [len(batch) for batch in found] == [5, 5, 5, 5, 2]
    assert sorted(chain(*found)) == list(range(22))
    torch.manual_seed(99)
    assert global_batches(RECORDS, config, 1, 3) == found
    assert global_batches(RECORDS, config, 1, 4) != found
    assert global_batches(RECORDS, config, 2, 3) != found


@pytest.mark.parametrize("own", [{}, GROUPS], ids=["shuffle", "domains"])
def test_drop_last_leaves_out_the_partial_batch_and_nothing_else(own):
    config = TrainConfig(batch_size=5, **own)
    dropped = replace(config, drop_last=True)
    assert global_batches(RECORDS, dropped, 1, 3) == global_batches(RECORDS, config, 1, 3)[:-1]
    assert steps_per_epoch(22, config) == 5 and steps_per_epoch(22, dropped) == 4
    whole = RECORDS[:20]
    assert global_batches(whole, dropped, 1, 3) == global_batches(whole, config, 1, 3)
    assert steps_per_epoch(20, config) == steps_per_epoch(20, dropped) == 4


def test_shards_join_to_the_batch_whatever_the_number_of_processes():
    for batch in global_batches(RECORDS, TrainConfig(batch_size=5), 1, 0):
        for world in range(1, 8):
            parts = [shard(batch, rank, world) for rank in range(world)]
            assert list(chain(*parts)) == batch
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for rank, world in ((-1, 2), (2, 2), (0, 0)):
        with pytest.raises(ValueError, match=f"rank {rank} of {world} processes"):
            shard([1, 2], rank, world)


def test_images_of_a_shard_are_augmented_as_in_the_whole_batch(task):  # noqa: F811
    transform, config = Preprocess(16).train_transform(), TrainConfig(batch_size=6)
    whole = global_batches(task.train, config, 1, 2)
    (images, labels), *_ = batches(task.train, transform, 6, shuffle_seed=(1, 2))
    for rank in range(2):
        mine = [shard(batch, rank, 2) for batch in whole]
        own = next(iter(batches(task.train, transform, 6, shuffle_seed=(1, 2), index_batches=mine)))
        part = slice(3 * rank, 3 * rank + 3)
        assert torch.equal(own[0], images[part]) and torch.equal(own[1], labels[part])


def test_dropout_follows_from_seed_and_epoch_and_moves_nothing():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    drawn = {}
    for seed, epoch in ((1, 0), (1, 1), (2, 0)):
        with dropout_stream(seed, epoch):
            drawn[seed, epoch] = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with dropout_stream(1, 1):
        assert torch.equal(torch.rand(3), drawn[1, 1])
    assert len({tuple(values.tolist()) for values in drawn.values()}) == 3


@pytest.mark.parametrize("method", ["mmrl++", "linear_probe"])
@pytest.mark.parametrize(
    "fixed",
    [{}, {"crop_scale": 1, "flip": False}, GROUPS],
    ids=["crops", "fixed", "domains"],
)
def test_a_fit_counts_its_steps(task, method, fixed):  # noqa: F811
    own = SETTINGS if method == "mmrl++" else {"lr": 1e-2}
    for drop, steps in ((False, 3), (True, 2)):
        seen = []
        fitted = interlace.fit(
            models.tiny(),
            task,
            method,
            report=seen.append,
            **{**own, "epochs": 2, "batch_size": 6, "drop_last": drop, **fixed},
        )
        assert len(task.train) == 16
        assert [(one.epoch, one.step, one.steps) for one in seen] == [
            (epoch, step, steps) for epoch in (1, 2) for step in range(1, steps + 1)
        ]
        assert fitted.config.train.drop_last is drop


def test_the_only_batch_is_never_dropped(task):  # noqa: F811
    for method, own in (("mmrl++", {"n_tokens": 2}), ("linear_probe", {})):
        seen = []
        small = {"batch_size": 17, "epochs": 1, **own}
        dropped = interlace.fit(
            models.tiny(), task, method, report=seen.append, drop_last=True, **small
        )
        assert [(one.step, one.steps) for one in seen] == [(1, 1)]
        assert dropped.history == interlace.fit(models.tiny(), task, method, **small).history
    # what is not trained in batches has none to drop
    for method in ("zero_shot", "tip_adapter"):
        interlace.fit(models.tiny(), task, method, batch_size=17, drop_last=True)


def test_what_was_recorded_before_the_setting_came_is_the_same_run(task, tmp_path):  # noqa: F811
    def kill(progress):
        if progress.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(task, output=tmp_path / "run", report=kill)
    content = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    assert b"per_class" in content and b"drop_last" not in content
    with pytest.raises(InterlaceError, match="other settings"):
        fit(task, output=tmp_path / "run", drop_last=True)
    resumed = fit(task, output=tmp_path / "run")
    assert resumed.history == fit(task).history
    header = (tmp_path / "run" / "bundle.json").read_text()
    assert '"per_class"' in header and "drop_last" not in header
    assert not interlace.load_adapted(tmp_path / "run", models.tiny()).config.train.drop_last
    fit(task, output=tmp_path / "dropped", epochs=1, drop_last=True)
    loaded = interlace.load_adapted(tmp_path / "dropped", models.tiny())
    assert loaded.config.train.drop_last
