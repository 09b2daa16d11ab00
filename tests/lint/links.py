#!/usr/bin/env python3
"""Checks that every relative link of a Markdown page leads to an existing file, and to an existing heading.

    tests/lint/links.py      pages that git knows, or would add

Addresses on the web are not asked.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LINK = re.compile(r"\]\(([^()\s]+)\)")


def prose(page: Path) -> str:
    """The text of a page without its code, where brackets are no links."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    found: set[str] = set()
    for title in re.findall(r"^#{1,6} +(.+?) *$", text, flags=re.M):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        twin = 1
        anchor = slug
        while anchor in found:
            anchor = f"{slug}-{twin}"
            twin += 1
        found.add(anchor)
    return found


def broken(page: Path) -> list[str]:
    """The broken links of a page, one message for each."""
    wrong = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(ROOT) or not target.exists():
            wrong.append(f"{page.relative_to(ROOT)}: {link}: there is no such file")
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target)):
            wrong.append(f"{page.relative_to(ROOT)}: {link}: there is no such heading")
    return wrong


def main() -> int:
    """Prints the broken links of all pages; returns 1 if there are any."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    pages = [ROOT / name for name in names if (ROOT / name).exists()]
    wrong = [line for page in pages for line in broken(page)]
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong) or not pages)


if __name__ == "__main__":
    sys.exit(main())
