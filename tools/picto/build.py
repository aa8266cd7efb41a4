"""Download the pinned drawing sets, render every drawing at 64 px and write one image store.

The store is two files in the work folder: ``images.npy`` (N x 64 x 64 x 4, straight-alpha RGBA)
and ``store.json`` (the concepts and one record per image). ``pretrain.py``, ``evaluate.py`` and
``make_tasks.py`` read it. A second one in its folder ``more`` has the drawings of the groups that
are packaged for the suite and never trained on.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import resvg_py
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont
from sources import (
    CORE_GROUPS,
    DEBIAN_PACKAGES,
    EXTRA_SETS,
    ICONIFY,
    ICONIFY_STYLES,
    MATCHED_SETS,
    MORE_GROUPS,
    MORE_STYLES,
    PACKAGES,
    REDRAWN,
    SEXED,
)

SIZE = 64
JOINING_FONTS = ("noto-mono",)
REDRAW_MODES = ("line", "contrast", "inked")

# Icon names that are concept names but usually mean another thing in icon sets.
AMBIGUOUS = {
    "mouse", "bat", "crane", "iron", "jack", "seal", "bow", "palette", "shell", "web", "sun",
    "package", "joker", "camp", "flag", "flags", "chart", "charts", "on", "end", "up", "cool",
    "new", "top", "back", "soon", "school", "secret", "congratulations", "cloudy", "bank",
}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """What is known about one image: its set or style, its concept if it has one, its words."""

    kind: str  # "emoji", "redrawn" or "icon"
    style: str
    concept: int  # index into the concepts, -1 for an icon that is none of them
    name: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One drawing to render: SVG text, or a file."""

    record: Record
    svg: str = ""
    path: str = ""


def package_dir(work: Path, package: str) -> Path:
    """Folder of an unpacked npm package."""
    return work / "npm" / package.replace("/", "__") / "package"


def download(work: Path) -> None:
    """Fetch the pinned npm packages and the Debian packages that are not there yet."""
    for package, version in PACKAGES.items():
        target = package_dir(work, package).parent
        if (target / "package").exists():
            continue
        target.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", f"{package}@{version}"]
        packed = subprocess.run(command, cwd=target, check=True, capture_output=True, text=True)
        archive = packed.stdout.strip().splitlines()[-1]
        subprocess.run(["tar", "xzf", archive], cwd=target, check=True)
        (target / archive).unlink()
    deb = work / "deb"
    deb.mkdir(parents=True, exist_ok=True)
    for package in DEBIAN_PACKAGES:
        if (deb / package).exists():
            continue
        subprocess.run(["apt-get", "download", package], cwd=deb, check=True)
        archive = next(deb.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg", "-x", archive.name, package], cwd=deb, check=True)


def squash(name: str) -> str:
    """Key under which names are compared: letters and digits only, "and" for "&"."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("&", "and"))


def hexkey(hexcode: str) -> str:
    """Code points of four digits or more, without presentation selectors."""
    points = hexcode.upper().split("-")
    return "-".join(p.zfill(4) for p in points if p not in ("FE0F", "FE0E"))


def is_variant(hexcode: str) -> bool:
    """Tell whether a person is another one with its sex changed or turned to the right."""
    variant = re.match(r"1F46[89]-200D-", hexcode) or re.search(r"-200D-(264[02]|27A1)", hexcode)
    return variant is not None or hexcode in SEXED


def load_concepts(work: Path, wanted: tuple[str, ...] = CORE_GROUPS) -> list[dict]:
    """Emoji of the groups with name, tags, group and subgroup, in the order of emojibase-data."""
    root = package_dir(work, "emojibase-data")
    groups = json.loads((root / "meta/groups.json").read_text())
    concepts = []
    for entry in json.loads((root / "en/data.json").read_text()):
        if entry.get("group") is None:
            continue
        group = groups["groups"][str(entry["group"])]
        if group not in wanted or (group == "people-body" and is_variant(hexkey(entry["hexcode"]))):
            continue
        name = entry["label"].lower().replace("’", "'").replace(": ", " ")
        concepts.append(
            {
                "hexcode": hexkey(entry["hexcode"]),
                "name": re.sub("[“”]", "", name),
                "tags": entry.get("tags", []),
                "group": group,
                "subgroup": groups["subgroups"][str(entry["subgroup"])],
            }
        )
    return concepts


def load_icons(work: Path, name: str) -> dict:
    """Return the icons.json of one Iconify set."""
    return json.loads((package_dir(work, ICONIFY + name) / "icons.json").read_text())


def alias_table(work: Path, concepts: list[dict]) -> dict[str, int]:
    """Map squashed names to concepts: labels first, then set names, then short codes."""
    index = {c["hexcode"]: i for i, c in enumerate(concepts)}
    table: dict[str, int] = {}
    for i, concept in enumerate(concepts):
        table.setdefault(squash(concept["name"]), i)
    for name in ("noto", "fluent-emoji-flat", "twemoji", "openmoji"):
        chars = json.loads((package_dir(work, ICONIFY + name) / "chars.json").read_text())
        for code, icon in chars.items():
            if hexkey(code) in index:
                table.setdefault(squash(icon), index[hexkey(code)])
        for alias, entry in load_icons(work, name).get("aliases", {}).items():
            if squash(entry["parent"]) in table and len(entry) == 1:
                table.setdefault(squash(alias), table[squash(entry["parent"])])
    codes = package_dir(work, "emojibase-data") / "en/shortcodes"
    for file in ("cldr", "emojibase", "github", "iamcal", "joypixels"):
        for code, names in json.loads((codes / f"{file}.json").read_text()).items():
            if hexkey(code) in index:
                for name in [names] if isinstance(names, str) else names:
                    table.setdefault(squash(name), index[hexkey(code)])
    for i, concept in enumerate(concepts):
        key = squash(concept["name"])
        for variant in (key + "face", key.removesuffix("face"), key + "emoji"):
            if len(variant) > 2:
                table.setdefault(variant, i)
    return table


def icon_svg(icons: dict, name: str) -> str | None:
    """Square SVG of one icon of a set; None for aliases that rotate or flip vertically."""
    entry = icons["icons"].get(name)
    if entry is None:
        alias = icons.get("aliases", {}).get(name)
        parent = icons["icons"].get(alias["parent"]) if alias else None
        if alias is None or parent is None or alias.get("rotate") or alias.get("vFlip"):
            return None
        entry = {
            **parent,
            **{k: alias[k] for k in ("width", "height", "left", "top") if k in alias},
        }
        if alias.get("hFlip"):
            span = entry.get("width", icons.get("width", 16)) + 2 * entry.get("left", 0)
            flip = f'<g transform="translate({span} 0) scale(-1 1)">'
            entry = {**entry, "body": f"{flip}{entry['body']}</g>"}
    width = entry.get("width", icons.get("width", 16))
    height = entry.get("height", icons.get("height", 16))
    side = max(width, height)
    left = entry.get("left", 0) - (side - width) / 2
    top = entry.get("top", 0) - (side - height) / 2
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{side}" height="{side}" viewBox="{left} {top} {side} {side}">{entry["body"]}</svg>'
    )


SHAPE = re.compile(r"<(path|circle|ellipse|rect|polygon|polyline|line|use|g)\b[^>]*>")
GRADIENT = re.compile(r'<(?:linear|radial)Gradient[^>]*\bid="([^"]+)".*?</', re.S)


def luminance(colour: str) -> float | None:
    """Luminance in [0, 1] of a hex colour, None where the text is no hex colour."""
    match = re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", colour.strip())
    if not match:
        return {"white": 1.0, "black": 0.0}.get(colour.strip())
    digits = match.group(1)
    if len(digits) == 3:
        digits = "".join(d * 2 for d in digits)
    red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def redraw(svg: str, mode: str, rng: random.Random) -> str | None:
    """Turn colour artwork into another hand: "line" art, black-and-white "contrast", or "inked".

    Fills become white (line), black or white by luminance (contrast) or stay (inked), and every
    solid shape gets a black outline of a random width; faint shading shapes lose theirs.
    """
    match = re.match(r"(<svg[^>]*viewBox=\"\S+ \S+ (\S+) \S+\"[^>]*>)(.*)</svg>$", svg, re.S)
    if match is None or "<mask" in svg:
        return None
    head, side, body = match.group(1), float(match.group(2)), match.group(3)
    stops: dict[str, float] = {}
    for gradient in re.finditer(
        r'<(?:linear|radial)Gradient[^>]*\bid="([^"]+)"[^>]*>(.*?)</(?:linear|radial)G', body, re.S
    ):
        values = [luminance(c) for c in re.findall(r'stop-color="([^"]+)"', gradient.group(2))]
        known = [v for v in values if v is not None]
        if known:
            stops[gradient.group(1)] = sum(known) / len(known)
    threshold = rng.uniform(0.3, 0.7)

    def tone(paint: str) -> str:
        if mode == "line":
            return "#fff"
        url = re.fullmatch(r"url\(#([^)]+)\)", paint)
        value = stops.get(url.group(1)) if url else luminance(paint)
        return "#000" if value is not None and value < threshold else "#fff"

    def shape(found: re.Match[str]) -> str:
        tag = found.group(0)
        faint = re.search(r'\b(?:fill-)?opacity="(0?\.\d+)"', tag)
        if faint and float(faint.group(1)) < 0.6 and found.group(1) != "g":
            return re.sub(r"^<(\w+)", r'<\1 display="none"', tag)
        stroke = re.search(r'\bstroke="([^"]+)"', tag)
        fill = re.search(r'\bfill="([^"]+)"', tag)
        if fill and fill.group(1) == "none" and not stroke and found.group(1) != "g":
            return re.sub(r"^<(\w+)", r'<\1 stroke="none"', tag)
        if mode != "inked":
            if fill and fill.group(1) != "none":
                tag = tag.replace(fill.group(0), f'fill="{tone(fill.group(1))}"')
            if stroke and stroke.group(1) != "none":
                tag = tag.replace(stroke.group(0), 'stroke="#000"')
        return tag

    low, high = {"line": (0.012, 0.034), "contrast": (0.006, 0.02), "inked": (0.012, 0.03)}[mode]
    width = rng.uniform(low, high) * side
    fill = {"line": "#fff", "contrast": "#000", "inked": "#000"}[mode]
    root = (
        f'<g fill="{fill}" stroke="#000" stroke-width="{width:.3f}" '
        'stroke-linejoin="round" stroke-linecap="round">'
    )
    return f"{head}{root}{SHAPE.sub(shape, body)}</g></svg>"


def fit(image: Image.Image) -> np.ndarray:
    """Centre on a square and resize to SIZE in premultiplied alpha; returns straight RGBA."""
    if image.size[0] != image.size[1]:
        side = max(image.size)
        square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        square.paste(image, ((side - image.size[0]) // 2, (side - image.size[1]) // 2))
        image = square
    pixels = np.asarray(image).astype(np.float32)
    alpha = pixels[..., 3:] / 255
    premultiplied = np.concatenate([pixels[..., :3] * alpha, pixels[..., 3:]], -1)
    how = Image.Resampling.BOX if image.size[0] == 2 * SIZE else Image.Resampling.LANCZOS
    small = Image.fromarray(premultiplied.round().astype(np.uint8)).resize((SIZE, SIZE), how)
    pixels = np.asarray(small).astype(np.float32)
    alpha = np.maximum(pixels[..., 3:], 1) / 255
    out = np.concatenate([np.clip(pixels[..., :3] / alpha, 0, 255), pixels[..., 3:]], -1)
    out[pixels[..., 3] == 0, :3] = 0
    return out.round().astype(np.uint8)


def render(job: Job) -> tuple[Record, np.ndarray] | None:
    """Render one job; None where nothing usable comes out."""
    try:
        if job.svg:
            data = resvg_py.svg_to_bytes(
                svg_string=job.svg, width=SIZE * 2, height=SIZE * 2, skip_system_fonts=True
            )
            pixels = fit(Image.open(io.BytesIO(bytes(data))).convert("RGBA"))
        elif job.path.endswith(".svg"):
            data = resvg_py.svg_to_bytes(svg_path=job.path, width=SIZE * 2, skip_system_fonts=True)
            image = Image.open(io.BytesIO(bytes(data))).convert("RGBA")
            box = image.getchannel("A").getbbox()
            image = image.crop(box) if box else image
            if max(image.size) > 4 * min(image.size):
                return None
            pixels = fit(image)
        else:
            pixels = fit(Image.open(job.path).convert("RGBA"))
    except (ValueError, OSError, RuntimeError):
        return None
    return (job.record, pixels) if pixels[..., 3].mean() >= 4 else None


def emoji_jobs(work: Path, concepts: list[dict], aliases: dict[str, int]) -> Iterator[Job]:
    """Emoji artwork of every style that comes as SVG or WebP, and the redrawn variants."""
    index = {c["hexcode"]: i for i, c in enumerate(concepts)}
    rng = random.Random(11)

    def record(style: str, concept: int, kind: str = "emoji") -> Record:
        return Record(kind, style, concept, concepts[concept]["name"], ())

    for set_name, style in ICONIFY_STYLES.items():
        icons = load_icons(work, set_name)
        chars = json.loads((package_dir(work, ICONIFY + set_name) / "chars.json").read_text())
        chosen: dict[int, str] = {}
        for code, name in chars.items():
            if hexkey(code) in index:
                chosen.setdefault(index[hexkey(code)], name)
        for name in [*icons["icons"], *icons.get("aliases", {})]:
            key = aliases.get(squash(name))
            if key is None and style == "streamline":
                key = aliases.get(squash(re.sub(r"-[12]$", "", name)))
            if key is not None:
                chosen.setdefault(key, name)
        for concept, name in chosen.items():
            svg = icon_svg(icons, name)
            if svg is None:
                continue
            yield Job(record(style, concept), svg=svg)
            if style in REDRAWN:
                for mode in REDRAW_MODES:
                    drawn = redraw(svg, mode, rng)
                    if drawn:
                        yield Job(record(f"{style}/{mode}", concept, "redrawn"), svg=drawn)
    for style, folder in (("openmoji", "color"), ("openmoji-black", "black")):
        for file in sorted((package_dir(work, "openmoji") / folder / "svg").glob("*.svg")):
            if hexkey(file.stem) in index:
                yield Job(record(style, index[hexkey(file.stem)]), svg=file.read_text())
    for file in sorted((package_dir(work, "@lobehub/fluent-emoji-3d") / "assets").glob("*.webp")):
        if hexkey(file.stem) in index:
            yield Job(record("fluent-3d", index[hexkey(file.stem)]), path=str(file))


def font_images(
    style: str, font: Path, concepts: list[dict], size: int
) -> Iterator[tuple[Record, np.ndarray]]:
    """Glyphs of a font, for the concepts it covers."""
    covered = TTFont(font).getBestCmap()
    face = ImageFont.truetype(str(font), size)
    for i, concept in enumerate(concepts):
        points = [int(p, 16) for p in concept["hexcode"].split("-")]
        if not all(p in covered or p == 0x200D for p in points):
            continue
        if 0x200D in points and style not in JOINING_FONTS:
            continue  # its parts would come out side by side
        canvas = Image.new("L", (3 * size, 2 * size), 0)
        text = "".join(map(chr, points))
        ImageDraw.Draw(canvas).text((size // 4, size // 4), text, font=face, fill=255)
        box = canvas.getbbox()
        if box is None or (len(points) > 1 and box[2] - box[0] > 1.5 * size):
            continue
        glyph = canvas.crop(box)
        side = int(max(glyph.size) * 1.06)
        alpha = Image.new("L", (side, side), 0)
        alpha.paste(glyph, ((side - glyph.size[0]) // 2, (side - glyph.size[1]) // 2))
        zero = Image.new("L", alpha.size, 0)
        pixels = fit(Image.merge("RGBA", (zero, zero, zero, alpha)))
        yield Record("emoji", style, i, concept["name"], ()), pixels


SUFFIX = re.compile(
    r"-(outline|outlined|outline-rounded|rounded|sharp|round|twotone|filled|fill|bold|thin|light"
    r"|duotone|linear|broken|solid|line|regular|remix|flat|stroke|sharp-fill|24px|\d+)$"
)


def clean_icon_name(name: str) -> str:
    """Icon name without weight, size and variant suffixes, as words."""
    name = re.sub(r"--\w+(-\w+){3,}$", "", name)
    previous = ""
    while previous != name:
        previous, name = name, SUFFIX.sub("", name)
    return re.sub(r"-+", " ", name).strip()


def match_concept(name: str, aliases: dict[str, int], labels: dict[str, int]) -> int:
    """Return the concept an icon name names, or -1."""
    key = squash(name)
    if key in AMBIGUOUS or len(key) < 3:
        return -1
    if key in aliases:
        return aliases[key]
    for variant in (key.removesuffix("s"), key + "s"):
        if variant in labels and variant not in AMBIGUOUS:
            return labels[variant]
    return -1


def icon_jobs(
    work: Path, aliases: dict[str, int], labels: dict[str, int], seed: int = 7
) -> Iterator[Job]:
    """Icons of many sets: named like a concept (all sets) or as extras (EXTRA_SETS)."""
    rng = random.Random(seed)
    share = {"mdi": 0.5, "tabler": 0.35, "ph": 0.4, "game-icons": 1.0}
    for set_name in (*EXTRA_SETS, *MATCHED_SETS):
        icons = load_icons(work, set_name)
        meta_path = package_dir(work, ICONIFY + set_name) / "metadata.json"
        meta = json.loads(meta_path.read_text()) if meta_path.exists() else {}
        categories: dict[str, list[str]] = {}
        for category, names in meta.get("categories", {}).items():
            for name in names:
                categories.setdefault(name, []).append(category.lower())
        per_concept: Counter[int] = Counter()
        names = list(icons["icons"])
        rng.shuffle(names)
        for name in names:
            if icons["icons"][name].get("hidden"):
                continue
            words = clean_icon_name(name)
            concept = match_concept(words, aliases, labels)
            if concept >= 0:
                per_concept[concept] += 1
                if per_concept[concept] > 3:
                    continue
            elif set_name not in EXTRA_SETS or rng.random() > share.get(set_name, 1.0):
                continue
            elif len(words) < 2 or re.match(r"(alpha|numeric|roman)\b", words):
                continue
            svg = icon_svg(icons, name)
            if svg:
                tags = tuple(categories.get(name, [])[:2])
                yield Job(Record("icon", set_name, concept, words, tags), svg=svg)


def folder_jobs(work: Path, aliases: dict[str, int], labels: dict[str, int]) -> Iterator[Job]:
    """Carbon pictograms and Open Clip Art, whose files carry titles and keywords."""
    for file in sorted((package_dir(work, "@carbon/pictograms") / "svg").glob("*.svg")):
        words = re.sub(r"-+", " ", file.stem)
        record = Record(
            "icon", "carbon-pictograms", match_concept(words, aliases, labels), words, ()
        )
        yield Job(record, path=str(file))
    dull = {"unsorted", "clip art", "clipart", "svg", "externalsource"}
    for file in sorted((work / "deb/openclipart-svg").rglob("*.svg")):
        if file.is_symlink() or file.stat().st_size > 250_000:
            continue
        text = file.read_text(errors="ignore")
        title = re.search(r"<dc:title>([^<]{2,80})</dc:title>", text)
        words = (title.group(1) if title else file.stem.replace("_", " ")).strip().lower()
        tags = [t.strip().lower() for t in re.findall(r"<rdf:li>([^<]{2,40})</rdf:li>", text)]
        tags = [t for t in tags if t not in dull][:6]
        if len(words) < 2 or not (tags or title):
            continue
        concept = match_concept(re.sub(r"\W*\d+$", "", words), aliases, labels)
        yield Job(Record("icon", "openclipart", concept, words, tuple(tags)), path=str(file))


def more_jobs(work: Path, concepts: list[dict]) -> Iterator[Job]:
    """Artwork of concepts outside the core groups: one drawing for each style, never redrawn."""
    core = alias_table(work, load_concepts(work))
    aliases = {k: i for k, i in alias_table(work, concepts).items() if k not in core}
    seen = set()
    for job in emoji_jobs(work, concepts, aliases):
        key = (job.record.style, job.record.concept)
        if job.record.kind == "emoji" and job.record.style in MORE_STYLES and key not in seen:
            seen.add(key)
            yield job


def render_store(
    work: Path, out: Path, concepts: list[dict], jobs: list[Job], fonts: tuple[str, ...], pool: int
) -> None:
    """Render the glyphs of the fonts and all jobs, and write images.npy and store.json."""
    print(f"{len(concepts)} concepts, {len(jobs)} drawings to render", flush=True)
    start = time.time()
    done: list[tuple[Record, np.ndarray]] = []
    noto = package_dir(work, "@expo-google-fonts/noto-emoji")
    files = {
        "noto-mono": (noto / "400Regular/NotoEmoji_400Regular.ttf", 112),
        "symbola": (next((work / "deb/fonts-symbola").rglob("Symbola*.ttf")), 112),
        "unifont": (next((work / "deb/fonts-unifont").rglob("unifont_upper.otf")), 64),
    }
    for style in fonts:
        font, size = files[style]
        done += list(font_images(style, font, concepts, size))
    with Pool(pool) as processes:
        for i, result in enumerate(processes.imap(render, jobs, chunksize=32)):
            if result:
                done.append(result)
            if i % 10000 == 0:
                print(f"{i} rendered, {time.time() - start:.0f} s", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "images.npy", np.stack([pixels for _, pixels in done]))
    store = {"concepts": concepts, "records": [asdict(record) for record, _ in done]}
    (out / "store.json").write_text(json.dumps(store))
    for kind in ("emoji", "redrawn", "icon"):
        records = [r for r, _ in done if r.kind == kind]
        print(kind, len(records), "with a concept", sum(r.concept >= 0 for r in records))
        print(" ", dict(Counter(r.style for r in records)))
    print(f"{len(done)} images in {time.time() - start:.0f} s")


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/picto"))
    parser.add_argument("--out", type=Path, help="folder of the stores; the work folder by default")
    parser.add_argument("--part", choices=("all", "core", "more"), default="all")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-download", action="store_true")
    args = parser.parse_args()
    work, out = args.work, args.out or args.work
    if not args.no_download:
        download(work)
    if args.part != "more":
        concepts = load_concepts(work)
        aliases = alias_table(work, concepts)
        labels = {squash(c["name"]): i for i, c in enumerate(concepts)}
        jobs = [
            *emoji_jobs(work, concepts, aliases),
            *icon_jobs(work, aliases, labels),
            *folder_jobs(work, aliases, labels),
        ]
        fonts = ("noto-mono", "symbola", "unifont")
        render_store(work, out, concepts, jobs, fonts, args.processes)
    if args.part != "core":
        concepts = load_concepts(work, MORE_GROUPS)
        jobs = list(more_jobs(work, concepts))
        fonts = ("noto-mono", "symbola")
        render_store(work, out / "more", concepts, jobs, fonts, args.processes)


if __name__ == "__main__":
    main()
