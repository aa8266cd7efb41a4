"""Check whether a data set is complete, and name what is missing."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interlace._util.text import count_of, listed
from interlace.data.datasets.benchmark_table import BenchmarkDataset
from interlace.data.datasets.benchmarks import data_root, find_benchmark
from interlace.data.datasets.registry import is_known, open_source
from interlace.data.names import clean_class_names, notes_on_names
from interlace.data.readers.columns import BY_NAME, Columns
from interlace.data.readers.folder import verified
from interlace.data.records import Skipped
from interlace.data.source import Source
from interlace.data.splits import base_and_novel


@dataclass(frozen=True, slots=True)
class DataFinding:
    """A number of a data set beside the one a complete copy has; None where no number is known."""

    what: str
    found: int
    expected: int | None = None

    @property
    def ok(self) -> bool:
        """Whether the number is as expected, or nothing is expected of it."""
        return self.expected is None or self.found == self.expected


@dataclass(frozen=True, slots=True)
class DataReport:
    """What a check has found.

    Attributes:
        name: The data set.
        findings: Its numbers.
        missing: Folders and lists that are not there, each with where to get it.
        skipped: Images that are listed and not there, or that cannot be read.
        hidden: Hidden files and folders, which were not read.
        notes: What a user should know of how the data was understood.
        problems: What contradicts itself, or leaves a class without images.
        known: Whether it is a benchmark whose complete numbers are known: files that are skipped
            are then an error, and in images of your own they are not.
        decoded: Whether every image was decoded.
    """

    name: str
    findings: tuple[DataFinding, ...] = ()
    missing: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    hidden: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    known: bool = False
    decoded: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing is missing and all numbers are as expected."""
        complete = (
            not self.missing and not self.problems and all(finding.ok for finding in self.findings)
        )
        return complete and not (self.known and self.skipped)

    def summary(self) -> str:
        """Say in one line what is wrong, or that nothing is."""
        wrong = [f"no {item}" for item in self.missing] + list(self.problems)
        wrong += [
            f"{finding.found:,} {finding.what} instead of {finding.expected:,}"
            for finding in self.findings
            if not finding.ok
        ]
        if self.known and self.skipped:
            first = self.skipped[0]
            wrong.append(
                f"{len(self.skipped)} images cannot be used, the first is {first.key} "
                f"({first.reason})"
            )
        if wrong:
            return f"{self.name}: {'; '.join(wrong)}"
        left = [count_of(len(self.skipped), "file skipped", "files skipped")] * bool(self.skipped)
        left += [count_of(len(self.notes), "note")] * bool(self.notes)
        return f"{self.name}: " + (f"usable, with {' and '.join(left)}" if left else "complete")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        findings = [{**asdict(finding), "ok": finding.ok} for finding in self.findings]
        return {**asdict(self), "findings": findings, "ok": self.ok}


def check(
    source: Path | str,
    root: Path | str | None = None,
    decode: bool = False,
    columns: Columns = BY_NAME,
) -> DataReport:
    """Compare a benchmark with what a complete copy has, or count the images of other data.

    Args:
        source: What ``FewShotTask.load`` takes.
        root: The data root, for standard benchmarks.
        decode: Whether to decode every image of a data set that is known by name, about 1 ms for
            a photo of 500 x 400 pixels. Images of your own are always decoded.
        columns: Columns of a table that are named.

    Returns:
        The report. Missing parts of a benchmark are in it, and are no error.

    Raises:
        InterlaceError: The source is unknown, no data root is known, or a list cannot be read.
    """
    named = isinstance(source, str) and is_known(source, root)
    entry = find_benchmark(str(source)) if named else None
    base = data_root(root)
    if entry is not None and base is not None:
        missing = entry.missing(base)
        if missing:
            return DataReport(entry.title, missing=missing, known=True)
    opened = open_source(source, root, columns=columns)
    skipped = opened.skipped
    if named and decode:
        skipped += tuple(verified(list(opened.records()))[1])
    findings = _counts(opened) if entry is None else _against(opened, entry)
    return DataReport(
        name=opened.name if entry is None else entry.title,
        findings=tuple(findings),
        skipped=skipped,
        hidden=opened.hidden,
        notes=() if entry is not None else _notes(opened),
        problems=(*opened.problems, *(() if entry is not None else _without_images(opened))),
        known=entry is not None,
        decoded=decode or not named,
    )


def _notes(source: Source) -> tuple[str, ...]:
    """Return the notes of images of your own, those on meaningless class names among them."""
    if source.cleaned:
        return source.notes
    names = clean_class_names(source.classes)
    return (*source.notes, *notes_on_names(source.classes, names, None))


def _without_images(source: Source) -> Iterator[str]:
    """Name the classes that have no image to train on."""
    train = source.pools.get("train")
    if train is not None:
        there = {record.label for record in train}
        lost = [name for label, name in enumerate(source.classes) if label not in there]
        if lost:
            names = listed([f"'{name}'" for name in lost], 8)
            yield f"no usable training image of {names}"


def _against(source: Source, entry: BenchmarkDataset) -> Iterator[DataFinding]:
    totals = entry.totals
    base, novel = (set(half) for half in base_and_novel(source.classes, source.order))
    test = source.pools.get("test", ())
    yield DataFinding("classes", len(source.classes), totals.classes)
    if "train" in source.pools:
        yield DataFinding("training images", len(source.pools["train"]), totals.train)
    if "val" in source.pools:
        yield DataFinding("validation images", len(source.pools["val"]), totals.val)
    yield DataFinding("test images", len(test), totals.test)
    for half, labels, expected in (("base", base, totals.base), ("novel", novel, totals.novel)):
        count = sum(record.label in labels for record in test)
        yield DataFinding(f"test images of {half} classes", count, expected)


def _counts(source: Source) -> Iterator[DataFinding]:
    yield DataFinding("classes", len(source.classes))
    for part, records in source.pools.items():
        yield DataFinding(f"{part} images", len(records))
        count = Counter(record.label for record in records)
        fewest = min(range(len(source.classes)), key=lambda label: count[label])
        yield DataFinding(f"{part} images of '{source.classes[fewest]}', the fewest", count[fewest])
