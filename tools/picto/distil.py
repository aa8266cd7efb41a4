"""Start a linear-patch CLIP from a CLIP with a convolutional stem.

A plain linear patch embedding learns slowly from little data; a convolutional stem does not. Here
the first blocks of the student, behind its linear patch embedding, learn to put out the tokens
that the teacher's stem feeds to its first block; the teacher's blocks follow them unchanged, and
the image projection is fitted to the text targets by ridge regression. ``pretrain.py image`` then
trains all of it.

    python tools/picto/distil.py --work build/picto --teacher stem.safetensors --run build/picto/run

With ``--text`` the teacher's text tower is taken over instead, with a fitted projection.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from open_clip.model import CLIP
from pretrain import START, TEMPLATES, Sampler, make_targets
from safetensors.torch import load_file, save_file
from store import Store, augment, canonical
from torch import Tensor, nn
from towers import (
    Tokeniser,
    build_model,
    convolutional_stem,
    encode_text,
    export,
    initialise,
    model_config,
)


class Stem(nn.Module):
    """The teacher's tokens: convolutional stem, class token, positions, first LayerNorm."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        width = state["visual.ln_pre.weight"].shape[0]
        self.convolutions = convolutional_stem(width)
        prefix = "visual.conv1."
        self.convolutions.load_state_dict(
            {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        )
        self.class_token = state["visual.class_embedding"]
        self.positions = state["visual.positional_embedding"]
        self.norm = nn.LayerNorm(width)
        self.norm.load_state_dict(
            {k: state[f"visual.ln_pre.{k}"] for k in ("weight", "bias")}
        )  # fmt: skip
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Tokens before the teacher's first block, B x (1 + patches) x width."""
        x = self.convolutions(images).flatten(2).transpose(1, 2)
        first = self.class_token.expand(len(x), 1, -1)
        return self.norm(torch.cat([first, x], 1) + self.positions)


def student_tokens(model: CLIP, images: Tensor, blocks: int) -> Tensor:
    """Tokens of the student after its first blocks."""
    visual = model.visual
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    first = visual.class_embedding.view(1, 1, -1).expand(len(x), 1, -1)
    x = visual.ln_pre(torch.cat([first, x], 1) + visual.positional_embedding)
    for block in visual.transformer.resblocks[:blocks]:
        x = block(x)
    return x


@torch.no_grad()
def fit_projection(model: CLIP, store: Store, embed: int, size: int, ridge: float) -> None:
    """Least squares from the pooled image features of the training emoji to their targets."""
    targets = make_targets(store, embed)
    visual = model.visual
    width = visual.proj.shape[0]
    visual.proj = nn.Parameter(torch.eye(width))
    pools = store.pools()
    rows = np.concatenate([pools["emoji"], pools["redrawn"][::3]])
    features = torch.cat(
        [visual(canonical(store.images[part], size)) for part in np.array_split(rows, 40)]
    )
    wanted = targets.concepts[store.concept[rows]]
    gram = features.T @ features + ridge * len(rows) * torch.eye(width)
    solution = torch.linalg.solve(gram, features.T @ wanted)
    visual.proj = nn.Parameter(solution / solution.norm() * math.sqrt(embed))


@torch.no_grad()
def take_text(args: argparse.Namespace) -> None:
    """Put the teacher's text tower into the run's weights; fit its projection to the targets."""
    torch.set_num_threads(args.workers)
    store = Store.load(args.work)
    config = json.loads((args.run / "config.json").read_text())
    model = build_model(config)
    weights = load_file(str(args.run / "weights.safetensors"))
    for name, value in load_file(str(args.teacher)).items():
        if name.startswith("visual.") or name in ("text_projection", "logit_scale"):
            continue
        if name == "positional_embedding":
            weights[name][: len(value)] = value.float()
        else:
            weights[name] = value.float()
    model.load_state_dict(weights)
    model.eval()
    tokenise = Tokeniser(args.run / "model" / "bpe_merges.txt.gz")
    targets = make_targets(store, config["embed_dim"]).concepts
    model.text_projection = nn.Parameter(torch.eye(model.ln_final.weight.shape[0]))
    features, wanted = [], []
    names = [c["name"] for c in store.concepts]
    for template in TEMPLATES[:7]:
        for first in range(0, len(names), 256):
            ids = tokenise([template.format(n) for n in names[first : first + 256]])
            features.append(encode_text(model, ids) * len(model.text_projection) ** 0.5)
            wanted.append(targets[first : first + 256])
    x, y = torch.cat(features), torch.cat(wanted)
    solution = torch.linalg.solve(x.T @ x + 1e-3 * len(x) * torch.eye(x.shape[1]), x.T @ y)
    model.text_projection = nn.Parameter(solution)
    bank = F.normalize(x @ solution, dim=-1)[: len(names)]
    hits = ((bank @ targets.T).argmax(1) == torch.arange(len(names))).float().mean().item()
    print(f"names that find their own target: {100 * hits:.1f} %")
    tensors = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, str(args.run / "weights.safetensors"))


def distil(rank: int, args: argparse.Namespace) -> None:
    """One worker."""
    torch.set_num_threads(1)
    if args.workers > 1:
        meeting = args.run.resolve() / "rendezvous"
        dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=args.workers)
    store = Store.load(args.work)
    state = {k: v.float() for k, v in load_file(str(args.teacher)).items()}
    teacher = Stem(state)
    config = json.loads((args.run / "config.json").read_text())
    size = config["vision_cfg"]["image_size"]
    torch.manual_seed(0)
    model = build_model(config)
    rows = np.random.RandomState(0).permutation(store.pools()["emoji"])[:512]
    initialise(model, canonical(store.images[rows], size))
    weights = model.state_dict()
    for name, value in state.items():
        if name.startswith("visual.transformer.resblocks."):
            head, _, rest = name.removeprefix("visual.transformer.resblocks.").partition(".")
            name = f"visual.transformer.resblocks.{int(head) + args.blocks}.{rest}"
        elif not name.startswith("visual.ln_post"):
            continue
        weights[name] = value
    model.load_state_dict(weights)
    visual = model.visual
    parts = [visual.ln_pre, *visual.transformer.resblocks[: args.blocks], visual.conv1]
    parameters = [p for part in parts for p in part.parameters()]
    parameters += [visual.class_embedding, visual.positional_embedding]
    optimiser = torch.optim.AdamW(parameters, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.01)
    sampler = Sampler(store, START | {"redrawn": 0.2, "emoji": 0.6, "named": 0.16}, rank)
    generator = torch.Generator().manual_seed(rank)
    prefix = told = time.time()
    step = 0
    while True:
        spent = torch.tensor([(time.time() - prefix) / (args.minutes * 60)])
        if args.workers > 1:
            dist.broadcast(spent, 0)
        progress = float(spent)
        if progress >= 1:
            break
        factor = min(1.0, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * progress))
        for group in optimiser.param_groups:
            group["lr"] = args.lr * factor
        images = augment(store.images[sampler.batch(args.batch)], size, 0.5, generator)
        wanted = teacher(images)
        found = student_tokens(model, images, args.blocks)
        loss = F.mse_loss(found, wanted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if args.workers > 1:
            flat = torch.cat([p.grad.flatten() for p in parameters])
            dist.all_reduce(flat)
            flat /= args.workers
            for p, part in zip(parameters, flat.split([p.numel() for p in parameters]),
                               strict=True):  # fmt: skip
                p.grad.copy_(part.view_as(p))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        step += 1
        if rank == 0 and time.time() - told > 20:
            told = time.time()
            centred = wanted[:, 1:] - wanted[:, 1:].mean((0,))
            explained = 1 - (found - wanted)[:, 1:].square().sum() / centred.square().sum()
            seen = step * args.batch * args.workers
            figures = f"loss {loss.item():.4f}, explained {explained.item():.3f}"
            print(f"{step} steps, {seen} images, {figures}", flush=True)
    if rank == 0:
        model.eval()
        fit_projection(model, store, config["embed_dim"], size, 1e-3)
        targets = make_targets(store, config["embed_dim"]).concepts
        for style in ("noto", "twemoji", "streamline", "symbola"):
            rows = store.style_rows(style)
            with torch.no_grad():
                best = (visual(canonical(store.images[rows], size)) @ targets.T).argmax(1)
            hits = (best == torch.from_numpy(store.concept[rows])).float().mean().item()
            print(f"{style} {100 * hits:.1f}", flush=True)
        tensors = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
        save_file(tensors, str(args.run / "weights.safetensors"))
        export(model, config, args.run / "model")
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
    add("--work", type=Path, default=Path("build/picto"))
    add("--teacher", type=Path, required=True, help="safetensors of the CLIP with the stem")
    add("--run", type=Path, required=True)
    add("--minutes", type=float, default=5)
    add("--blocks", type=int, default=2, help="student blocks in front of the teacher's")
    add("--embed", type=int, default=192)
    add("--lr", type=float, default=2e-3)
    add("--batch", type=int, default=96, help="per worker")
    add("--workers", type=int, default=2)
    add("--text", action="store_true", help="take over the text tower of the teacher")
    args = parser.parse_args()
    if args.text:
        take_text(args)
        return
    args.run.mkdir(parents=True, exist_ok=True)
    config = model_config(48, 12, 128, 8 + args.blocks, args.embed, 8)
    (args.run / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if args.workers == 1:
        distil(0, args)
    else:
        torch.multiprocessing.start_processes(distil, (args,), args.workers, start_method="spawn")


if __name__ == "__main__":
    main()
