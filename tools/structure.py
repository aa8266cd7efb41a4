"""Count what the sources consist of, and draw how the rooms depend on each other.

    python tools/structure.py counts [SRC ...]    # as JSON: files, lines, functions, circles, names
    python tools/structure.py figure [--check]    # docs/images/rooms.svg, from the imports

The rows of the figure are the layers that import-linter checks (``pyproject.toml``). An arrow is an
import that no chain of other arrows stands for; under a room stand the names that other rooms
import most often from it: what it hands up.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURE = ROOT / "docs" / "images" / "rooms.svg"
#: Modules that may lie outside of the packages.
OUTSIDE = {"__init__", "__main__", "config", "errors"}


def modules(source: Path) -> dict[str, Path]:
    """Return every module below ``source`` (a package's folder), by its dotted name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = [source.name, *path.relative_to(source).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(tree: ast.Module, known: dict[str, Path]) -> Iterator[tuple[str, str]]:
    """Yield what a module imports of the package: module and name, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                if inside in known:
                    yield inside, ""
                elif node.module in known:
                    yield node.module, alias.name
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name in known)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other: strongly connected ones of two or more."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    sys.setrecursionlimit(10_000)
    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def code_lines(text: str) -> set[int]:
    """Return the numbers of the lines that hold code: no blanks, comments or docstrings."""
    skipped = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def spread(values: dict[str, int]) -> dict[str, Any]:
    """Return the median, the 90th percentile, and the longest with its name."""
    ordered = sorted(values.values())
    longest = max(values, key=lambda name: values[name])
    return {
        "median": ordered[len(ordered) // 2],
        "p90": ordered[int(0.9 * (len(ordered) - 1))],
        "longest": values[longest],
        "which": longest,
    }


def public_names(tree: ast.Module) -> Iterator[str]:
    """Yield the classes, aliases and constants that a module defines for others."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [t.id for t in targets if isinstance(t, ast.Name) and t.id[:1].isupper()]
        else:
            continue
        # a command of the command line has a NAME each
        yield from (name for name in names if not name.startswith("_") and name != "NAME")


def counts(source: Path) -> dict[str, Any]:
    """Return the figures of a package."""
    known = modules(source)
    files: dict[str, int] = {}
    functions: dict[str, int] = {}
    defined: dict[str, list[str]] = defaultdict(list)
    edges: dict[str, set[str]] = defaultdict(set)
    rooms: dict[str, set[str]] = defaultdict(set)
    lines_of: Counter[str] = Counter()
    harmonic = 0
    for name, path in known.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        short = str(path.relative_to(source))
        files[short] = text.count("\n")
        code = code_lines(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                functions[f"{short}:{node.name}"] = len(code & set(span))
                called = any(
                    isinstance(inner, ast.Call)
                    and getattr(inner.func, "id", getattr(inner.func, "attr", ""))
                    == "harmonic_mean"
                    for inner in ast.walk(node)
                )
                # the harmonic mean of averaged accuracies, wherever it is put together
                harmonic += called
        for defines in public_names(tree):
            defined[defines].append(short)
        for target, _ in imports(tree, known):
            if target != name:
                edges[name].add(target)
            here, there = (dotted.split(".")[1:2] for dotted in (name, target))
            if here and there and here != there:
                rooms[here[0]].add(there[0])
        lines_of[short.split("/")[0] if "/" in short else "(outside)"] += text.count("\n")
    duplicates = {name: where for name, where in sorted(defined.items()) if len(where) > 1}
    return {
        "files": len(files),
        "lines": sum(files.values()),
        "lines_by_room": dict(sorted(lines_of.items())),
        "file_lines": spread(files),
        "files_over_350": sorted(name for name, lines in files.items() if lines > 350),
        "functions": len(functions),
        "function_lines": spread(functions),
        "modules_outside_packages": sorted(
            path.stem for path in source.glob("*.py") if path.stem not in OUTSIDE
        ),
        "circles_of_modules": circles(edges),
        "circles_of_rooms": circles(rooms),
        "names_defined_twice": duplicates,
        "callers_of_harmonic_mean": harmonic,
    }


def layers() -> list[list[str]]:
    """Return the rows of rooms, the highest first, as import-linter has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    rows = next(one["layers"] for one in contracts if one["type"] == "layers")
    return [[name.strip().split(".")[1] for name in row.split("|")] for row in rows]


def dependencies(source: Path) -> tuple[dict[str, set[str]], dict[str, Counter[str]]]:
    """Return which rooms each room imports, and how often each name of a room is imported."""
    known = modules(source)
    rooms: dict[str, set[str]] = defaultdict(set)
    handed: dict[str, Counter[str]] = defaultdict(Counter)
    for name, path in known.items():
        here = name.split(".")[1:2]
        for target, what in set(imports(ast.parse(path.read_text(encoding="utf-8")), known)):
            there = target.split(".")[1:2]
            if here and there and here != there:
                rooms[here[0]].add(there[0])
                handed[there[0]][what or target.rpartition(".")[2]] += 1
    return rooms, handed


def reduced(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out every arrow that a chain of others stands for."""

    def reach(start: str, seen: set[str]) -> set[str]:
        for other in edges.get(start, set()) - seen:
            seen.add(other)
            reach(other, seen)
        return seen

    return {
        room: {
            to for to in targets if not any(to in reach(other, set()) for other in targets - {to})
        }
        for room, targets in edges.items()
    }


def summary(room: str) -> str:
    """Return the first sentence of a room's docstring."""
    base = ROOT / "src" / "interlace" / room
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0].rstrip(".").replace("`", "")


def figure() -> str:
    """Return the drawing as SVG text."""
    edges, handed = dependencies(ROOT / "src" / "interlace")
    rows = layers()
    width, high, gap, wide = 1080, 66, 26, 980
    place: dict[str, tuple[float, float, float]] = {}  # left, top, width
    top = 20.0
    for row in rows:
        each = (wide - 20 * (len(row) - 1)) / len(row) if len(row) > 1 else 620
        left = (width - each * len(row) - 20 * (len(row) - 1)) / 2
        for number, room in enumerate(row):
            place[room] = (left + number * (each + 20), top, each)
        top += high + gap
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top:.0f}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{top:.0f}" fill="#ffffff"/>',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#5b6472"/></marker></defs>',
    ]
    for room, targets in sorted(reduced(edges).items()):
        for target in sorted(targets):
            if room not in place or target not in place:
                continue
            (x1, y1, w1), (x2, y2, w2) = place[room], place[target]
            start, end = x1 + w1 / 2, x2 + w2 / 2
            # arrows between wide boxes go straight down where they can
            low, top_of = max(x1, x2) + 30, min(x1 + w1, x2 + w2) - 30
            if low <= top_of:
                start = end = (low + top_of) / 2
            parts.append(
                f'<path d="M{start:.0f} {y1 + high:.0f} {end:.0f} {y2 - 2:.0f}" stroke="#5b6472" '
                'stroke-width="1.4" fill="none" marker-end="url(#head)"/>'
            )
    for room, (left, y, each) in place.items():
        fits = int((each - 24) / 6.2)
        # types first: they are what flows; a module or a constant is not
        names = sorted(
            (name for name in handed[room] if not name.isupper() and name not in place),
            key=lambda name: (name[0].islower(), -handed[room][name], name),
        )
        while names and len(", ".join(names)) > fits - 16:
            names.pop()
        about = summary(room)
        about = about if len(about) <= fits else about[: fits - 1].rsplit(" ", 1)[0] + " ..."
        parts += [
            f'<rect x="{left:.0f}" y="{y:.0f}" width="{each:.0f}" height="{high}" rx="8" '
            'fill="#f3f6fa" stroke="#b9c4d2"/>',
            f'<text x="{left + 12:.0f}" y="{y + 20:.0f}" font-weight="700" font-size="14" '
            f'fill="#16202c">{room}</text>',
            f'<text x="{left + 12:.0f}" y="{y + 38:.0f}" fill="#34404f">{escape(about)}</text>',
        ]
        if names:
            parts.append(
                f'<text x="{left + 12:.0f}" y="{y + 55:.0f}" fill="#5b6472" font-style="italic">'
                f"hands up: {escape(', '.join(names))}</text>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def start_up(sources: list[Path]) -> list[float]:
    """Return milliseconds of ``import interlace``: medians of nine fresh processes, in turns."""
    times: dict[Path, list[float]] = {source: [] for source in sources}
    for _ in range(9):
        for source, taken in times.items():
            code = (
                f"import sys; sys.path.insert(0, {str(source.parent)!r}); import time; "
                "s = time.perf_counter(); import interlace; print(time.perf_counter() - s)"
            )
            run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            taken.append(1e3 * float(run.stdout))
    return [sorted(taken)[4] for taken in times.values()]


def commit_of(source: Path) -> str:
    """Return the commit of the checkout that ``source`` lies in."""
    command = ["git", "-C", str(source), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    count = commands.add_parser("counts", help="figures of a package as JSON")
    count.add_argument("sources", type=Path, nargs="*", default=[ROOT / "src" / "interlace"])
    draw = commands.add_parser("figure", help="draw docs/images/rooms.svg")
    draw.add_argument("--check", action="store_true", help="fail where the file is not current")
    arguments = parser.parse_args()
    if arguments.command == "counts":
        sources = [source.resolve() for source in arguments.sources]
        found = [
            {"commit": commit_of(source), **counts(source), "import_interlace_ms": taken}
            for source, taken in zip(sources, start_up(sources), strict=True)
        ]
        print(json.dumps(found, indent=1))
        return
    drawn = figure()
    if not arguments.check:
        FIGURE.write_text(drawn, encoding="utf-8")
    elif not FIGURE.is_file() or FIGURE.read_text(encoding="utf-8") != drawn:
        raise SystemExit(f"{FIGURE.name} does not show the imports: python {sys.argv[0]} figure")


if __name__ == "__main__":
    main()
