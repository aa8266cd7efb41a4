"""Put the records of a grid into one file: ``quality/<name>.jsonl``, one cell per line.

After ``interlace bench base_to_novel --data picto --shots 3 -o runs/``:
``python benchmarks/quality/gather.py runs/ picto-base-to-novel``, and then
``interlace report benchmarks/quality/picto-base-to-novel.jsonl -o report.html``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders that interlace bench wrote")
    parser.add_argument("name", help="name of the record")
    arguments = parser.parse_args()
    path = HERE / f"{arguments.name}.jsonl"
    if path.exists():
        sys.exit(f"{path} is there already: records are added, never edited")
    files = sorted(file for folder in arguments.runs for file in folder.rglob("*.json"))
    cells = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    if not cells:
        sys.exit("no records there")
    lines = [json.dumps(cell, separators=(",", ":")) + "\n" for cell in cells]
    path.write_text("".join(lines), encoding="utf-8")
    print(f"{len(cells)} cells in {path}")


if __name__ == "__main__":
    main()
