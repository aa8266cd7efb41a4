"""Read images for retrieval across domains: benchmarks, picto, images of your own."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from interlace._util.reading import read_text
from interlace._util.text import printable
from interlace.data.datasets.benchmarks import ROOT_VARIABLE, data_root
from interlace.data.datasets.embedded import read_picto_retrieval
from interlace.data.datasets.registry import open_source
from interlace.data.datasets.retrieval_table import (
    RetrievalEntry,
    find_retrieval,
    retrieval_names,
)
from interlace.data.readers.folder import class_folders, verified
from interlace.data.readers.hub import is_saved_dataset
from interlace.data.readers.table_files import TABLES
from interlace.data.readers.walk import EXTENSIONS, walk
from interlace.data.records import Record, Skipped
from interlace.data.retrieval import RetrievalSet, RetrievalSetting, unseen_by_hash
from interlace.data.source import DEFAULT_TEMPLATE, Source
from interlace.errors import InterlaceError


def open_retrieval(
    source: Path | str,
    root: Path | str | None = None,
    strict: bool = False,
    *,
    gallery: str | None = None,
    held_out: Sequence[str] | str = (),
    unseen: Sequence[str] | None = None,
    template: str | None = None,
) -> RetrievalSet:
    """Read images for retrieval across domains.

    Args:
        source: ``"picto/retrieval"``, ``"domainnet"``, ``"sketchy"``, ``"tuberlin"``; or a folder
            of your own, ``<domain>/<class>/<image>``, or a table with a domain column
            (``columns.COLUMN_OPTIONS``).
        root: The data root, for standard benchmarks.
        strict: Whether a file that cannot be used is an error instead of being skipped.
        gallery: For your own images: the domain that is searched.
        held_out: For your own images: the domains that are held out in turn; all but the gallery
            by default. The first other domain in the alphabet stands beside each as the seen one.
        unseen: For your own images: the classes that never train, as the folders or the table call
            them; by default a fifth of them, chosen by the hashes of their names.
        template: Prompt with ``{}`` where the class name goes; None takes the data set's own.

    Raises:
        InterlaceError: There is no such source, it has no domains, or an argument is not there or
            does not go with it.
    """
    entry = find_retrieval(source) if isinstance(source, str) else None
    if entry is not None or source == "picto/retrieval":
        if gallery is not None or held_out or unseen is not None:
            raise InterlaceError(
                f"{source}: its gallery, held-out domains and unseen classes are fixed; they can "
                "be given for images of your own"
            )
        data = read_picto_retrieval() if entry is None else _read_entry(entry, root, strict)
        return data if template is None else _with_template(data, template)
    images = _read_own(Path(source), strict)
    domains = sorted({record.domain for record in images.records()} - {""})
    if len(domains) < 2:
        raise InterlaceError(
            f"{source}: {len(domains)} domains: at least two are needed, as <domain>/<class>/ "
            "folders or in a column 'domain'"
        )
    if gallery is None:
        raise InterlaceError(f"{source}: gallery=...: must be one of {', '.join(domains)}")
    asked = [held_out] if isinstance(held_out, str) else list(held_out)
    asked = asked or [name for name in domains if name != gallery]
    data = RetrievalSet(
        source=images,
        unseen=unseen_by_hash(images.classes) if unseen is None else tuple(unseen),
        gallery=gallery,
        settings=tuple(
            RetrievalSetting(name, next((d for d in domains if d not in (name, gallery)), ""))
            for name in asked
        ),
    )
    return data if template is None else _with_template(data, template)


def read_domains(root: Path | str, strict: bool = False) -> Source:
    """Read ``<domain>/<class>/<image>``.

    Every image is decoded once, as ``readers.read_folder`` does.

    Args:
        root: The folder.
        strict: Whether a file that is not a readable image is an error instead of being skipped.

    Returns:
        The images. Classes are those of all domains, sorted by the names of their folders.

    Raises:
        InterlaceError: The folder is not as described.
    """
    root = Path(root)
    source = _walk(root, {name: name for name in class_folders(root)}, strict)
    readable, broken = verified(tuple(source.records()))
    if strict and broken:
        raise InterlaceError(f"{root / broken[0].key}: {broken[0].reason}")
    if not readable:
        raise InterlaceError(f"no readable image in {root}: expected <domain>/<class>/<image>")
    return replace(source, pools={"train": readable}, skipped=(*source.skipped, *broken))


def _read_own(path: Path, strict: bool) -> Source:
    if not os.path.exists(path):
        raise InterlaceError(
            f"no such folder or table: {path} (nor a known retrieval data set: "
            f"{', '.join(retrieval_names())})"
        )
    if path.is_dir() and not is_saved_dataset(path):
        return read_domains(path, strict)
    if path.is_file() and path.suffix.lower() not in TABLES:
        raise InterlaceError(f"{path}: must be a folder or one of {', '.join(sorted(TABLES))}")
    return open_source(path, strict=strict)


def _read_entry(entry: RetrievalEntry, root: Path | str | None, strict: bool) -> RetrievalSet:
    base = data_root(root)
    if base is None:
        raise InterlaceError(
            f"{entry.title}: where is it? Give the data root (root=...) or set {ROOT_VARIABLE}: "
            f"the folder that holds {entry.folder}/"
        )
    folder = base / entry.folder
    missing = [name for name in entry.domains.values() if not (folder / name).is_dir()]
    if missing:
        raise InterlaceError(f"{entry.title}: no folder {folder / missing[0]}")
    walked = _walk(folder, entry.domains, strict)
    source = Source(
        name=entry.name,
        classes=walked.classes,
        pools=walked.pools,
        template=DEFAULT_TEMPLATE,
        description=f"{entry.title}, {len(walked.classes)} classes",
        skipped=walked.skipped,
        hidden=walked.hidden,
    )
    return RetrievalSet(
        source=source,
        unseen=entry.unseen,
        gallery=entry.gallery,
        settings=entry.settings,
        mixed_share=entry.mixed_share,
        query_shares=entry.query_shares,
        measures=entry.measures,
    )


def _walk(root: Path, domains: Mapping[str, str], strict: bool) -> Source:
    """Find the images below ``<domain folder>/<class>/``, by list where the domain has lists."""
    found: list[tuple[str, str, str]] = []
    skipped: list[Skipped] = []
    hidden: list[Skipped] = []
    for domain, folder in domains.items():
        listed = _listed(root, folder)
        if listed is None:
            there = walk(root / folder)
            paths = [path.relative_to(root).as_posix() for path in (*there.images, *there.others)]
            paths = sorted(key for key in paths if key.count("/") > 1)
            skipped += [Skipped(f"{folder}/{item.key}", item.reason) for item in there.skipped]
            hidden += [Skipped(f"{folder}/{item.key}", item.reason) for item in there.hidden]
        else:
            paths = listed
        for key in paths:
            # <domain folder>/<class>/..., whichever way it was found
            name = key.split("/")[1]
            if listed is not None and not (root / key).is_file():
                skipped.append(Skipped(key, "listed, and no such file"))
            elif Path(key).suffix.lower() not in EXTENSIONS:
                skipped.append(Skipped(key, "not read as an image"))
            else:
                found.append((key, domain, name))
    if strict and skipped:
        raise InterlaceError(f"{root / skipped[0].key}: {skipped[0].reason}")
    classes = tuple(sorted({name for _, _, name in found}))
    label_of = {name: label for label, name in enumerate(classes)}
    records = [Record(root / key, label_of[name], key, domain) for key, domain, name in found]
    return Source(
        root.resolve().name,
        classes,
        {"train": records},
        skipped=tuple(skipped),
        hidden=tuple(hidden),
    )


def _listed(root: Path, folder: str) -> list[str] | None:
    """Paths that ``<domain>_train.txt`` and ``<domain>_test.txt`` name; None without both of them.

    A line is ``<domain>/<class>/<image> <label>``; the labels are not used.
    """
    lists = [root / f"{folder}_{part}.txt" for part in ("train", "test")]
    if not all(path.is_file() for path in lists):
        return None
    keys: list[str] = []
    for path in lists:
        for number, line in enumerate(read_text(path).splitlines(), 1):
            key = line.rsplit(maxsplit=1)[0] if line.strip() else ""
            steps = key.split("/")
            if key and (len(steps) < 3 or steps[0] != folder or ".." in steps or "\0" in key):
                raise InterlaceError(
                    f"{path}, line {number}: '{printable(line)}': expected "
                    f"{folder}/<class>/<image> <label>"
                )
            keys += [key] if key else []
    return keys


def _with_template(data: RetrievalSet, template: str) -> RetrievalSet:
    return replace(data, source=replace(data.source, template=template))
