"""Read the embedded data: the suite, picto's classification tasks and its retrieval benchmark."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interlace.data.records import Record
from interlace.data.retrieval import RetrievalSet, RetrievalSetting, unseen_by_hash
from interlace.data.source import Source

PICTO_GALLERY = "fluent-3d"
PICTO_UNSEEN_SHARE = 0.5  # a class has one drawing in a style: many classes make enough queries
PICTO_SETTINGS = (
    RetrievalSetting("openmoji-black", "symbola"),
    RetrievalSetting("symbola", "openmoji-black"),
    RetrievalSetting("emojione-v1", "openmoji"),
)


def picto_names() -> Sequence[str]:
    """List picto's classification tasks."""
    from interlace.data.datasets import picto

    return list(picto.task_names())


def read_picto(name: str, root: Path | None = None) -> Source:
    """Read a classification task of picto; no data root is needed."""
    from interlace.data.datasets import picto

    task: Mapping[str, Any] = picto.task(name)
    table = picto.images()
    rows = {image_id: row for row, image_id in enumerate(table["image_id"].to_pylist())}

    def records(pairs: Sequence[Sequence[Any]]) -> tuple[Record, ...]:
        # take() copies the wanted rows alone, out of a table that is several times as large
        own = table.select(["image", "style"]).take([rows[image_id] for image_id, _ in pairs])
        columns = zip(own["image"].to_pylist(), own["style"].to_pylist(), pairs, strict=True)
        return tuple(
            Record(image, int(label), f"picto:{image_id}", str(style))
            for image, style, (image_id, label) in columns
        )

    return Source(
        name=f"picto/{name}",
        description=task["description"],
        template=task["template"],
        classes=tuple(task["classes"]),
        pools={"train": records(task["train"]), "test": records(task["test"])},
        cleaned=True,
    )


def suite_names(collection: str) -> Sequence[str]:
    """List the sets of a collection of the suite."""
    from interlace.data.datasets import suite

    return suite.set_names(collection)


def read_suite(collection: str, name: str, root: Path | None = None) -> Source:
    """Read a set of the suite; no data root is needed."""
    from interlace.data.datasets import suite

    return suite.read(collection, name)


def read_picto_retrieval() -> RetrievalSet:
    """Read the packaged drawings in the styles that pretraining has not seen.

    The styles that trained the embedded model, or its teacher, take no part. Classes are the
    concepts that the gallery's style draws; half of them are unseen, by the hashes of their code
    points.
    """
    from interlace.data.datasets import picto

    table = picto.core_images()
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
