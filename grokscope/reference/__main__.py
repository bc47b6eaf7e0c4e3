"""`python -m grokscope.reference`: write the reference pages, or say which are out of date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grokscope.reference.pages import pages

FOLDER = Path("examples/reference")


def main(words: list[str]) -> int:
    """Write the pages to a folder, or check them: 1 where a check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m grokscope.reference", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help=f"else {FOLDER}")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page differs")
    given = parser.parse_args(words)
    wanted = {given.folder / name: text for name, text in pages().items()}
    there = {path: path.read_text(encoding="utf-8") for path in given.folder.rglob("*.md")}
    stale = sorted(path for path in wanted.keys() | there.keys() if wanted.get(path) != there.get(path))
    for path in stale:
        if given.check:
            print(f"{path} differs from the declarations; python -m grokscope.reference writes it anew")
        elif path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return int(given.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
