"""Reads what retrieval across domains is tried on: the field's sets, picto, images of your own."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from interlace._util.reading import read_text
from interlace._util.text import printable
from interlace.data.datasets.benchmarks import ROOT_VARIABLE, data_root
from interlace.data.datasets.registry import open_source
from interlace.data.readers.folder import class_folders, verified
from interlace.data.readers.hub import is_saved_dataset
from interlace.data.readers.table_files import TABLES
from interlace.data.readers.walk import EXTENSIONS, walk
from interlace.data.records import Record, Skipped
from interlace.data.retrieval import RetrievalSet, RetrievalSetting, unseen_by_hash
from interlace.data.source import DEFAULT_TEMPLATE, Source
from interlace.errors import InterlaceError

DOMAINNET_UNSEEN = tuple(
    "airplane asparagus axe bandage beard blueberry boomerang bracelet bread cake campfire cloud "
    "dolphin donut elbow finger giraffe grapes hamburger helicopter hurricane ladder lightning "
    "marker megaphone moon motorbike octopus onion parrot peanut peas rainbow rollerskates "
    "sailboat scissors skateboard skyscraper snowman suitcase sweater tooth tornado watermelon "
    "windmill".split()
)
SKETCHY_UNSEEN = tuple(
    "bat cabin cow dolphin door giraffe helicopter mouse pear raccoon rhinoceros saw scissors "
    "seagull skyscraper songbird sword tree wheelchair windmill window".split()
)
TUBERLIN_UNSEEN = tuple(
    "banana bus tractor suitcase streetlight telephone canoe fan teacup penguin laptop shoe "
    "lighter pizza brain ant trombone windmill snowboard table rollerblades parachute bridge "
    "bread horse".split()
)


@dataclass(frozen=True, slots=True)
class RetrievalEntry:
    """A retrieval data set of the field.

    Attributes:
        name: Its name, such as ``"domainnet"``.
        title: Its name as papers write it.
        folder: Its folder below the data root.
        domains: Folder of each domain below ``folder``, by the domain's name.
        unseen: The classes that never train.
        gallery: The domain that is searched.
        settings: What may be held out.
        mixed_share: Share of the training classes' gallery images in the mixed gallery.
        query_shares: Share that ``udcdr`` takes where it is not the usual one.
        measures: The measures that are published.
    """

    name: str
    title: str
    folder: str
    domains: Mapping[str, str]
    unseen: tuple[str, ...]
    gallery: str
    settings: tuple[RetrievalSetting, ...]
    mixed_share: float = 0.0
    query_shares: Mapping[str, float] = field(default_factory=dict)
    measures: tuple[str, str] = ("map_200", "prec_200")


_DOMAINNET_DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")

FIELD_RETRIEVAL: Mapping[str, RetrievalEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            RetrievalEntry(
                name="domainnet",
                title="DomainNet",
                folder="DomainNet",
                domains={name: name for name in _DOMAINNET_DOMAINS},
                unseen=DOMAINNET_UNSEEN,
                gallery="real",
                settings=(
                    RetrievalSetting("sketch", "quickdraw"),
                    RetrievalSetting("quickdraw", "sketch"),
                    RetrievalSetting("painting", "infograph"),
                    RetrievalSetting("infograph", "painting"),
                    RetrievalSetting("clipart", "painting"),
                ),
                mixed_share=0.08,
                query_shares={"quickdraw": 0.1},
            ),
            RetrievalEntry(
                name="sketchy",
                title="Sketchy-extended",
                folder="Sketchy",
                domains={"sketch": "sketch", "photo": "extended_photo"},
                unseen=SKETCHY_UNSEEN,
                gallery="photo",
                settings=(RetrievalSetting("", "sketch"),),
            ),
            RetrievalEntry(
                name="tuberlin",
                title="TU-Berlin-extended",
                folder="TUBerlin",
                domains={"sketch": "sketches", "photo": "images"},
                unseen=TUBERLIN_UNSEEN,
                gallery="photo",
                settings=(RetrievalSetting("", "sketch"),),
                measures=("map_all", "prec_100"),
            ),
        )
    }
)
"""The field's retrieval data sets by name."""

PICTO_GALLERY = "fluent-3d"
PICTO_UNSEEN_SHARE = 0.5  # a class has one drawing in a style: many classes make enough queries
PICTO_SETTINGS = (
    RetrievalSetting("openmoji-black", "symbola"),
    RetrievalSetting("symbola", "openmoji-black"),
    RetrievalSetting("emojione-v1", "openmoji"),
)


def find_retrieval(name: str) -> RetrievalEntry | None:
    """Find a data set of the field in any common spelling: ``TU-Berlin``, ``domain_net``."""
    for entry in FIELD_RETRIEVAL.values():
        if _plain(name) in {_plain(entry.name), _plain(entry.title)}:
            return entry
    return None


def retrieval_names() -> tuple[str, ...]:
    """List the data sets that are known by name."""
    return ("picto/retrieval", *FIELD_RETRIEVAL)


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
        root: The data root, for data sets of the field.
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
        data = _picto() if entry is None else _read_entry(entry, root, strict)
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


def _picto() -> RetrievalSet:
    """Return the packaged drawings of the styles that pretraining has not seen.

    The styles that trained the embedded model, or its teacher, take no part. Classes are the
    concepts that the gallery's style draws; half of them are unseen, by the hashes of their code
    points.
    """
    from interlace.data.datasets import picto

    table = picto.images()
    styles = picto.task("styles")["domains"]
    unknown = {name for name, style in styles.items() if not style["seen"]}
    rows = zip(*(table[name].to_pylist() for name in ("name", "concept", "style")), strict=True)
    concepts = {name: concept for name, concept, style in rows if style == PICTO_GALLERY}
    classes = tuple(sorted(concepts))
    label_of = {name: label for label, name in enumerate(classes)}
    columns = (table[name].to_pylist() for name in ("image", "name", "image_id", "style"))
    records = [
        Record(image, label_of[name], f"picto:{image_id}", style)
        for image, name, image_id, style in zip(*columns, strict=True)
        if style in unknown and name in label_of
    ]
    unseen = set(unseen_by_hash(concepts.values(), PICTO_UNSEEN_SHARE))
    return RetrievalSet(
        source=Source(
            name="picto/retrieval",
            classes=classes,
            pools={"train": records},
            template="a drawing of {}",
            description="emoji concepts in drawing styles that pretraining has not seen",
            cleaned=True,
        ),
        unseen=tuple(name for name in classes if concepts[name] in unseen),
        gallery=PICTO_GALLERY,
        settings=PICTO_SETTINGS,
        families={name: style["family"] for name, style in styles.items()},
        measures=("map_all", "prec_1"),
    )


def _with_template(data: RetrievalSet, template: str) -> RetrievalSet:
    return replace(data, source=replace(data.source, template=template))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
