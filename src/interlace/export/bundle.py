"""A bundle: the folder an adapted model is saved to.

``adapted.safetensors`` holds the method's own tensors and nothing of the backbone;
``bundle.json`` names the backbone (source and fingerprint), the classes, the template, the settings
of the fit, its history and the images it has seen.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from interlace import methods
from interlace.adapted import Adapted
from interlace.backbone.dual import DualEncoder
from interlace.backbone.load import load
from interlace.config import RunConfig
from interlace.errors import InterlaceError
from interlace.train.checkpoint import write_atomically
from interlace.train.optim import resolve_device

FORMAT = 1
TENSORS = "adapted.safetensors"
HEADER = "bundle.json"


def save(adapted: Adapted, folder: Path, overwrite: bool = False) -> None:
    """Write ``adapted`` to ``folder``; the header comes last, so a partial bundle is none.

    Raises:
        InterlaceError: if the folder holds a bundle already and ``overwrite`` is off.
    """
    header_path = folder / HEADER
    if header_path.exists() and not overwrite:
        raise InterlaceError(
            f"{folder} already holds an adapted model; use overwrite to replace it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "format": FORMAT,
        "backbone": {"source": adapted.clip.source, "fingerprint": adapted.clip.fingerprint()},
        "classes": adapted.classes,
        "trained_classes": adapted.trained_classes,
        "template": adapted.template,
        "run": adapted.config.to_dict(),
        "split_hash": adapted.split_hash,
        "shots": sorted(adapted.shots),
        "history": adapted.history,
    }
    header_path.unlink(missing_ok=True)
    write_atomically(folder / TENSORS, dict(adapted.method.state_dict()), {"format": "pt"})
    temporary = header_path.with_suffix(".partial")
    temporary.write_text(json.dumps(header, indent=1), encoding="utf-8")
    os.replace(temporary, header_path)


def read_header(folder: Path) -> dict[str, Any]:
    """The contents of ``bundle.json``.

    Raises:
        InterlaceError: if ``folder`` holds no bundle, a damaged one, or one of a later format.
    """
    path = folder / HEADER
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InterlaceError(
            f"{folder} holds no adapted model ({HEADER} is missing); make one with interlace fit"
        ) from None
    except (OSError, ValueError) as error:
        raise InterlaceError(f"cannot read {path}: {error}") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InterlaceError(f"{path}: format {FORMAT} expected; made by another version?")
    return header


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
    backbone = header["backbone"]
    if clip is None:
        if not backbone["source"]:
            raise InterlaceError(
                f"{folder} does not say where its backbone came from: give it as clip"
            )
        clip = load(backbone["source"])
    found = clip.fingerprint()
    if found != backbone["fingerprint"]:
        raise InterlaceError(
            f"{folder} was made for backbone {backbone['source']!r} "
            f"({backbone['fingerprint']}), not for {clip.source!r} ({found})"
        )
    clip.to(resolve_device(device))
    run = RunConfig.from_dict(header["run"])
    template = header["template"]
    method = methods.create(run.method, clip, **run.arguments)
    try:
        method.load_state_dict(load_file(folder / TENSORS, device=str(clip.device)))
    except Exception as error:  # safetensors raises its own type for a damaged file
        raise InterlaceError(f"cannot read {folder / TENSORS}: {error}") from None
    return Adapted(
        method,
        header["classes"],
        template if isinstance(template, str) else tuple(template),
        trained_classes=header["trained_classes"],
        config=run,
        history=header["history"],
        shots=header["shots"],
        split_hash=header["split_hash"],
    )
