"""Train the picto CLIP: image tower on fixed text targets, text tower, then both together.

    python tools/picto/pretrain.py image --work build/picto --run build/picto/run --minutes 47
    python tools/picto/pretrain.py text  --work build/picto --run build/picto/run --minutes 10
    python tools/picto/pretrain.py joint --work build/picto --run build/picto/run --minutes 5

The README beside this file gives the exact commands of the published checkpoint. Every phase
starts from the latest weights of the run folder, resumes after an interruption, logs JSON lines to
``log.jsonl`` and leaves an open_clip folder in ``model/``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.transformer import PatchDropout
from safetensors.torch import load_file, save_file
from sources import STYLES
from store import Store, augment, canonical
from torch import Tensor, nn
from towers import (
    Tokeniser,
    build_model,
    encode_image,
    encode_text,
    export,
    initialise,
    model_config,
)

TEMPLATES = (
    "{}", "a drawing of {}", "an icon of {}", "a picture of {}", "an emoji of {}",
    "a sketch of {}", "an image of {}", "a photo of a {}.", "a photo of {}",
    "a drawing of a {}", "a pictogram of {}", "{}, a drawing", "a small picture of {}",
)  # fmt: skip
STYLE_TEMPLATES = {
    "colour": ("a colorful drawing of {}", "a flat color emoji of {}", "a cartoon of {}",
               "a color icon of {}", "a flat drawing of {}"),
    "line": ("a line drawing of {}", "a black and white icon of {}", "an outline of {}",
             "a monochrome drawing of {}", "a black and white drawing of {}"),
}  # fmt: skip
START = {"emoji": 0.78, "redrawn": 0.09, "named": 0.09, "extra": 0.04}  # shares at the beginning
STOP = {"of", "the", "a", "with", "and", "in", "on", "an", "for", "to", "icon"}


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates for the matrices of the blocks.

    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. Matrices
    of one shape are orthogonalised together; ``in_proj`` weights count as three matrices. With
    several workers each orthogonalises its share.
    """

    def __init__(self, params: list[Tensor], lr: float, momentum: float, decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.workers = dist.get_world_size() if dist.is_initialized() else 1

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                buffer = state["momentum"]
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"])
                rows, cols = p.shape
                parts = 3 if rows == 3 * cols else 1
                pieces = zip(p.view(parts, -1, cols), update.view(parts, -1, cols), strict=True)
                for piece, direction in pieces:
                    shapes.setdefault(tuple(piece.shape), []).append((piece, direction))
            for (rows, cols), items in shapes.items():
                updates = torch.stack([u for _, u in items])
                mine = updates[self.rank :: self.workers]
                if self.workers == 1:
                    updates = orthogonalise(mine)
                else:
                    share = orthogonalise(mine)
                    updates.zero_()
                    updates[self.rank :: self.workers] = share
                    dist.all_reduce(updates)
                scale = group["lr"] * max(1.0, rows / cols) ** 0.5
                for (piece, _), update in zip(items, updates, strict=True):
                    piece.mul_(1 - group["lr"] * group["decay"]).sub_(update, alpha=scale)


def orthogonalise(x: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrices (batch first)."""
    turned = x.shape[-2] > x.shape[-1]
    if turned:
        x = x.transpose(-1, -2)
    x = x / (x.flatten(-2).norm(dim=-1).view(-1, 1, 1) + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(-1, -2)
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.transpose(-1, -2) if turned else x


@dataclass
class Targets:
    """Fixed text targets: normalised idf-weighted sums of random word vectors."""

    concepts: Tensor  # concepts x embed
    rows: Tensor  # images x embed, of the icon's own words (zero for emoji)
    concept_key: Tensor  # equal keys: equal names
    row_key: Tensor


def words_of(text: str) -> list[str]:
    """Lower-case words of a text."""
    return re.findall(r"[a-z0-9']+", text.lower())


def make_targets(store: Store, embed: int, seed: int = 5) -> Targets:
    """Build the targets of all concepts and of every icon that is no concept."""
    bags: list[Counter[str]] = []
    for concept in store.concepts:
        bag: Counter[str] = Counter()
        weighted = [(concept["name"], 2.0), (concept["subgroup"], 0.8), (concept["group"], 0.3)]
        weighted += [(tag, 0.6) for tag in concept["tags"]]
        for text, weight in weighted:
            for word in words_of(text):
                bag[word] += weight
        bags.append(bag)
    extra = store.pools()["extra"]
    for row in extra:
        bag = Counter()
        for text, weight in [(store.names[row], 2.0), *((t, 0.6) for t in store.tags[row])]:
            for word in words_of(text):
                bag[word] += weight
        bags.append(bag)
    frequency = Counter(word for bag in bags for word in bag)
    generator = torch.Generator().manual_seed(seed)
    vectors: dict[str, Tensor] = {}
    out = torch.zeros(len(bags), embed)
    for i, bag in enumerate(bags):
        for word, weight in bag.items():
            if word in STOP:
                continue
            if word not in vectors:
                vectors[word] = torch.randn(embed, generator=generator)
            rarity = min(6.0, math.log(len(bags) / frequency[word]))
            out[i] += weight * rarity * vectors[word]
    out = F.normalize(out + 1e-6, dim=-1)
    keys: dict[str, int] = {}

    def key(name: str) -> int:
        return keys.setdefault(re.sub(r"[^a-z0-9]", "", name.lower()), len(keys))

    count = len(store.concepts)
    rows = torch.zeros(len(store.names), embed)
    rows[extra] = out[count:]
    return Targets(
        concepts=out[:count],
        rows=rows,
        concept_key=torch.tensor([key(c["name"]) for c in store.concepts]),
        row_key=torch.tensor([key(name) for name in store.names]),
    )


class Sampler:
    """Endless mixed batches of rows: shuffled pools with fixed shares."""

    def __init__(self, store: Store, shares: dict[str, float], seed: int) -> None:
        self.rng = np.random.RandomState(seed)
        self.shares = shares
        self.pools = store.pools()
        self.weights: dict[str, np.ndarray] = {}
        named = store.concept[self.pools["named"]]
        counts = np.bincount(named, minlength=len(store.concepts))[named]
        self.weights["named"] = counts**-0.6
        boost = {"openclipart": 2.0, "game-icons": 1.2, "tabler": 0.5, "mdi": 0.5}
        self.weights["extra"] = np.array(
            [boost.get(s, 1.0) for s in store.style[self.pools["extra"]]]
        )
        self.queue: dict[str, list[int]] = {name: [] for name in shares}

    def _take(self, name: str, count: int) -> list[int]:
        queue, pool = self.queue[name], self.pools[name]
        while len(queue) < count:
            weights = self.weights.get(name)
            if weights is None:
                queue += self.rng.permutation(pool).tolist()
            else:
                queue += self.rng.choice(pool, 4000, p=weights / weights.sum()).tolist()
        self.queue[name] = queue[count:]
        return queue[:count]

    def batch(self, size: int, early: float = 0.0) -> list[int]:
        """Row numbers, the extras last; ``early`` (1 to 0) moves the shares to the real emoji."""
        rows: list[int] = []
        for name, share in self.shares.items():
            if name != "extra":
                rows += self._take(name, round(size * (share + early * (START[name] - share))))
        return rows + self._take("extra", size - len(rows))


@dataclass
class Session:
    """What all phases share."""

    args: argparse.Namespace
    store: Store
    model: CLIP
    config: dict
    device: torch.device
    tokenise: Tokeniser
    rank: int
    workers: int

    def autocast(self) -> contextlib.AbstractContextManager:
        """bfloat16 on a GPU, nothing on a CPU (where it is slower)."""
        if self.device.type == "cuda":
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def log(self, **record: object) -> None:
        """Append one JSON line and print it (first worker only)."""
        if self.rank:
            return
        line = json.dumps({"phase": self.args.phase, **record})
        with (self.args.run / "log.jsonl").open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


@torch.no_grad()
def style_features(session: Session, model: CLIP, style: str) -> tuple[Tensor, Tensor]:
    """Features and concepts of all drawings of a style, canonical view."""
    rows = session.store.style_rows(style)
    size = session.config["vision_cfg"]["image_size"]
    parts = [
        encode_image(model, canonical(session.store.images[rows[i : i + 256]], size).to(
            session.device
        )).float().cpu()
        for i in range(0, len(rows), 256)
    ]  # fmt: skip
    return torch.cat(parts), torch.from_numpy(session.store.concept[rows])


@torch.no_grad()
def text_bank(session: Session, model: CLIP, template: str) -> Tensor:
    """Text features of all concept names."""
    names = [template.format(c["name"]) for c in session.store.concepts]
    parts = [
        encode_text(model, session.tokenise(names[i : i + 256]).to(session.device)).float().cpu()
        for i in range(0, len(names), 256)
    ]
    return torch.cat(parts)


def validation(session: Session, model: CLIP, bank: Tensor) -> dict[str, float]:
    """Top-1 over all concept names on the validation styles and two seen styles."""
    model.eval()
    out = {}
    watched = [s.name for s in STYLES.values() if s.role == "validation"] + ["noto", "twemoji"]
    for style in watched:
        features, labels = style_features(session, model, style)
        hits = ((features @ bank.T).argmax(1) == labels).float().mean().item()
        out[style] = round(100 * hits, 1)
    model.train()
    return out


class Average:
    """Exponential moving average of the weights."""

    def __init__(self, model: CLIP, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.shadow = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: CLIP) -> None:
        """Move towards the current weights."""
        self.steps += 1
        rate = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        mine, theirs = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point() and name != "attn_mask":
                mine.append(self.shadow[name])
                theirs.append(value)
        torch._foreach_lerp_(mine, theirs, rate)

    @contextlib.contextmanager
    def applied(self, model: CLIP):
        """Return the model with averaged weights inside the context."""
        kept = {k: v.detach().clone() for k, v in model.state_dict().items()}
        model.load_state_dict(self.shadow)
        try:
            yield model
        finally:
            model.load_state_dict(kept)


def learning_rate(progress: float, step: int, warm: int) -> float:
    """Warm-up, constant to 30 %, then linear to zero."""
    return min(1.0, (step + 1) / warm) * min(1.0, max(0.0, (1 - progress) / 0.7))


def optimisers(
    session: Session, named: list[tuple[str, nn.Parameter]], lr: float, muon_lr: float
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks (when muon_lr > 0), AdamW for everything else."""
    hidden = [p for n, p in named if "resblocks" in n and p.ndim == 2 and muon_lr > 0]
    taken = {id(p) for p in hidden}
    rest = [(n, p) for n, p in named if id(p) not in taken]
    decayed = [p for n, p in rest if p.ndim >= 2 and "embedding" not in n]
    others = [p for n, p in rest if not (p.ndim >= 2 and "embedding" not in n)]
    adam = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=lr,
        betas=(0.9, 0.98),
        eps=1e-6,
    )
    out: list[torch.optim.Optimizer] = [adam]
    if hidden:
        out.append(Muon(hidden, muon_lr, 0.95, session.args.muon_decay))
    for optimiser in out:
        for group in optimiser.param_groups:
            group["top"] = group["lr"]
    return out


class Clock:
    """Progress of a phase by wall clock, with checkpoints that carry everything needed."""

    def __init__(
        self, session: Session, parts: list[torch.optim.Optimizer], average: Average
    ) -> None:
        self.session, self.parts, self.average = session, parts, average
        self.file = session.args.run / f"{session.args.phase}.ckpt"
        self.step = self.samples = 0
        self.spent = 0.0
        if self.file.exists():
            state = torch.load(self.file, map_location=session.device, weights_only=True)
            session.model.load_state_dict(state["model"])
            average.shadow, average.steps = state["shadow"], state["step"]
            for part, saved in zip(parts, state["optimisers"], strict=True):
                part.load_state_dict(saved)
            self.step, self.samples, self.spent = state["step"], state["samples"], state["spent"]
            session.log(resumed=self.step, spent_min=round(self.spent / 60, 2))
        self.prefix = time.time() - self.spent
        self.saved = self.looked = self.told = time.time()
        self.losses: list[float] = []
        self.told_samples = self.samples
        self.progress = 0.0

    def running(self) -> bool:
        """Update the share of the phase's time that is spent; the first worker's clock counts."""
        spent = torch.tensor([1.0 if self.over() else self.share()])
        if self.session.workers > 1:
            dist.broadcast(spent, 0)
        self.progress = float(spent)
        return self.progress < 1

    def share(self) -> float:
        """Share of the minutes that is spent."""
        return (time.time() - self.prefix) / (self.session.args.minutes * 60)

    def over(self) -> bool:
        """Whether the minutes, or the samples of a short trial, are spent."""
        limit = self.session.args.stop_samples
        return self.share() >= 1 or (limit > 0 and self.samples >= limit)

    def set_rates(self, warm: int) -> None:
        """Write this step's learning rate into the optimisers."""
        factor = learning_rate(self.progress, self.step, warm)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["top"] * factor

    def apply(self, loss: Tensor, parameters: list[nn.Parameter], count: int) -> None:
        """Backward, clip, step, average."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)
        loss.backward()
        if self.session.workers > 1:
            gradients = [p.grad for p in parameters if p.grad is not None]
            flat = torch.cat([g.flatten() for g in gradients])
            dist.all_reduce(flat)
            flat /= self.session.workers
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]),
                                      strict=True):  # fmt: skip
                gradient.copy_(part.view_as(gradient))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for part in self.parts:
            part.step()
        self.average.update(self.session.model)
        self.step += 1
        self.samples += count * self.session.workers
        self.losses.append(loss.detach().item())

    def tick(self, look) -> None:
        """Log every half minute, validate every ``--look`` minutes, save every three minutes."""
        if self.session.rank:
            return
        now = time.time()
        record: dict[str, object] = {
            "step": self.step,
            "samples": self.samples,
            "min": round((now - self.prefix) / 60, 2),
        }
        if now - self.looked > self.session.args.look * 60 or self.over():
            self.looked = now
            with self.average.applied(self.session.model) as model:
                self.session.log(**record, loss=round(float(np.mean(self.losses[-200:])), 3),
                                 top1=look(model))  # fmt: skip
        elif now - self.told > 30:
            rate = (self.samples - self.told_samples) / (now - self.told)
            self.session.log(**record, loss=round(float(np.mean(self.losses[-100:])), 3),
                             per_second=round(rate))  # fmt: skip
            self.told, self.told_samples = now, self.samples
        if now - self.saved > 180:
            self.saved = now
            self.save()

    def save(self) -> None:
        """Write the checkpoint of the phase."""
        state = {
            "model": self.session.model.state_dict(),
            "shadow": self.average.shadow,
            "optimisers": [p.state_dict() for p in self.parts],
            "step": self.step,
            "samples": self.samples,
            "spent": time.time() - self.prefix,
        }
        torch.save(state, self.file.with_suffix(".tmp"))
        self.file.with_suffix(".tmp").rename(self.file)

    def finish(self) -> None:
        """Take the averaged weights, write them and the open_clip folder."""
        self.session.model.load_state_dict(self.average.shadow)
        if self.session.rank:
            return
        tensors = {k: v.contiguous().cpu() for k, v in self.session.model.state_dict().items()}
        save_file(tensors, str(self.session.args.run / "weights.safetensors"))
        if not self.session.config.get("stem"):
            export(self.session.model, self.session.config, self.session.args.run / "model")
        self.file.unlink(missing_ok=True)


def mask_equal_names(keys: Tensor, candidates: Tensor, labels: Tensor) -> Tensor:
    """Return true where a candidate carries the label's name but is not the labelled candidate."""
    same = keys[:, None] == candidates[None]
    same[torch.arange(len(labels)), labels] = False
    return same


def image_phase(session: Session) -> None:
    """Image tower against the fixed targets: softmax over all concepts and the batch's extras."""
    args, model, store = session.args, session.model, session.store
    targets = make_targets(store, session.config["embed_dim"])
    visual = model.visual
    named = [(f"visual.{n}", p) for n, p in visual.named_parameters()]
    scale = model.logit_scale
    scale.data.fill_(math.log(18.0))
    parameters = [p for _, p in named] + [scale]
    parts = optimisers(session, [*named, ("logit_scale", scale)], args.lr, args.muon)
    average = Average(model, args.ema)
    clock = Clock(session, parts, average)
    shares = dict(zip(("emoji", "redrawn", "named", "extra"), args.shares, strict=True))
    sampler = Sampler(store, shares, 100 + clock.step + 50_000 * session.rank)
    generator = torch.Generator(session.device).manual_seed(
        200 + clock.step + 50_000 * session.rank
    )
    bank = targets.concepts.to(session.device)
    size, count = session.config["vision_cfg"]["image_size"], len(store.concepts)
    visual.patch_dropout = PatchDropout(args.patch_drop) if args.patch_drop else nn.Identity()
    model.train()
    while clock.running():
        progress = clock.progress
        clock.set_rates(args.warm)
        strength = args.strength * min(1.0, 0.2 + 1.6 * progress)
        strength *= 1.0 if progress < 0.85 else 0.7
        if args.patch_drop:
            left = min(1.0, max(0.0, (args.full_from - progress) / 0.2))
            visual.patch_dropout.prob = args.patch_drop * left
        rows = sampler.batch(args.batch, max(0.0, 1 - progress / 0.2))
        pixels = augment(store.images[rows].to(session.device), size, strength, generator)
        concept = torch.from_numpy(store.concept[rows])
        extra = [r for r, c in zip(rows, concept.tolist(), strict=True) if c < 0]
        labels = concept.clone()
        labels[concept < 0] = count + torch.arange(len(extra))
        keys = torch.where(
            concept >= 0, targets.concept_key[concept.clamp(min=0)], targets.row_key[rows]
        )
        candidates = torch.cat([targets.concept_key, targets.row_key[extra]])
        blocked = mask_equal_names(keys, candidates, labels).to(session.device)
        with session.autocast():
            features = encode_image(model, pixels)
        columns = torch.cat([bank, targets.rows[extra].to(session.device)])
        logits = scale.exp().clamp(max=80) * features.float() @ columns.T
        loss = F.cross_entropy(logits.masked_fill(blocked, -1e4), labels.to(session.device))
        clock.apply(loss, parameters, len(rows))
        keep = getattr(visual.patch_dropout, "prob", 0.0)

        def look(averaged: CLIP) -> dict[str, float]:
            return validation(session, averaged, targets.concepts)

        clock.tick(look)
        if args.patch_drop:
            visual.patch_dropout.prob = keep
    visual.patch_dropout = nn.Identity()
    clock.finish()


class Captions:
    """Random captions of concepts and icons."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.rng = store, random.Random(seed)

    def concept(self, index: int, ink: str | None = None, plain: float = 0.55) -> str:
        """Return a caption of a concept: its name in a template, at times with a tag."""
        rng, concept = self.rng, self.store.concepts[index]
        text, draw = concept["name"], rng.random()
        if draw > plain:
            if draw < plain + 0.10 and concept["tags"]:
                text = f"{text}, {rng.choice(concept['tags'])}"
            elif draw < plain + 0.28:
                text = f"{text}, {concept['subgroup'].replace('-', ' ')}"
            elif draw < plain + 0.33:
                text = f"{text}, {concept['group'].replace('-', ' ')}"
            elif draw < plain + 0.42:
                text = concept["subgroup"].replace("-", " ")
        if ink and rng.random() < 0.2:
            return rng.choice(STYLE_TEMPLATES[ink]).format(text)
        return rng.choice(TEMPLATES).format(text)

    def row(self, row: int) -> str:
        """Return a caption of an icon by its own name."""
        rng, text = self.rng, self.store.names[row]
        tags = self.store.tags[row]
        if tags and rng.random() < 0.4:
            text = f"{text}, {rng.choice(tags)}"
        return rng.choice(TEMPLATES).format(text) if rng.random() < 0.6 else text


def subgroup_names(store: Store) -> list[str]:
    """Distinct subgroups in order."""
    return list(dict.fromkeys(c["subgroup"] for c in store.concepts))


def text_phase(session: Session) -> None:
    """Text tower onto the fixed targets: softmax over concepts and batch plus cosine."""
    args, model, store = session.args, session.model, session.store
    targets = make_targets(store, session.config["embed_dim"])
    named = [
        (n, p)
        for n, p in model.named_parameters()
        if not n.startswith("visual") and n not in ("logit_scale", "logit_bias")
    ]
    parameters = [p for _, p in named]
    average = Average(model, 0.995)
    clock = Clock(session, optimisers(session, named, args.lr, args.muon), average)
    captions = Captions(store, 300 + clock.step + 50_000 * session.rank)
    rng = np.random.RandomState(400 + clock.step + 50_000 * session.rank)
    extras, count = store.pools()["extra"], len(store.concepts)
    bank = targets.concepts.to(session.device)
    subgroups = subgroup_names(store)
    member = torch.tensor([subgroups.index(c["subgroup"]) for c in store.concepts])
    centres = torch.stack([targets.concepts[member == s].mean(0) for s in range(len(subgroups))])
    centres = F.normalize(centres, dim=-1).to(session.device)
    queue: list[int] = []
    model.train()
    while clock.running():
        clock.set_rates(args.warm)
        size = round(args.batch * 0.78)
        if len(queue) < size:
            queue += rng.permutation(count).tolist()
        chosen, queue = queue[:size], queue[size:]
        groups = rng.randint(0, len(subgroups), round(args.batch * 0.06)).tolist()
        rows = rng.choice(extras, args.batch - size - len(groups)).tolist()
        texts = [captions.concept(c, rng.choice(["line", "colour"]), 0.72) for c in chosen]
        texts = [t if store.concepts[c]["name"] in t else store.concepts[c]["name"]
                 for t, c in zip(texts, chosen, strict=True)]  # fmt: skip
        texts += [
            captions.rng.choice(TEMPLATES).format(subgroups[g].replace("-", " ")) for g in groups
        ]
        texts += [captions.row(r) for r in rows]
        labels = torch.tensor([*chosen, *(count + i for i in range(len(groups) + len(rows)))])
        columns = torch.cat([bank, centres[groups], targets.rows[rows].to(session.device)])
        wanted = columns[labels.to(session.device)]
        group_keys = -1 - torch.tensor(groups, dtype=torch.long)
        candidates = torch.cat([targets.concept_key, group_keys, targets.row_key[rows]])
        keys = candidates[labels]
        blocked = mask_equal_names(keys, candidates, labels)
        blocked[size : size + len(groups), :count] = True
        blocked[:size, count : count + len(groups)] = True
        with session.autocast():
            features = encode_text(model, session.tokenise(texts).to(session.device))
        logits = 20.0 * features.float() @ columns.T
        logits = logits.masked_fill(blocked.to(session.device), -1e4)
        loss = F.cross_entropy(logits, labels.to(session.device))
        loss = loss + 5 * (1 - (features.float() * wanted).sum(1)).mean()
        clock.apply(loss, parameters, len(texts))

        def look(averaged: CLIP) -> dict[str, float]:
            averaged.eval()
            texts = text_bank(session, averaged, "a drawing of {}")
            out = validation(session, averaged, texts)
            hits = (texts @ targets.concepts.T).argmax(1) == torch.arange(count)
            out["names"] = round(100 * hits.float().mean().item(), 1)
            averaged.train()
            return out

        clock.tick(look)
    clock.finish()


def joint_phase(session: Session) -> None:
    """Both towers, multi-positive InfoNCE in the batch plus a recent bank of all names."""
    args, model, store = session.args, session.model, session.store
    targets = make_targets(store, session.config["embed_dim"])
    frozen = args.freeze_text
    named = [(n, p) for n, p in model.named_parameters()
             if n.startswith("visual") or not frozen or n == "logit_scale"]  # fmt: skip
    parameters = [p for _, p in named]
    if not args.keep_scale:
        model.logit_scale.data.fill_(math.log(20.0))
    average = Average(model, 0.998)
    clock = Clock(session, optimisers(session, named, args.lr, args.muon), average)
    captions = Captions(store, 500 + clock.step + 50_000 * session.rank)
    shares = dict(zip(("emoji", "redrawn", "named", "extra"), args.shares, strict=True))
    sampler = Sampler(store, shares, 600 + clock.step + 50_000 * session.rank)
    generator = torch.Generator(session.device).manual_seed(
        700 + clock.step + 50_000 * session.rank
    )
    size = session.config["vision_cfg"]["image_size"]
    ink = {s.name: s.ink for s in STYLES.values()}
    bank = text_bank(session, model, "a drawing of {}").to(session.device)
    concept_key = targets.concept_key.to(session.device)
    model.train()
    while clock.running():
        clock.set_rates(args.warm)
        if clock.step % 25 == 0:
            template = captions.rng.choice(TEMPLATES[:6])
            model.eval()
            bank = text_bank(session, model, template).to(session.device)
            model.train()
        rows = sampler.batch(args.batch)
        drawings = store.images[rows].to(session.device)
        pixels = augment(drawings, size, args.strength, generator)
        concept = store.concept[rows]
        texts = [
            captions.concept(int(c), ink.get(str(store.style[r]), "line"))
            if c >= 0
            else captions.row(r)
            for r, c in zip(rows, concept, strict=True)
        ]
        keys = torch.where(
            torch.from_numpy(concept) >= 0,
            targets.concept_key[np.maximum(concept, 0)],
            targets.row_key[rows],
        ).to(session.device)
        with session.autocast():
            image = encode_image(model, pixels).float()
            text = encode_text(model, session.tokenise(texts).to(session.device)).float()
        scale = model.logit_scale.exp().clamp(max=100)
        same = keys[:, None] == keys[None]
        labels = torch.arange(len(rows), device=session.device)
        twins = same.clone()
        twins.fill_diagonal_(False)
        in_batch = scale * image @ text.T
        known = (scale * image @ bank.T).masked_fill(keys[:, None] == concept_key[None], -1e4)
        to_text = torch.cat([in_batch.masked_fill(twins, -1e4), known], 1)
        to_image = in_batch.T.log_softmax(1)
        loss = F.cross_entropy(to_text, labels)
        loss = (loss - ((to_image * same).sum(1) / same.sum(1)).mean()) / 2
        core = torch.from_numpy(concept >= 0).to(session.device)
        index = torch.from_numpy(concept).to(session.device)
        loss = loss + F.cross_entropy(scale * image[core] @ bank.T, index[core])
        clock.apply(loss, parameters, len(rows))

        def look(averaged: CLIP) -> dict[str, float]:
            averaged.eval()
            return validation(session, averaged, text_bank(session, averaged, "a drawing of {}"))

        clock.tick(look)
    clock.finish()


def work(rank: int, args: argparse.Namespace) -> None:
    """One worker process: set up, run the phase."""
    torch.set_num_threads(args.threads)
    if args.workers > 1:
        meeting = args.run.resolve() / "rendezvous"
        dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=args.workers)
    config = json.loads((args.run / "config.json").read_text())
    store = Store.load(args.work)
    rows = np.random.RandomState(0).permutation(store.pools()["emoji"])[:512]
    sample = canonical(store.images[rows], config["vision_cfg"]["image_size"])
    torch.manual_seed(args.seed)
    model = build_model(config)
    initialise(model, sample)
    weights = args.start or args.run / "weights.safetensors"
    if weights.exists():
        model.load_state_dict(load_file(str(weights)))
    torch.manual_seed(args.seed + 1 + rank)
    device = torch.device(args.device)
    session = Session(
        args=args,
        store=store,
        model=model.to(device),
        config=config,
        device=device,
        tokenise=Tokeniser(args.run / "model" / "bpe_merges.txt.gz"),
        rank=rank,
        workers=args.workers,
    )
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    session.log(settings=settings, parameters=sum(p.numel() for p in model.parameters()))
    {"image": image_phase, "text": text_phase, "joint": joint_phase}[args.phase](session)
    if args.workers > 1:
        dist.barrier()
        dist.destroy_process_group()
        if rank == 0:
            (args.run.resolve() / "rendezvous").unlink(missing_ok=True)


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("phase", choices=("image", "text", "joint"))
    add("--work", type=Path, default=Path("build/picto"), help="folder of build.py's store")
    add("--run", type=Path, required=True)
    add("--minutes", type=float, required=True, help="wall-clock length of the phase")
    add("--device", default="cpu")
    add("--workers", type=int, default=1, help="processes that share each step (CPU)")
    add("--threads", type=int, default=1, help="threads of each worker")
    add("--seed", type=int, default=0)
    add("--image", type=int, default=48)
    add("--patch", type=int, default=8)
    add("--width", type=int, default=128)
    add("--layers", type=int, default=8)
    add("--text-layers", type=int, default=8)
    add("--embed", type=int, default=192)
    add("--stem", action="store_true", help="train a teacher: convolutional stem, patch 12")
    add("--batch", type=int, default=96, help="per worker")
    add("--lr", type=float, default=2e-3, help="AdamW")
    add("--muon", type=float, default=0.02, help="Muon's rate for block matrices; 0: AdamW")
    add("--muon-decay", type=float, default=0.05)
    add("--warm", type=int, default=150)
    add("--ema", type=float, default=0.998)
    add("--strength", type=float, default=1.0)
    add("--patch-drop", type=float, default=0.0)
    add("--full-from", type=float, default=0.75, help="progress from which no patch is dropped")
    add("--shares", type=float, nargs=4, default=(0.40, 0.24, 0.24, 0.12),
        help="of emoji, redrawn, named icons, extras")  # fmt: skip
    add("--stop-samples", type=int, default=0, help="end a trial early; the schedule stays")
    add("--freeze-text", action="store_true")
    add("--keep-scale", action="store_true")
    add("--look", type=float, default=3.0, help="minutes between validations")
    add("--start", type=Path, help="weights to start from instead of the run's own")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    described = args.run / "config.json"
    if not described.exists():
        config = model_config(
            args.image, args.patch, args.width, args.layers, args.embed, args.text_layers
        )
        if args.stem:
            config["stem"] = True
        described.write_text(json.dumps(config, indent=2) + "\n")
    Tokeniser(args.run / "model" / "bpe_merges.txt.gz")  # writes the merges before any worker reads
    if args.workers == 1:
        work(0, args)
    else:
        torch.multiprocessing.start_processes(work, (args,), args.workers, start_method="spawn")


if __name__ == "__main__":
    main()
