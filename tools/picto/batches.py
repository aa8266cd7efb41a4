"""Batches of scenes for contrastive pretraining: pixels, captions and everything that is asked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from captions import BANKS, bank_words, caption
from scenes import EFFECTS, FILTERS, VALIDATION_SETS, Composer, Drawings, Scene
from store import normalise
from torch import Tensor
from torch.utils.data import IterableDataset
from towers import Tokeniser

# How often a factor's bank is drawn, and the least side in pixels for which a factor is asked.
OFTEN = {"colour": 1.5, "subgroup": 2.5, "quality": 1.0, "turn": 0.8, "count": 1.2, "group": 3.0,
         "background": 1.2, "ground": 1.0, "place": 0.6, "size": 0.5, "relation": 0.5}  # fmt: skip
SEEN = {"name": 20, "subgroup": 18, "group": 18}
ASPECTS = ("hand", "ground", "quality")
EFFECT_NAMES = (None, *EFFECTS, *FILTERS)
# Shares of the pools: emoji, redrawn emoji, icons that are concepts, other icons.
SHARES = (0.44, 0.20, 0.18, 0.18)


def normalised(images: np.ndarray) -> Tensor:
    """Take uint8 B x H x W x 3 to what the checkpoint's preprocessing gives, B x 3 x H x W."""
    return normalise(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)


def _edges(grey: Tensor) -> Tensor:
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([sobel, sobel.T, torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])])
    return F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels[:, None])


def descriptors(images: np.ndarray, patch: int) -> tuple[Tensor, Tensor]:
    """Hand-made statistics of uint8 images B x H x W x 3: of the whole, and of every patch.

    The whole (B x 97): roots of histograms of colour (64), gradient (9) and Laplacian (8), the
    orientation of gradients (8), and the autocorrelation of grey at 2, 4, 6, 8 pixels (8).
    A patch (B x patches x 9): mean and deviation of the colours, logarithms of the energies of
    horizontal and vertical gradients and of the Laplacian.
    """
    x = torch.from_numpy(images).float()
    size, count = x.shape[1], x.shape[1] * x.shape[2]
    bins = (x // 64).clamp(0, 3).long() @ torch.tensor([16, 4, 1])
    parts = [torch.zeros(len(x), 64).scatter_add_(1, bins.flatten(1), torch.ones(len(x), count))]
    grey = x.mean(-1)[:, None]
    edge = _edges(grey)
    steep, bend = edge[:, :2].square().sum(1).sqrt().flatten(1), edge[:, 2].abs().flatten(1)
    for values, limits in ((steep, (4, 10, 20, 40, 80, 160, 320, 640)),
                           (bend, (2, 5, 10, 20, 40, 80, 160))):  # fmt: skip
        place = torch.bucketize(values, torch.tensor(limits, dtype=torch.float32))
        parts.append(torch.zeros(len(x), len(limits) + 1).scatter_add_(
            1, place, torch.ones_like(values)))  # fmt: skip
    angle = torch.atan2(edge[:, 1], edge[:, 0]).flatten(1) % torch.pi
    turn = (angle / torch.pi * 8).long().clamp(0, 7)
    ways = torch.zeros(len(x), 8).scatter_add_(1, turn, steep)
    ways = ways / (steep.sum(1, keepdim=True) + 1e3) * count
    whole = (torch.cat([*parts, ways], 1) / count).sqrt()
    flat = grey[:, 0] - grey.mean((2, 3))[..., None]
    power = flat.square().mean((1, 2)) + 20
    lags = [
        (flat.narrow(axis, lag, size - lag) * flat.narrow(axis, 0, size - lag)).mean((1, 2)) / power
        for axis in (1, 2)
        for lag in (2, 4, 6, 8)
    ]
    whole = torch.cat([whole, torch.stack(lags, 1)], 1)
    cells = F.unfold(x.permute(0, 3, 1, 2) / 255, patch, stride=patch)
    cells = cells.view(len(x), 3, patch * patch, -1)
    energy = F.avg_pool2d((edge / 255).square(), patch).flatten(2).add(1e-4).log() / 4
    local = torch.cat([cells.mean(2), cells.std(2), energy], 1)
    return whole, local.transpose(1, 2).contiguous()


def fact_set(facts: dict) -> set[tuple[str, str]]:
    """All (factor, value) pairs that hold; a second object's name is a name."""
    out: set[tuple[str, str]] = set()
    for key, value in facts.items():
        key = "name" if key == "second" else key
        out |= {(key, v) for v in value} if isinstance(value, tuple) else {(key, value)}
    return out


def truth(scenes: list[Scene], said: list[list[tuple[str, str]]]) -> Tensor:
    """Say for images x captions whether all that a caption says holds in an image."""
    wanted = [{("name" if k == "second" else k, v) for k, v in facts} for facts in said]
    ids = {fact: i for i, fact in enumerate(dict.fromkeys(f for facts in wanted for f in facts))}
    image = np.zeros((len(scenes), len(ids)), np.float32)
    text = np.zeros((len(said), len(ids)), np.float32)
    for i, scene in enumerate(scenes):
        for fact in fact_set(scene.facts) & ids.keys():
            image[i, ids[fact]] = 1
    for j, facts in enumerate(wanted):
        text[j, [ids[fact] for fact in facts]] = 1
    return torch.from_numpy(image @ text.T >= text.sum(1) - 0.5)


@dataclass
class Question:
    """The classes of one factor: their texts (a span of the bank), who is asked, the answers.

    ``blocked`` marks further right answers (both colours of a ground), which are not counted wrong.
    """

    factor: str
    start: int
    end: int
    rows: Tensor
    labels: Tensor
    blocked: Tensor


@dataclass
class Batch:
    """B scenes with captions of the first of them; tensors can be moved to a device."""

    pixels: Tensor  # B x 3 x H x W
    captions: Tensor  # token ids, captions x L
    holds: Tensor  # B x captions
    bank: Tensor  # token ids of the questions' classes
    questions: list[Question]
    concept: Tensor  # B, -1 where the name is not asked
    rows: Tensor  # B, rows of the store
    plain: Tensor  # B, whether the drawing fills the frame on white
    whole: Tensor  # B x statistics
    local: Tensor  # B x patches x statistics
    hand: Tensor  # B, index of the drawing hand, -1 where an effect covers it
    effect: Tensor  # B, index into EFFECT_NAMES
    keys: Tensor  # aspects x B, equal numbers: equal manner

    def to(self, device: torch.device) -> Batch:
        """Move everything to a device."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                setattr(self, field.name, value.to(device, non_blocking=True))
        for question in self.questions:
            for name in ("rows", "labels", "blocked"):
                setattr(question, name, getattr(question, name).to(device))
        return self


class Batches(IterableDataset):
    """Endless random batches; every worker of a loader, and every process, draws its own."""

    def __init__(
        self, drawings: Drawings, tokenise: Tokeniser, batch: int, captions: float, factors: int,
        patch: int, seed: int,
    ) -> None:  # fmt: skip
        self.drawings, self.tokenise, self.seed, self.patch = drawings, tokenise, seed, patch
        self.batch, self.captions, self.factors = batch, round(batch * captions), factors
        self.subgroups = tuple(dict.fromkeys(c["subgroup"] for c in drawings.concepts))
        self.banks = dict(BANKS)
        self.banks["subgroup"] = (self.subgroups, ("{}", "a drawing of {}", "a kind of {}"))
        style = np.array(drawings.style)
        trained = np.isin(drawings.kind, ("redrawn", "icon")) & ~np.isin(style, VALIDATION_SETS)
        named = drawings.concept >= 0
        emoji = np.isin(style, ("noto", "noto-v1", "twemoji", "emojione", "emojione-mono",
                                "fxemoji", "unifont"))  # fmt: skip
        icon = trained & (drawings.kind == "icon")
        redrawn = trained & (drawings.kind == "redrawn")
        pools = (emoji, redrawn, icon & named, icon & ~named)
        self.pools = [np.flatnonzero(pool) for pool in pools]
        rows = np.concatenate(self.pools)
        self.hands = {s: i for i, s in enumerate(sorted(set(style[rows])))}
        self.of_hand = {s: np.intersect1d(np.flatnonzero(style == s), rows) for s in self.hands}

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        worker = torch.utils.data.get_worker_info()
        seed = 1000 * self.seed + (worker.id if worker else 0)
        self.composer = Composer(self.drawings, seed)
        self.rng = random.Random(seed + 77)
        while True:
            yield self.make()

    def row(self) -> int:
        """Return a random drawing of pretraining."""
        pool = self.rng.choices(self.pools, SHARES)[0]
        return int(pool[self.rng.randrange(len(pool))])

    def scenes(self) -> list[Scene]:
        """Scenes in pairs: two different drawings, one or more aspects of the manner in common."""
        out, rng = [], self.rng
        for _ in range(self.batch // 2):
            row, manner = self.row(), self.composer.manner()
            out.append(self.composer.compose(row, manner, other=self.row()))
            second, other = self.composer.share(manner), self.row()
            if second.hand_seed == manner.hand_seed:
                same = self.of_hand[self.drawings.style[row]]
                other = int(same[rng.randrange(len(same))])
            kind = "any" if second.ground_seed != manner.ground_seed else (
                rng.choice(("single", "single", "count")))  # fmt: skip
            out.append(self.composer.compose(other, second, kind, other=self.row()))
        first = out[0::2] if rng.random() < 0.5 else out[1::2]  # captions go to either of a pair
        rest = out[1::2] if first[0] is out[0] else out[0::2]
        return [*first, *rest]

    def questions(self, scenes: list[Scene]) -> tuple[list[str], list[Question]]:
        """Texts of the classes of a few random factors, and who is asked what."""
        rng, chosen = self.rng, set()
        while len(chosen) < self.factors:
            chosen.add(rng.choices(list(OFTEN), list(OFTEN.values()))[0])
        texts: list[str] = []
        out: list[Question] = []
        for factor in sorted(chosen):
            classes, templates = self.banks[factor]
            rows, labels, others = [], [], []
            for i, scene in enumerate(scenes):
                value = scene.facts.get(factor)
                if value is None or scene.side < SEEN.get(factor, 0):
                    continue
                values = value if isinstance(value, tuple) else (value,)
                pick = rng.choice(values)
                rows.append(i)
                labels.append(classes.index(pick))
                others.append([classes.index(v) for v in values if v != pick])
            if len(rows) < 4:
                continue
            template, start = rng.choice(templates), len(texts)
            texts += [template.format(bank_words(factor, c, rng)) for c in classes]
            blocked = torch.zeros(len(rows), len(classes), dtype=torch.bool)
            for i, more in enumerate(others):
                blocked[i, more] = True
            out.append(Question(factor, start, len(texts), torch.tensor(rows),
                                torch.tensor(labels), blocked))  # fmt: skip
        return texts, out

    def make(self) -> Batch:
        """One batch."""
        scenes = self.scenes()
        images = np.stack([s.image for s in scenes])
        spoken = [caption(s.facts, self.rng) for s in scenes[: self.captions]]
        texts, questions = self.questions(scenes)
        whole, local = descriptors(images, self.patch)
        drawings = self.drawings
        keys = []
        for aspect in ASPECTS:
            ids: dict[tuple, int] = {}
            keys.append([ids.setdefault(s.keys[aspect], len(ids)) for s in scenes])
        return Batch(
            normalised(images),
            self.tokenise([text for text, _ in spoken]),
            truth(scenes, [said for _, said in spoken]),
            self.tokenise(texts),
            questions,
            torch.tensor([s.concept if s.side >= SEEN["name"] else -1 for s in scenes]),
            torch.tensor([s.row for s in scenes]),
            torch.tensor([s.plain for s in scenes]),
            whole,
            local,
            torch.tensor([self.hands[drawings.style[s.row]] if len(s.keys["hand"]) == 1
                          and isinstance(s.keys["hand"][0], str) and s.side > 24 else -1
                          for s in scenes]),
            torch.tensor([EFFECT_NAMES.index(s.effect) for s in scenes]),
            torch.tensor(keys),
        )  # fmt: skip
