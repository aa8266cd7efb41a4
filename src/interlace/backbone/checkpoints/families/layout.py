"""Moving tensors between our names and a checkpoint format's, by a table and in both directions.

A format is a table of :class:`TensorRow`. ``#`` in a row stands for every block of the tower and
``*`` for ``weight`` and ``bias``, so one row covers a part of all blocks. Which rows apply follows
from the tensors that a spec's towers have: a row for a tensor they lack is skipped, a tensor
without a row cannot be held by the format, and a tensor of a checkpoint that no row reads is an
error. So a layer that the towers do not compute is never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from interlace._util.text import printable
from interlace.backbone.hollow import hollow
from interlace.backbone.spec import Spec
from interlace.backbone.tower import ImageTower, TextTower
from interlace.errors import InterlaceError

#: Buffers and scalars that some formats store beside the weights; they hold no learned value.
_NOT_WEIGHTS = ("position_ids", "attn_mask", "input_resolution", "context_length", "vocab_size")
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
#: Bounds of sizes, far above those of any published model.
_MOST, _MOST_BLOCKS, _LOGIT_SCALE = 1 << 24, 512, 20


@dataclass(frozen=True)
class TensorRow:
    """One correspondence between our tensors and those of a format.

    Several names, separated by spaces, are one tensor cut along its first dimension: ``q k v`` of
    one format are the single ``qkv`` of another.

    Attributes:
        ours: our names.
        theirs: the format's names.
        shares: how many parts of the joined tensor each of ours takes.
        transpose: whether the format stores the matrix the other way round, [E, D] for our [D, E].
        lead: number of leading dimensions of size 1 that the format adds.
    """

    ours: str
    theirs: str
    shares: tuple[int, ...] = (1,)
    transpose: bool = False
    lead: int = 0

    def over(self, ours: str, theirs: str, depth: int) -> Iterator[TensorRow]:
        """Yield rows with prefixes before the names, and ``#`` and ``*`` written out."""
        for block in range(depth) if "#" in self.ours else [0]:
            for leaf in ("weight", "bias") if "*" in self.ours else [""]:

                def full(names: str, prefix: str, block: int = block, leaf: str = leaf) -> str:
                    names = names.replace("#", str(block)).replace("*", leaf)
                    return " ".join(prefix + name for name in names.split())

                yield replace(self, ours=full(self.ours, ours), theirs=full(self.theirs, theirs))


@dataclass(frozen=True)
class TensorLayout:
    """The tables of a format.

    Attributes:
        name: the format, as an error message calls it.
        image: rows of the image tower, with ``image_prefix`` before the format's names.
        text: rows of the text tower, with ``text_prefix`` before the format's names.
        image_prefix: see ``image``.
        text_prefix: see ``text``.
        scalar_lead: leading dimensions of the temperature and the logit bias.
    """

    name: str
    image: tuple[TensorRow, ...]
    text: tuple[TensorRow, ...]
    image_prefix: str
    text_prefix: str
    scalar_lead: int = 0

    def rows(self, spec: Spec) -> Iterator[TensorRow]:
        """Yield all rows, written out for towers of ``spec``."""
        for row in self.image:
            yield from row.over("image.", self.image_prefix, spec.image.depth)
        for row in self.text:
            yield from row.over("text.", self.text_prefix, spec.text.depth)
        yield TensorRow("logit_scale", "logit_scale", lead=self.scalar_lead)
        yield TensorRow("logit_bias", "logit_bias", lead=self.scalar_lead)


def size(state: Mapping[str, Tensor], name: str, dimension: int) -> int:
    """Return a size of a tensor of the checkpoint.

    Raises:
        InterlaceError: if the checkpoint lacks the tensor.
    """
    if name not in state:
        raise InterlaceError(f"no vision-transformer CLIP or SigLIP: tensor {name!r} is missing")
    shape = state[name].shape
    if dimension >= len(shape) or not 0 < shape[dimension] <= _MOST:
        raise InterlaceError(f"tensor {name!r} has shape {list(shape)}, which no such model has")
    return shape[dimension]


def agree(config: Mapping[str, Any], found: Mapping[str, int], section: str) -> None:
    """Check the sizes that a config states against the tensors.

    Raises:
        InterlaceError: if one is not: then the config is another model's, heads and all.
    """
    for name, value in found.items():
        if config.get(name) not in (None, value):
            raise InterlaceError(
                f"{section}.{name} is {config[name]} and the tensors have {value}: this "
                "configuration belongs to another model"
            )


def depth(state: Mapping[str, Tensor], prefix: str) -> int:
    """Count the blocks whose names start with ``prefix``, which ends before their number."""
    found = len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})
    if not 0 < found <= _MOST_BLOCKS:
        raise InterlaceError(f"{found} blocks under {prefix!r}: expected 1 to {_MOST_BLOCKS}")
    return found


def parameter_shapes(spec: Spec) -> dict[str, torch.Size]:
    """Return name and shape of every tensor of a dual encoder of ``spec``, without making one."""
    with hollow():
        towers = {
            "image": ImageTower(spec.image, spec.embed_dim),
            "text": TextTower(spec.text, spec.embed_dim),
        }
    shapes = {
        f"{name}.{key}": tensor.shape
        for name, tower in towers.items()
        for key, tensor in tower.state_dict().items()
    }
    shapes["logit_scale"] = torch.Size([])
    if spec.logit_bias:
        shapes["logit_bias"] = torch.Size([])
    return shapes


def _applicable(rows: Iterable[TensorRow], shapes: Mapping[str, torch.Size]) -> list[TensorRow]:
    return [row for row in rows if all(name in shapes for name in row.ours.split())]


def read(state: Mapping[str, Tensor], spec: Spec, layout: TensorLayout) -> dict[str, Tensor]:
    """Translate a checkpoint's tensors to ours, in float32.

    Raises:
        InterlaceError: if a tensor is missing or misshapen, or one is left that no tower reads.
    """
    shapes = parameter_shapes(spec)
    result: dict[str, Tensor] = {}
    used: set[str] = set()
    for row in _applicable(layout.rows(spec), shapes):
        theirs = row.theirs.split()
        missing = [name for name in theirs if name not in state]
        if missing:
            raise InterlaceError(f"the checkpoint lacks {missing[0]!r}, needed for {row.ours!r}")
        used.update(theirs)
        for name in theirs:
            _check_kind(name, state[name])
        if len(theirs) > 1 and len({state[name].shape[1:] for name in theirs}) > 1:
            raise InterlaceError(f"{row.theirs!r} differ in their shapes")
        whole = torch.cat([state[name] for name in theirs]) if theirs[1:] else state[theirs[0]]
        for name, part in _ours(whole, row, shapes).items():
            # a copy, so that no tensor stays a view of a file that may change
            result[name] = part.to(torch.float32, copy=True).contiguous()
            if not is_finite(result[name]):
                raise InterlaceError(f"{row.theirs!r} holds values that are not finite numbers")
    unread = sorted(
        name for name in state if name not in used and name.split(".")[-1] not in _NOT_WEIGHTS
    )
    if unread:
        raise InterlaceError(
            f"the checkpoint holds {printable(unread[0])!r} ({len(unread)} such tensors), "
            f"a part that the towers cannot express"
        )
    _check_complete(shapes, result, layout)
    _check_temperature(result["logit_scale"])
    return result


def is_finite(tensor: Tensor) -> bool:
    """Return whether all values are finite."""
    # a sum that is finite has no infinity and no NaN in it; it costs a tenth of looking at each
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _check_kind(name: str, tensor: Tensor) -> None:
    if tensor.dtype not in _FLOATS:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise InterlaceError(
            f"{printable(name)!r} holds {kind} values; weights are float32, float16, bfloat16 or "
            "float64 (quantised checkpoints are not read)"
        )


def _check_temperature(logit_scale: Tensor) -> None:
    if abs(float(logit_scale)) > _LOGIT_SCALE:
        raise InterlaceError(
            f"'logit_scale' is {float(logit_scale):g}, the logarithm of the temperature: expected "
            f"a number from -{_LOGIT_SCALE} to {_LOGIT_SCALE} (CLIP's is 4.6)"
        )


def _ours(whole: Tensor, row: TensorRow, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Cut a format's tensor into ours, checked against their shapes."""
    if row.transpose:
        if whole.ndim != 2:
            raise InterlaceError(f"{row.theirs!r} has shape {list(whole.shape)}, not of a matrix")
        whole = whole.mT
    names = row.ours.split()
    if len(names) == 1:
        parts: Iterable[Tensor] = [whole]
    else:
        unit = len(whole) // sum(row.shares)
        if unit * sum(row.shares) != len(whole):
            raise InterlaceError(
                f"{row.theirs!r} has {len(whole)} rows, not {sum(row.shares)} equal parts"
            )
        parts = whole.split([unit * share for share in row.shares])
    result = {}
    for name, part in zip(names, parts, strict=True):
        if part.squeeze().shape != torch.Size([n for n in shapes[name] if n != 1]):
            raise InterlaceError(
                f"{row.theirs!r} has shape {list(part.shape)}, expected {list(shapes[name])}"
            )
        result[name] = part.reshape(shapes[name])
    return result


def write(state: Mapping[str, Tensor], spec: Spec, layout: TensorLayout) -> dict[str, Tensor]:
    """Translate our tensors to a format's, in float32 on the CPU, each in memory of its own.

    Raises:
        InterlaceError: if the format has no name for one of them.
    """
    shapes = parameter_shapes(spec)
    result: dict[str, Tensor] = {}
    covered: dict[str, Tensor] = {}
    for row in _applicable(layout.rows(spec), shapes):
        ours, theirs = row.ours.split(), row.theirs.split()
        covered.update((name, state[name]) for name in ours)
        whole = torch.cat([state[name] for name in ours]) if ours[1:] else state[ours[0]]
        if row.transpose:
            whole = whole.mT
        parts = whole.chunk(len(theirs)) if theirs[1:] else [whole]
        for name, part in zip(theirs, parts, strict=True):
            part = part[(None,) * row.lead].detach().to("cpu", torch.float32, copy=True)
            result[name] = part.contiguous()
    _check_complete(shapes, covered, layout)
    return result


def _check_complete(
    shapes: Mapping[str, torch.Size], found: Mapping[str, Tensor], layout: TensorLayout
) -> None:
    lost = sorted(set(shapes) - set(found))
    if lost:
        raise InterlaceError(f"{layout.name} has no place for {lost[0]!r} of this model")
