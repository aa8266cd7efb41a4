"""The commands that ``kill.py`` kills, on a small input, and what their outputs hold."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from forks import finish, in_child, start

#: What may differ between two undisturbed runs, by command, and why.
DIFFERS = {
    "bench": {
        "seconds": "what the cell took",
        "peak_memory": "what it took at most",
        "date": "when it ran",
        "commit": "somebody may commit in between",
        "uncommitted_changes": "the same",
    },
    "search build": {
        "*": "LanceDB names its files at random: path, hash, label and vector are compared"
    },
}
#: Files of unfinished work, whose names say so: a finished run has none.
UNFINISHED = (".partial", ".parts", "checkpoint.safetensors")

Content = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """A command to kill.

    Attributes:
        name: what ``--commands`` takes.
        arguments: what follows ``interlace``.
        output: what it writes, in a folder of its own.
        older: what lies there before each run.
        last: name of the file that says that all others are there.
        replaces: whether the older one must be there whole until the new one is.
    """

    name: str
    arguments: list[str]
    output: Path
    older: Path | None = None
    last: str = ""
    replaces: bool = False

    def prepare(self) -> None:
        """Put everything as it was before the first run."""
        shutil.rmtree(self.output.parent, ignore_errors=True)
        self.output.parent.mkdir()
        if self.older is not None:
            shutil.copytree(self.older, self.output)

    def content(self) -> Content:
        """Hash of each file of the output, or of each row of a gallery, by name."""
        if self.name == "search build":
            return in_child(gallery_rows, self.output)
        files = [self.output] if self.output.is_file() else sorted(self.output.rglob("*"))
        ignored = DIFFERS.get(self.name, {})
        return {
            str(path.relative_to(self.output.parent)): digest(path, ignored)
            for path in files
            if path.is_file()
        }

    def leftovers(self) -> list[str]:
        """Names that a finished run has no use for."""
        beside = [p for p in self.output.parent.iterdir() if p != self.output]
        inside = [path for path in self.output.parent.rglob("*") if _is_unfinished(path)]
        return sorted({str(p.relative_to(self.output.parent)) for p in [*beside, *inside]})

    def wrong_between(self, before: Content, wanted: Content) -> str:
        """Return what a reader gets wrong of an output whose writer was killed.

        Whatever has its final name is whole: of the older output or of the new one.
        """
        if self.name == "search build":  # rows come in steps; those that there are are compared
            found = self.content()
            wrong = [k for k in found if k != "about" and found[k] != wanted.get(k)]
            return f"wrong rows: {', '.join(wrong[:4])}" if wrong else ""
        found = {k: v for k, v in self.content().items() if not _is_unfinished(Path(k))}
        if self.replaces and found not in (before, wanted):
            return "neither the old nor the new one is there"
        last = found.get(f"{self.output.name}/{self.last}")
        if last and found not in (before, wanted):
            return f"{self.last} is there without all the rest of its run"
        wrong = [k for k, v in found.items() if v not in (before.get(k), wanted.get(k))]
        return f"not whole: {', '.join(wrong)}" if wrong else ""


def _is_unfinished(path: Path) -> bool:
    return path.name.startswith(".") or path.name.endswith(UNFINISHED)


def digest(path: Path, ignored: Mapping[str, str]) -> str:
    """Hash of a file; of JSON without the fields that may differ, where there are such."""
    content = path.read_bytes()
    if ignored and path.suffix == ".json":
        try:
            record = json.loads(content)
        except ValueError:
            return "no JSON"
        content = json.dumps({k: v for k, v in record.items() if k not in ignored}).encode()
    return hashlib.sha256(content).hexdigest()


def gallery_rows(folder: Path) -> Content:
    """Hash of the content of each row of a gallery, by path; empty where there is none."""
    import lancedb

    if not (folder / "photos.lance").is_dir():
        return {}
    database = lancedb.connect(folder)
    columns = ["path", "hash", "label", "vector"]
    rows = database.open_table("photos").to_arrow().select(columns).to_pylist()
    found = {row["path"]: hashlib.sha256(repr(row).encode()).hexdigest() for row in rows}
    if len(found) != len(rows):
        found["rows"] = str(len(rows))
    about = database.open_table("about").to_arrow().to_pylist()
    return found | {"about": repr(about)}


def loads(folder: Path) -> bool:
    """Whether a model comes of an exported folder; what has the same bytes loads as well."""
    import interlace

    return bool(interlace.load(str(folder)).fingerprint())


def make_cases(folder: Path) -> dict[str, Case]:
    """Drawings as files, two fits and an older export; the commands to kill by name."""
    photos, work, log = folder / "photos", folder / "work", folder / "log"
    in_child(_write_drawings, photos)

    def run(*arguments: str) -> None:
        if finish(start(list(arguments), log), log):
            raise SystemExit(f"cannot make the inputs: {log.read_text()}")

    lora = ["--method", "clip_lora", "--shots", "2", "--set", "epochs=1", "--set", "batch_size=4"]
    for seed in ("1", "2"):
        run("fit", str(photos), "-o", str(folder / f"run{seed}"), "--seed", seed, *lora)
    run("export", str(folder / "run1"), "-o", str(folder / "older"))
    fit = ["fit", str(photos), "--method", "mail", "--shots", "2", "--set", "epochs=2"]
    bench = ["bench", "few_shot", "--data", str(photos), "--methods", "linear_probe"]
    bench += ["--shots", "1", "--seeds", "1,2", "--workers", "2"]
    embed = ["embed", str(photos), "--model", "picto", "--unit", "6"]
    build = ["search", "build", str(photos), "--model", "picto", "--batch-size", "4"]
    export = ["export", str(folder / "run2"), "--overwrite"]
    older, last = folder / "run1", "bundle.json"
    cases = [
        Case("fit", fit, work / "run", last=last),
        Case("fit --overwrite", [*fit, "--overwrite"], work / "run", older, last),
        Case("embed", embed, work / "vectors.parquet"),
        Case("search build", build, work / "gallery"),
        Case("export", export, work / "merged", folder / "older", replaces=True),
        Case("bench", bench, work / "runs"),
    ]
    for case in cases:
        case.arguments.extend(["-o", str(case.output)])
    return {case.name: case for case in cases}


def _write_drawings(folder: Path) -> None:
    """Drawings of the embedded set as PNG files: 4 classes of 6."""
    from interlace.data.datasets import picto

    task, table = picto.task("animals-nature"), picto.images().column("image")
    found: dict[str, list[bytes]] = {}
    for image, label in task["train"]:
        found.setdefault(task["classes"][label], []).append(table[image].as_py())
    for name in [name for name, own in found.items() if len(own) >= 6][:4]:
        (folder / name).mkdir(parents=True)
        for number, content in enumerate(found[name][:6]):
            (folder / name / f"{number}.png").write_bytes(content)
