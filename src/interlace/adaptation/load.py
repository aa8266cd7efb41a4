"""Reading an adapted model back from the bundle it was saved to."""

from __future__ import annotations

from pathlib import Path

import torch

from interlace import methods
from interlace._util.text import first_line, printable
from interlace.adaptation.header import TENSORS, read_header
from interlace.adaptation.model import AdaptedModel
from interlace.adaptation.placement import on_device
from interlace.backbone.dual import DualEncoder
from interlace.backbone.load import load
from interlace.config import RunConfig
from interlace.data.used import Used
from interlace.errors import InterlaceError
from interlace.train.checkpoint import read_tensors, restore
from interlace.train.optim import resolve_device


def load_adapted(
    folder: Path | str, clip: DualEncoder | None = None, *, device: str = "auto"
) -> AdaptedModel:
    """Read an adapted model from its bundle.

    Args:
        folder: what :meth:`AdaptedModel.save` wrote.
        clip: the backbone; by default it is loaded from where the bundle says it came from.
        device: ``auto``, ``cpu``, ``cuda``, ...; a ``clip`` that is elsewhere is copied there and
            stays where it is.

    Raises:
        InterlaceError: if there is no bundle, it is damaged, or it belongs to another backbone.
    """
    folder = Path(folder)
    header = read_header(folder)
    _check_method(folder, header["run"]["method"])
    place = resolve_device(device)
    clip = on_device(_backbone(folder, header["backbone"], clip), place)
    tensors, _ = read_tensors(folder / TENSORS)
    try:
        run = RunConfig.from_dict(header["run"])
        method = methods.create(run.method, clip, **run.arguments)
        restore(method, tensors, method.lazily_sized_tensors)
        _check_labels(tensors, len(header["trained_classes"]))
    except (InterlaceError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InterlaceError(
            f"{printable(str(folder))} cannot be used, it is damaged or was changed: "
            f"{first_line(error)}"
        ) from None
    template, sizes = header["template"], header["shot_sizes"]
    return AdaptedModel(
        method.to(clip.device),
        header["classes"],
        template if isinstance(template, str) else tuple(template),
        trained_classes=header["trained_classes"],
        config=run,
        history=header["history"],
        used=Used(frozenset(header["shots"]), None if sizes is None else frozenset(sizes)),
        split_hash=header["split_hash"],
        class_names=header["class_names"],
        published=header["published"],
    )


def _check_method(folder: Path, name: str) -> None:
    """Check that the method of a bundle is there, before its backbone is loaded.

    Raises:
        InterlaceError: if it is not; it may be one of a package that is not installed here.
    """
    try:
        methods.get(name)
    except InterlaceError as error:
        raise InterlaceError(
            f"{printable(str(folder))} needs a method that cannot be used here: {error}"
        ) from None


def _backbone(folder: Path, stated: dict[str, str], clip: DualEncoder | None) -> DualEncoder:
    """Return the backbone that a bundle was made for.

    Raises:
        InterlaceError: if it cannot be found, or is another one.
    """
    source, fingerprint = stated["source"], stated["fingerprint"]
    if clip is None:
        if not source:
            raise InterlaceError(
                f"{folder} does not say where its backbone came from: give it as clip"
            )
        clip = load(source)
        # equal weights may still mean another model: heads, activation, constants
        if stated["configuration"] and clip.configuration_hash() != stated["configuration"]:
            raise InterlaceError(
                f"{printable(str(folder))}: the configuration of its backbone {source!r} (heads, "
                "activation, epsilon or image constants) was changed since the fit"
            )
    found = clip.fingerprint()
    if found != fingerprint:
        raise InterlaceError(
            f"{folder} was made for backbone {source!r} "
            f"({fingerprint}), not for {clip.source!r} ({found})"
        )
    return clip


def _check_labels(tensors: dict[str, torch.Tensor], classes: int) -> None:
    """See that the whole numbers among a method's tensors, labels of shots, name classes.

    Raises:
        InterlaceError: naming the tensor that holds others.
    """
    for name, tensor in tensors.items():
        whole = not (tensor.is_floating_point() or tensor.is_complex())
        if whole and len(tensor) and not 0 <= int(tensor.min()) <= int(tensor.max()) < classes:
            raise InterlaceError(f"{name} holds labels outside of 0 to {classes - 1}")
