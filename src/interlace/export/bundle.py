"""A bundle: the folder an adapted model is saved to.

``adapted.safetensors`` holds the method's own tensors and nothing of the backbone;
``bundle.json`` names the backbone (source and fingerprint), the classes, the template, the settings
of the fit, its history and the images it has seen. It is written last: a folder without it holds an
unfinished run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from interlace import methods
from interlace._util.files import cannot_write, held, write_json
from interlace._util.text import first_line, printable
from interlace.adapted import Adapted
from interlace.backbone.dual import DualEncoder
from interlace.backbone.load import load
from interlace.config import RunConfig
from interlace.data.used import Used
from interlace.errors import InterlaceError
from interlace.export.header import (
    FORMAT,
    HEADER,
    PICTURE,
    RESULT,
    SPLIT,
    TENSORS,
    read_header,
)
from interlace.train.checkpoint import read_tensors, restore, write_tensors
from interlace.train.optim import resolve_device

__all__ = ["HEADER", "load_adapted", "read_header", "save", "saving"]


def save(adapted: Adapted, folder: Path, overwrite: bool = False) -> None:
    """Write ``adapted`` to ``folder``.

    Raises:
        InterlaceError: if the folder holds a bundle already and ``overwrite`` is off, another
            command is writing to it, or it cannot be written.
    """
    with held(folder):
        if (folder / HEADER).exists() and not overwrite:
            raise already_there(folder)
        with saving(adapted, folder):
            pass


def already_there(folder: Path) -> InterlaceError:
    """What to say of a folder that is not free."""
    return InterlaceError(
        f"{printable(str(folder))} already holds an adapted model; overwrite it (--overwrite) or "
        "choose another folder"
    )


@contextmanager
def saving(adapted: Adapted, folder: Path) -> Iterator[None]:
    """Write the tensors at the beginning and the header at the end.

    What the context writes to the folder besides belongs to the run. An earlier run stays whole
    until the new tensors are on the disk; from then on, until the header is there, the folder holds
    an unfinished run and nothing of the earlier one.

    Raises:
        InterlaceError: if a file cannot be written.
    """
    header = _header(adapted)
    new = folder / f".{TENSORS}.new"
    write_tensors(new, dict(adapted.method.state_dict()), {"format": "pt"})
    try:
        for name in (HEADER, TENSORS, SPLIT, RESULT, PICTURE):
            (folder / name).unlink(missing_ok=True)
        new.replace(folder / TENSORS)
    except OSError as error:
        raise cannot_write(folder, error) from None
    yield
    write_json(folder / HEADER, header)


def _header(adapted: Adapted) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "backbone": {
            "source": adapted.clip.source,
            "fingerprint": adapted.clip.fingerprint(),
            "configuration": adapted.clip.configuration_hash(),
        },
        "classes": adapted.classes,
        "trained_classes": adapted.trained_classes,
        "published": adapted.published,
        "class_names": dict(adapted.class_names),
        "template": adapted.template,
        "run": adapted.config.to_dict(),
        "split_hash": adapted.split_hash,
        "shots": sorted(adapted.used.digests),
        "shot_sizes": None if adapted.used.sizes is None else sorted(adapted.used.sizes),
        "history": adapted.history,
    }


def load_adapted(
    folder: Path | str, clip: DualEncoder | None = None, *, device: str = "auto"
) -> Adapted:
    """Read a bundle.

    Args:
        folder: what :meth:`Adapted.save` wrote.
        clip: the backbone; by default it is loaded from where the bundle says it came from.
        device: ``auto``, ``cpu``, ``cuda``, ...; the model is moved there.

    Raises:
        InterlaceError: if there is no bundle, it is damaged, or it belongs to another backbone.
    """
    folder = Path(folder)
    header = read_header(folder)
    place = resolve_device(device)
    source, fingerprint = header["backbone"]["source"], header["backbone"]["fingerprint"]
    configuration = header["backbone"]["configuration"]
    if clip is None:
        if not source:
            raise InterlaceError(
                f"{folder} does not say where its backbone came from: give it as clip"
            )
        clip = load(source)
        # the weights may be the same and what they mean another: heads, activation, constants
        if configuration and clip.configuration_hash() != configuration:
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
    clip.to(place)
    tensors, _ = read_tensors(folder / TENSORS)
    try:
        run = RunConfig.from_dict(header["run"])
        method = methods.create(run.method, clip, **run.arguments)
        restore(method, tensors, method.sized)
        _check_labels(tensors, len(header["trained_classes"]))
    except (InterlaceError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise InterlaceError(
            f"{printable(str(folder))} cannot be used, it is damaged or was changed: "
            f"{first_line(error)}"
        ) from None
    template, sizes = header["template"], header["shot_sizes"]
    return Adapted(
        method.to(clip.device),
        header["classes"],
        template if isinstance(template, str) else tuple(template),
        trained_classes=header["trained_classes"],
        config=run,
        history=header["history"],
        shots=Used(frozenset(header["shots"]), None if sizes is None else frozenset(sizes)),
        split_hash=header["split_hash"],
        class_names=header["class_names"],
        published=header["published"],
    )


def _check_labels(tensors: dict[str, torch.Tensor], classes: int) -> None:
    """Whole numbers among the tensors of a method are labels of shots."""
    for name, tensor in tensors.items():
        whole = not (tensor.is_floating_point() or tensor.is_complex())
        if whole and len(tensor) and not 0 <= int(tensor.min()) <= int(tensor.max()) < classes:
            raise InterlaceError(f"{name} holds labels outside of 0 to {classes - 1}")
