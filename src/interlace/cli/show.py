"""``interlace show``: methods, models, data sets and runs."""

from __future__ import annotations

import inspect
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from interlace.cli._options import Json
from interlace.cli._output import err, out, print_json

if TYPE_CHECKING:
    from interlace.backbone.spec import Spec
    from interlace.data.datasets.benchmarks import BenchmarkDataset


def run(
    what: Annotated[
        str | None,
        typer.Argument(
            help="A method, a model, a data set or a run folder; without one, all are listed."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Describe a method, a model, a data set or a run.

    Example: interlace show mmrl++
    """
    if what is None:
        facts = _everything()
        _tell_unavailable()
    else:
        facts = _describe(what)
    if as_json:
        print_json(facts)
        return
    allowed = facts.pop("allowed", {})
    for part in ("defaults", "training") if allowed else ():
        facts[part] = {k: f"{_text(v)}  ({allowed[k]})" for k, v in facts[part].items()}
    text = facts.pop("what it computes", None)
    if text is not None:
        out.print(Text(text))
        out.print()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), _text(value))
    out.print(table)


def _describe(what: str) -> dict[str, Any]:
    # each import stands where it is needed: that of the data sets or of runs takes longer than
    # all that is said of a method
    from interlace import methods

    if Path(what).is_dir():
        from interlace.adaptation.header import HEADER

        if (Path(what) / HEADER).exists():
            return _run(Path(what))
    if "/" in what:
        from interlace.data.datasets.registry import is_catalog_name

        if is_catalog_name(what):
            return _data(what)
    if what in methods.available():
        return _method(what)
    from interlace.data.datasets.benchmarks import find_benchmark

    if (entry := find_benchmark(what)) is not None:
        return _benchmark(entry)
    from interlace.data.datasets.extensions import find_added

    if find_added(what) is not None:
        return _data(what)
    return _model(what) if _looks_like_model(what) else _method(what)


def _tell_unavailable() -> None:
    """Name the methods of other packages that cannot be used, and why."""
    from interlace import methods

    for line in methods.unavailable():
        err.print(f"note: {line}")


def _looks_like_model(what: str) -> bool:
    return what == "picto" or any(mark in what for mark in ":/") or Path(what).exists()


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{k} = {_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _everything() -> dict[str, Any]:
    from interlace import methods
    from interlace.data.datasets.benchmarks import benchmark_names
    from interlace.data.datasets.registry import catalog_names

    return {
        "methods": {name: methods.get(name).summary for name in methods.available()},
        "data sets": [*catalog_names(), *benchmark_names()],
        "models": ["picto (embedded)", "ViT-B-16:openai", "hf:<name>", "a folder or file"],
    }


def _method(name: str) -> dict[str, Any]:
    from interlace import methods
    from interlace._util.schema import describe
    from interlace.backbone.spec import VIT_B_16
    from interlace.config import training_hints

    cls, defaults = methods.get(name), methods.defaults(name)
    hints = {**methods.parameters(name), **training_hints()}
    return {
        "method": name,
        "summary": cls.summary,
        "what it computes": (inspect.getdoc(cls) or "").partition("\n\nRaises:")[0],
        "defaults": dict(defaults.method),
        "training": dict(defaults.train),
        "allowed": {setting: describe(hint) for setting, hint in hints.items()},
        "parameters at ViT-B/16": methods.count_parameters(name, VIT_B_16),
        "parameters on picto": methods.count_parameters(name, _picto_spec()),
        "new classes without training": "no" if cls.fixed_classes else "yes",
    }


def _picto_spec() -> Spec:
    """Return the embedded model's architecture, from its configuration and tensor shapes."""
    import torch
    from safetensors import safe_open

    from interlace._util.reading import read_json_object
    from interlace.backbone.checkpoints.families import open_clip_spec

    folder = Path(str(files("interlace") / "data" / "datasets" / "picto" / "model"))
    with safe_open(folder / "open_clip_model.safetensors", "pt") as stored:
        shapes = {
            name: torch.empty(stored.get_slice(name).get_shape(), device="meta")
            for name in stored.keys()  # noqa: SIM118 (it is no mapping)
        }
    return open_clip_spec(shapes, read_json_object(folder / "open_clip_config.json")["model_cfg"])


def _model(name: str) -> dict[str, Any]:
    from interlace.backbone.load import load

    clip = load(name)
    image, text = clip.spec.image, clip.spec.text
    return {
        "model": clip.source,
        "fingerprint": clip.fingerprint(),
        "parameters": sum(p.numel() for p in clip.parameters()),
        "image tower": f"{image.depth} blocks, width {image.width}, {image.heads} heads, "
        f"{image.image_size} px in {image.patch_size} px patches, {image.pool} pooling",
        "text tower": f"{text.depth} blocks, width {text.width}, {text.heads} heads, "
        f"{text.context_length} positions, {text.vocab_size:,} tokens, "
        f"{'causal' if text.causal else 'not causal'}, {text.pool} pooling",
        "embedding": clip.spec.embed_dim,
        "activation": image.activation,
        "template": clip.template,
        "temperature": round(float(clip.scale), 2),
    }


def _data(name: str) -> dict[str, Any]:
    from interlace.data.datasets.registry import read_catalog

    entry = read_catalog(name)
    return {
        "data set": entry.name,
        "description": entry.description,
        "template": entry.template,
        "images to draw shots from": len(entry.pools.get("train", ())),
        "test images": len(entry.pools.get("test", ())),
        "number of classes": len(entry.classes),
        "classes": list(entry.classes),
    }


def _benchmark(entry: BenchmarkDataset) -> dict[str, Any]:
    return {
        "data set": entry.title,
        "name": entry.name,
        "template": entry.template,
        "number of classes": entry.totals.classes,
        "test images": entry.totals.test,
        "where it is read from": f"DATA/{entry.folder}",
        "images from": entry.images_from,
        "lists from": entry.lists_from,
    }


def _run(folder: Path) -> dict[str, Any]:
    from interlace.adaptation.header import read_header

    header = read_header(folder)
    last = header["history"][-1] if header["history"] else {}
    return {
        "run": str(folder),
        "method": header["run"]["method"],
        "backbone": header["backbone"]["source"],
        "fingerprint": header["backbone"]["fingerprint"],
        "preset": header["run"]["preset"] or "none",
        "tuned": header["run"].get("tuned") or "no",
        "arguments": header["run"]["arguments"],
        "training": header["run"]["train"],
        "seed": header["run"]["seed"],
        "last epoch": {k: round(v, 4) for k, v in last.items()},
        "template": header["template"],
        "classes": list(header["classes"]),
    }
