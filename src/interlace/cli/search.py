"""``interlace search``: make a gallery of your own images, and search it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from interlace._util.files import check_writable, written_whole
from interlace._util.reading import as_path
from interlace._util.text import first_line, printable
from interlace.cli._many import image_bar, tell_skipped
from interlace.cli._options import MODELS, BatchSize, DecodeThreads, Device, Json, Strict
from interlace.cli._output import err, out, print_json
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from PIL.Image import Image

    from interlace.search import Gallery
    from interlace.search.gallery import QueryKind


app = typer.Typer(
    name="search",
    help="Search your own images, by an image or by words.\n\n"
    "Example: interlace search build photos/ -o gallery/ --model run/",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

GalleryFolder = Annotated[
    str, typer.Argument(metavar="GALLERY", help="Folder that `search build` wrote, or s3://...")
]
Storage = Annotated[
    list[str] | None,
    typer.Option(
        "--storage", help="key=value for LanceDB's storage_options (object storage); repeatable."
    ),
]


@app.command("build")
def build(
    photos: Annotated[Path, typer.Argument(help="Folder of images, at any depth.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder of the gallery, or s3://...")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help=f"{MODELS}, or the folder of a fit; by default the one the gallery was built with."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Rebuild from scratch.")] = False,
    strict: Strict = False,
    batch_size: BatchSize = 64,
    workers: DecodeThreads = None,
    device: Device = "auto",
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Make a gallery of a folder of images, or update it.

    Only new and changed files are encoded, and removed ones are dropped. Interrupted builds resume.

    Example: interlace search build photos/ -o gallery/ --model run/
    """
    from interlace.search import Gallery

    with image_bar("encode", "the same command resumes after the images that are stored") as bar:
        gallery = Gallery.build(
            output,
            photos,
            model,
            overwrite=overwrite,
            device=device,
            storage_options=_storage(storage),
            strict=strict,
            batch_size=batch_size,
            workers=workers,
            progress=lambda done, total, _: bar(done, total),
        )
    report = gallery.report
    if report is None:
        return
    if as_json:
        counts = ("added", "changed", "reused", "removed", "unchanged")
        skipped = [{"path": item.key, "reason": item.reason} for item in report.skipped]
        print_json(
            {
                "gallery": output,
                "photos": gallery.photos,
                "model": gallery.model.to_dict(),
                "images": report.count,
                **{name: getattr(report, name) for name in counts},
                "skipped": skipped,
                "index": gallery.index(),
            }
        )
        return
    tell_skipped(report.skipped)
    reused = f" ({report.reused:,} of them known by content)" if report.reused else ""
    out.print(
        f"{output}: {report.count:,} images; {report.added:,} new, {report.changed:,} changed"
        f"{reused}, {report.removed:,} removed, {report.unchanged:,} unchanged, "
        f"{len(report.skipped):,} skipped"
    )


@app.command("query")
def query(
    gallery: GalleryFolder,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="An image file, or words in quotes.")
    ],
    top: Annotated[int, typer.Option("--top", "-k", help="Images to find.", min=1)] = 10,
    image: Annotated[bool, typer.Option("--image", help="The query is an image.")] = False,
    text: Annotated[bool, typer.Option("--text", help="The query is words.")] = False,
    model: Annotated[str | None, typer.Option(help="The gallery's model, if it was moved.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="File for a contact sheet of the query and its hits (PNG).")
    ] = None,
    device: Device = "auto",
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Find the images nearest to an image or to words.

    A query that is the path of a file is an image; anything else is words, which are encoded as
    they are, without a template.

    Example: interlace search query gallery/ "a red windmill" --sheet found.png
    """
    from interlace.search import Gallery

    if image and text:
        raise InterlaceError("--image and --text: a query is one of them")
    if sheet is not None:
        _format(sheet)
        check_writable(sheet, folder=False)
    kind: QueryKind = "image" if image else "text" if text else "auto"
    opened = Gallery.open(gallery, model, device=device, storage_options=_storage(storage))
    is_image = opened.is_image(query, kind)
    _warn_incomplete(gallery, opened)
    hits = opened.query(query, top, kind=kind)
    if sheet is not None:
        _write(opened.sheet(query, hits, kind), sheet)
    if as_json:
        found = [
            {"rank": rank, "path": hit.path, "score": hit.score, "label": hit.label}
            for rank, hit in enumerate(hits, 1)
        ]
        kind_found = "image" if is_image else "text"
        facts = {"gallery": gallery, "query": query, "kind": kind_found}
        print_json({**facts, "model": opened.model.to_dict(), "hits": found})
        return
    table = Table()
    table.add_column("", justify="right")
    table.add_column("score", justify="right")
    table.add_column("label")
    table.add_column("image", overflow="fold")
    for rank, hit in enumerate(hits, 1):
        label, path = printable(hit.label or "-"), printable(hit.path)
        table.add_row(str(rank), f"{hit.score:.3f}", label, path)
    out.print(table)
    if sheet is not None:
        out.print(f"contact sheet: {sheet}")


@app.command("info")
def info(gallery: GalleryFolder, storage: Storage = None, as_json: Json = False) -> None:
    """Show what a gallery holds, which model made it, and how it is searched.

    Example: interlace search info gallery/
    """
    from interlace.search import Gallery

    opened = Gallery.open(gallery, storage_options=_storage(storage))
    skipped = opened.skipped
    if as_json:
        print_json(
            {
                "gallery": gallery,
                "photos": opened.photos,
                "images": len(opened),
                "model": opened.model.to_dict(),
                "index": opened.index(),
                "complete": opened.complete,
                "skipped": [{"path": item.key, "reason": item.reason} for item in skipped],
            }
        )
        return
    table = Table(show_header=False, title=gallery, title_justify="left")
    table.add_row("images", f"{len(opened):,}")
    table.add_row("from", opened.photos or "-")
    table.add_row("model", str(opened.model))
    table.add_row("vector length", str(opened.model.dim))
    table.add_row("search", opened.index())
    table.add_row("skipped files", str(len(skipped)))
    out.print(table)
    tell_skipped(skipped)
    _warn_incomplete(gallery, opened)


def _write(picture: Image, path: Path) -> None:
    """Write a picture in one step, in the format that its name asks for.

    Raises:
        InterlaceError: if it cannot be written.
    """
    kind = _format(path)
    with written_whole(as_path(path)) as temporary:
        try:
            picture.save(temporary, kind)
        except (ValueError, KeyError) as error:  # too large for the format
            raise InterlaceError(f"cannot write {path}: {first_line(error)}") from None


def _format(path: Path) -> str:
    """Return the format that a picture's name asks for.

    Raises:
        InterlaceError: if there is no such format, or it takes no colours.
    """
    from PIL.Image import new, registered_extensions

    kind = registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise InterlaceError(f"cannot write {path}: unknown file extension: {path.suffix}")
    try:
        new("RGB", (8, 8)).save(BytesIO(), kind)
    except (ValueError, KeyError, OSError) as error:  # a format that is only read, say
        raise InterlaceError(f"cannot write {path}: {first_line(error)}") from None
    return kind


def _warn_incomplete(name: str, gallery: Gallery) -> None:
    if not gallery.complete:
        err.print(f"{name}: its last build did not finish, images may be missing: run it again")


def _storage(pairs: list[str] | None) -> dict[str, str] | None:
    """Read LanceDB's options from ``key=value`` strings.

    Raises:
        InterlaceError: if a string has no ``=``.
    """
    options = {}
    for pair in pairs or []:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise InterlaceError(f"{pair!r}: expected key=value, such as region=eu-west-1")
        options[key] = value
    return options or None
