"""Contrastive training of picto's CLIP on composed scenes with captions, on CPU cores or a GPU.

    python tools/picto/contrast.py --work build/picto --start MODEL --run build/picto/scenes \
        --minutes 75

MODEL is the open_clip folder of the earlier steps (``pretrain.py``). Its image tower is taken over
with smaller patches and without two of its blocks, its projections are cut to 128 dimensions
(``begin``). The loss of a step is a sum of

- InfoNCE of images and captions, where the facts of the scenes tell which caption holds for which
  image, so that a true pair is never a negative;
- cross-entropy over the classes of a few factors (colour, count, ...), each class a short text;
- cross-entropy over all concept names, and the divergence from what MODEL says of the drawing;
- without text: image-image InfoNCE between different drawings of one manner, which hand or effect
  it is, and regression of image statistics, of the feature and of the first blocks' tokens.

The heads of the last kind are thrown away. The run resumes from its checkpoint when the same
command is given again, and leaves an open_clip folder in ``RUN/model`` at every checkpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import shutil
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from batches import ASPECTS, EFFECT_NAMES, Batch, Batches, normalised
from captions import NAME_TEMPLATES
from open_clip.model import CLIP
from pretrain import Average, Muon
from safetensors.torch import load_file, save_file
from scenes import Drawings, on_white
from torch import Tensor, nn
from torch.utils.data import DataLoader
from towers import Tokeniser, build_model, encode_image, encode_text, export

GAIN = 11.3  # features of 128 dimensions are brought to unit deviation for the linear heads
TAPS = (0, 1, 2)  # image blocks whose tokens tell the statistics


def resized(weight: Tensor, patch: int) -> Tensor:
    """Return filters of a smaller patch that see what the larger ones see in an enlarged image."""
    old = weight.shape[-1]
    eye = torch.eye(patch * patch).view(-1, 1, patch, patch)
    enlarge = F.interpolate(eye, (old, old), mode="bicubic").flatten(1)
    return (weight.flatten(2) @ enlarge.T).view(*weight.shape[:2], patch, patch)


def read_folder(folder: Path) -> tuple[dict, dict[str, Tensor]]:
    """Read model_cfg and float weights of an open_clip folder."""
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    config["text_cfg"].pop("tokenizer_kwargs", None)
    state = load_file(str(folder / "open_clip_model.safetensors"))
    return config, {name: value.float() for name, value in state.items()}


def begin(folder: Path, patch: int, drop: tuple[int, ...], embed: int) -> tuple[CLIP, dict]:
    """Take over a checkpoint with another patch size, fewer image blocks, a narrower embedding."""
    config, state = read_folder(folder)
    vision = config["vision_cfg"]
    old = vision["image_size"] // vision["patch_size"]
    kept = [i for i in range(vision["layers"]) if i not in drop]
    vision |= {"patch_size": patch, "layers": len(kept)}
    state["visual.conv1.weight"] = resized(state["visual.conv1.weight"], patch)
    place = state["visual.positional_embedding"]
    side = vision["image_size"] // patch
    grid = place[1:].T.reshape(1, -1, old, old)
    grid = F.interpolate(grid, (side, side), mode="bicubic").flatten(2)[0].T
    state["visual.positional_embedding"] = torch.cat([place[:1], grid])
    if embed != config["embed_dim"]:
        u, s, v = torch.linalg.svd(state["visual.proj"] @ state["text_projection"].T)
        root = s[:embed].sqrt()
        state["visual.proj"] = u[:, :embed] * root
        state["text_projection"] = v[:embed].T * root
        config["embed_dim"] = embed
    prefix, weights = "visual.transformer.resblocks.", {}
    for name, value in state.items():
        if name.startswith(prefix):
            number, _, rest = name.removeprefix(prefix).partition(".")
            if int(number) not in kept:
                continue
            name = f"{prefix}{kept.index(int(number))}.{rest}"
        weights[name] = value.contiguous()
    model = build_model(config)
    missing = model.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys and set(missing.missing_keys) <= {"attn_mask", "logit_bias"}
    return model, config


@torch.no_grad()
def advice(work: Path, folder: Path, drawings: Drawings, tokenise: Tokeniser) -> Tensor:
    """Return what the earlier model says of every drawing on white: logits of the concepts."""
    file = work / "advice.pt"
    if file.exists():
        return torch.load(file, mmap=True)
    config, state = read_folder(folder)
    model = build_model(config)
    model.load_state_dict(state, strict=False)
    model.eval()
    names = [f"a drawing of {c['name']}" for c in drawings.concepts]
    bank = torch.cat([encode_text(model, tokenise(names[i : i + 256]))
                      for i in range(0, len(names), 256)])  # fmt: skip
    size = config["vision_cfg"]["image_size"]
    out = []
    for first in range(0, len(drawings.rgba), 512):
        x = normalised(on_white(drawings.rgba[first : first + 512]))
        x = F.interpolate(x, (size, size), mode="bicubic", antialias=True)
        out.append((40 * encode_image(model, x) @ bank.T).half())
    torch.save(torch.cat(out), file)
    return torch.load(file, mmap=True)


class Heads(nn.Module):
    """Linear heads that are thrown away after training."""

    def __init__(self, embed: int, width: int, hands: int, whole: int, local: int) -> None:
        super().__init__()
        self.stats = nn.ModuleDict({k: nn.Linear(embed, whole) for k in ("any", "plain")})
        # of unit length: features, not weights, must move to tell hands apart
        self.hand = nn.Parameter(torch.randn(hands, embed))
        self.effect = nn.Parameter(torch.randn(len(EFFECT_NAMES), embed))
        self.aspects = nn.ModuleList(nn.Linear(embed, 48, bias=False) for _ in ASPECTS)
        self.early = nn.ModuleList(nn.Linear(2 * width, whole) for _ in TAPS)
        self.local = nn.ModuleList(nn.Linear(width, local) for _ in TAPS)
        self.register_buffer("mean", torch.zeros(2, whole))
        self.register_buffer("spread", torch.ones(2, whole))

    def set_scale(self, batches: Batches) -> None:
        """Take mean and deviation of the statistics from a first sample."""
        batches_seen = [batches.make() for _ in range(6)]
        whole = torch.cat([b.whole for b in batches_seen])
        plain = torch.cat([b.plain for b in batches_seen])
        for i, part in enumerate((whole, whole[plain])):
            self.mean[i], self.spread[i] = part.mean(0), part.std(0) + 0.02

    def statistics(self, batch: Batch, feature: Tensor, taps: list[Tensor]) -> dict[str, Tensor]:
        """Errors of the regressed statistics: of the feature, of tokens, of every patch."""
        wanted = [((batch.whole - m) / s).clamp(-4, 4)
                  for m, s in zip(self.mean, self.spread, strict=True)]  # fmt: skip
        plain = batch.plain
        out = {
            "stats any": F.mse_loss(self.stats["any"](feature), wanted[0]),
            "stats plain": F.mse_loss(self.stats["plain"](feature[plain]), wanted[1][plain]),
        }
        early, local = feature.new_zeros(()), feature.new_zeros(())
        for i, tokens in enumerate(taps):
            pooled = torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)
            early = early + F.mse_loss(self.early[i](pooled), wanted[0])
            local = local + F.mse_loss(self.local[i](tokens[:, 1:]), batch.local)
        return {**out, "early": early / len(TAPS), "local": 4 * local / len(TAPS)}

    def alike(self, batch: Batch, feature: Tensor) -> dict[str, Tensor]:
        """Image-image InfoNCE for every aspect of the manner."""
        out = {}
        own = torch.eye(len(feature), dtype=torch.bool, device=feature.device)
        for aspect, head, keys in zip(ASPECTS, self.aspects, batch.keys, strict=True):
            part = F.normalize(head(feature), dim=-1)
            logp = (part @ part.T / 0.1).masked_fill(own, -1e4).log_softmax(1)
            same = (keys[:, None] == keys) & ~own
            asked = same.any(1)
            if asked.any():
                good = same[asked].float()
                out[f"alike {aspect}"] = -((logp[asked] * good).sum(1) / good.sum(1)).mean()
        return out

    def hands(self, batch: Batch, feature: Tensor, scale: float) -> dict[str, Tensor]:
        """Cross-entropy of hand and effect, by the cosine to a vector of each."""
        known = batch.hand >= 0
        hands, effects = (F.normalize(v, dim=1) for v in (self.hand, self.effect))
        return {
            "hand": F.cross_entropy(scale * feature[known] @ hands.T, batch.hand[known]),
            "effect": F.cross_entropy(scale * feature @ effects.T, batch.effect),
        }


def contrast(logits: Tensor, holds: Tensor) -> Tensor:
    """InfoNCE of images (rows) and captions of the first images (columns)."""
    count = logits.shape[1]
    own = torch.arange(count, device=logits.device)
    twins = holds[:count].clone()
    twins[own, own] = False
    to_text = F.cross_entropy(logits[:count].masked_fill(twins, -1e4), own)
    good = holds.T.float()
    to_image = -((logits.T.log_softmax(1) * good).sum(1) / good.sum(1).clamp(min=1)).mean()
    return (to_text + to_image) / 2


def tapped(model: CLIP, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Normalised image features, and the tokens after the first blocks."""
    visual, kept = model.visual, []
    x = visual.conv1(pixels).flatten(2).transpose(1, 2)
    first = visual.class_embedding.view(1, 1, -1).expand(len(x), 1, -1)
    x = visual.ln_pre(torch.cat([first, x], 1) + visual.positional_embedding)
    for i, block in enumerate(visual.transformer.resblocks):
        x = block(x)
        if i in TAPS:
            kept.append(x)
    return F.normalize(visual.ln_post(x[:, 0]) @ visual.proj, dim=-1), kept


class Contrast:
    """One worker of the run."""

    def __init__(self, rank: int, args: argparse.Namespace) -> None:
        self.rank, self.args, self.device = rank, args, torch.device(args.device)
        torch.set_num_threads(args.threads)
        torch.manual_seed(args.seed)
        self.model, self.config = begin(args.start, args.patch, tuple(args.drop), args.embed)
        self.model.logit_scale.data.fill_(math.log(args.scale))
        merges = args.run / "model" / "bpe_merges.txt.gz"
        if rank == 0:
            merges.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(args.start / "bpe_merges.txt.gz", merges)
        self.tokenise = Tokeniser(args.start / "bpe_merges.txt.gz")
        drawings = Drawings.load(args.work)
        self.advice = advice(args.work, args.teacher, drawings, self.tokenise)
        self.names = [c["name"] for c in drawings.concepts]
        self.batches = Batches(drawings, self.tokenise, args.batch, args.captions, args.factors,
                               args.patch, args.seed + rank)  # fmt: skip
        first = next(iter(self.batches))
        self.heads = Heads(args.embed, self.model.visual.proj.shape[0], len(self.batches.hands),
                           first.whole.shape[1], first.local.shape[2])  # fmt: skip
        self.heads.set_scale(self.batches)
        self.model.to(self.device)
        self.heads.to(self.device)
        self.rng = random.Random(args.seed)
        self.bank = torch.empty(0)

    @torch.no_grad()
    def name_bank(self) -> Tensor:
        """Text features of all names under a random template."""
        template = self.rng.choice(NAME_TEMPLATES)
        texts = [template.format(n) for n in self.names]
        parts = [encode_text(self.model, self.tokenise(texts[i : i + 287]).to(self.device))
                 for i in range(0, len(texts), 287)]  # fmt: skip
        return torch.cat(parts).float()

    def names_loss(self, batch: Batch, image: Tensor, scale: Tensor) -> dict[str, Tensor]:
        """Cross-entropy over all names; on plain drawings also what the earlier model says."""
        logits = scale * image @ self.bank.T
        asked = batch.concept >= 0
        out = {"names": F.cross_entropy(logits[asked], batch.concept[asked])}
        plain = batch.plain
        wanted = self.advice[batch.rows[plain].cpu()].to(self.device).float().softmax(1)
        out["advice"] = F.cross_entropy(logits[plain], wanted)
        return out

    def losses(self, batch: Batch, number: int) -> tuple[Tensor, dict[str, float]]:
        """Loss of one batch, and its parts."""
        args = self.args
        if number % args.refresh == 0 or not len(self.bank):
            self.bank = self.name_bank()
        half = self.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16) if half else contextlib.nullcontext():
            image, taps = tapped(self.model, batch.pixels)
            text = encode_text(self.model, batch.captions)
            bank = encode_text(self.model, batch.bank)
        image, text, bank = image.float(), text.float(), bank.float()
        taps = [t.float() for t in taps]
        scale = self.model.logit_scale.exp().clamp(max=100)
        parts = {"nce": contrast(scale * image @ text.T, batch.holds)}
        factors = {}
        for q in batch.questions:
            logits = args.low * image[q.rows] @ bank[q.start : q.end].T
            factors[q.factor] = F.cross_entropy(logits.masked_fill(q.blocked, -1e4), q.labels)
        names = self.names_loss(batch, image, scale)
        stats = self.heads.statistics(batch, GAIN * image, taps)
        alike = self.heads.alike(batch, GAIN * image)
        hands = self.heads.hands(batch, image, args.low)
        loss = (
            parts["nce"]
            + args.bank * sum(factors.values()) / len(factors)
            + args.name * (names["names"] + 0.5 * names["advice"])
            + args.stats * (stats["stats any"] + stats["stats plain"])
            + args.early * (stats["early"] + stats["local"])
            + args.alike * sum(alike.values()) / len(ASPECTS)
            + args.hand * (hands["hand"] + 0.5 * hands["effect"])
        )
        parts |= {**factors, **names, **stats, **alike, **hands}
        return loss, {k: v.item() for k, v in parts.items()}

    def optimisers(self) -> list[torch.optim.Optimizer]:
        """Make Muon for the matrices of the blocks and AdamW for the rest."""
        args = self.args
        named = [(n, p) for n, p in self.model.named_parameters() if n != "logit_bias"]
        hidden = [p for n, p in named if "resblocks" in n and p.ndim == 2]
        rest = [p for n, p in named if not ("resblocks" in n and p.ndim == 2)]
        groups = [{"params": rest}, {"params": list(self.heads.parameters()), "lr": 3e-3}]
        parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.02),
            Muon(hidden, args.muon, 0.95, 0.05),
        ]
        for part in parts:
            for group in part.param_groups:
                group["top"] = group["lr"]
        self.parameters = [*hidden, *rest, *self.heads.parameters()]
        return parts

    def shared(self, loss: Tensor) -> None:
        """Backward; the mean gradient of all workers, clipped."""
        loss.backward()
        if self.args.workers > 1:
            grads = [p.grad if p.grad is not None else torch.zeros_like(p)
                     for p in self.parameters]  # fmt: skip
            flat = torch.cat([g.flatten() for g in grads])
            dist.all_reduce(flat)
            flat /= self.args.workers
            sizes = [p.numel() for p in self.parameters]
            for p, g in zip(self.parameters, flat.split(sizes), strict=True):
                p.grad = g.view_as(p)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)

    def train(self) -> None:
        """Do the whole run, by wall clock."""
        args, model = self.args, self.model
        if args.workers > 1:  # the first worker's heads
            for value in self.heads.state_dict().values():
                dist.broadcast(value, 0)
        parts = self.optimisers()
        average = Average(model, args.ema)
        number, spent = self.resume(parts, average)
        self.batches.seed += 7919 * number  # a resumed run draws other scenes
        loader = iter(DataLoader(self.batches, None, num_workers=args.loaders))
        model.train()
        began = told = saved = time.time()
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        while True:
            share = torch.tensor([(time.time() - began + spent) / (args.minutes * 60)])
            if args.workers > 1:
                dist.broadcast(share, 0)
            progress = float(share)
            if progress >= 1:
                break
            rate = min(1, (number + 1) / args.warm)
            rate *= min(1, max(0, (1 - progress) / (1 - args.hold)))
            for part in parts:
                for group in part.param_groups:
                    group["lr"] = group["top"] * rate
                part.zero_grad(set_to_none=True)
            loss, pieces = self.losses(next(loader).to(self.device), number)
            self.shared(loss)
            for part in parts:
                part.step()
            average.update(model)
            number += 1
            for k, v in pieces.items():
                sums[k], counts[k] = sums.get(k, 0) + v, counts.get(k, 0) + 1
            now = time.time()
            if self.rank == 0 and now - told > 60:
                told = now
                self.log(number, now - began + spent, rate,
                         {k: round(sums[k] / counts[k], 3) for k in sorted(sums)})  # fmt: skip
                sums, counts = {}, {}
            if self.rank == 0 and now - saved > args.every * 60:
                saved = now
                self.save(parts, average, number, now - began + spent)
        if self.rank == 0:
            self.save(parts, average, number, args.minutes * 60)

    def log(self, number: int, seconds: float, rate: float, sums: dict[str, float]) -> None:
        """Append one JSON line and print it."""
        args = self.args
        record = {"min": round(seconds / 60, 2), "step": number, "rate": round(rate, 3),
                  "pairs": number * args.batch * args.workers,
                  "scale": round(self.model.logit_scale.exp().item(), 1), **sums}  # fmt: skip
        print(json.dumps(record), flush=True)
        with (args.run / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def resume(self, parts: list, average: Average) -> tuple[int, float]:
        """Return steps and seconds of an interrupted run, whose state is taken over; else zeros."""
        file = self.args.run / "run.ckpt"
        if not file.exists():
            return 0, 0.0
        state = torch.load(file, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        average.shadow, average.steps = state["average"], state["step"]
        for part, saved in zip(parts, state["optimisers"], strict=True):
            part.load_state_dict(saved)
        return state["step"], state["spent"]

    def save(self, parts: list, average: Average, number: int, spent: float) -> None:
        """Write the state of the run, and its averaged weights as an open_clip folder."""
        run = self.args.run
        state = {"model": self.model.state_dict(), "heads": self.heads.state_dict(),
                 "average": average.shadow, "step": number, "spent": spent,
                 "optimisers": [p.state_dict() for p in parts]}  # fmt: skip
        torch.save(state, run / "run.tmp")
        (run / "run.tmp").rename(run / "run.ckpt")
        with average.applied(self.model) as model:
            export(model, self.config, run / "model")
            tensors = {k: v.half().contiguous().cpu() for k, v in model.state_dict().items()
                       if k != "attn_mask"}  # fmt: skip
        save_file(tensors, str(run / f"step-{number:06d}.safetensors"))


def work(rank: int, args: argparse.Namespace) -> None:
    """One process."""
    if args.workers > 1:
        meeting = args.run.resolve() / "rendezvous"
        dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=args.workers)
    Contrast(rank, args).train()
    if args.workers > 1:
        dist.barrier()
        dist.destroy_process_group()


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--work", type=Path, default=Path("build/picto"), help="folder of build.py's store")
    add("--start", type=Path, required=True, help="open_clip folder to begin from")
    add("--teacher", type=Path, help="folder of the model whose names are kept; default: --start")
    add("--run", type=Path, required=True)
    add("--minutes", type=float, default=75)
    add("--device", default="cpu")
    add("--workers", type=int, default=2, help="processes that share every step (CPU)")
    add("--threads", type=int, default=1)
    add("--loaders", type=int, default=0, help="processes that compose scenes, for each worker")
    add("--batch", type=int, default=96, help="scenes per worker and step")
    add("--captions", type=float, default=0.5, help="share of the scenes that get a caption")
    add("--factors", type=int, default=5)
    add("--patch", type=int, default=8)
    add("--drop", type=int, nargs="*", default=(6, 8), help="image blocks left out")
    add("--embed", type=int, default=128)
    add("--bank", type=float, default=1.5, help="weight of the factors")
    add("--low", type=float, default=14.0, help="logit scale of the factors")
    add("--name", type=float, default=0.8)
    add("--stats", type=float, default=1.0)
    add("--early", type=float, default=0.5)
    add("--alike", type=float, default=1.0)
    add("--hand", type=float, default=0.5)
    add("--refresh", type=int, default=15, help="steps between new text features of all names")
    add("--lr", type=float, default=6e-4)
    add("--muon", type=float, default=0.003)
    add("--warm", type=int, default=40)
    add("--hold", type=float, default=0.3, help="share of the run before the rate falls")
    add("--ema", type=float, default=0.99)
    add("--scale", type=float, default=25.0)
    add("--every", type=float, default=5.0, help="minutes between checkpoints")
    add("--seed", type=int, default=0)
    args = parser.parse_args()
    args.teacher = args.teacher or args.start
    args.run.mkdir(parents=True, exist_ok=True)
    (args.run / "rendezvous").unlink(missing_ok=True)
    if args.workers == 1:
        work(0, args)
    else:  # the files that all workers read are made once
        advice(args.work, args.teacher, Drawings.load(args.work),
               Tokeniser(args.start / "bpe_merges.txt.gz"))  # fmt: skip
        torch.multiprocessing.start_processes(work, (args,), args.workers, start_method="spawn")


if __name__ == "__main__":
    main()
