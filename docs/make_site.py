"""Collect the pages of the site: README.md, the pages of docs/, and every file that they link to.

python docs/make_site.py            # writes .site/pages, which mkdocs.yml reads; `make site` does both

The pages lie as in the repository, so their links work in both. A link to a folder becomes one to its README.md, or
only its text if there is none.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!\\)(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(<?([^()<>\s]+)>?\)")
"""A link or an image: mark, text and target. The text of a link may be an image."""

CODE = re.compile(r"^(?P<fence>```+).*?^(?P=fence)|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)", re.S | re.M)
"""Blocks and spans of code, which have no links."""


def pages() -> list[Path]:
    """The pages that are on the site whether a page links to them or not."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def links(page: Path) -> list[tuple[str, Path, str]]:
    """Return the relative links of a page: target as written, path, and anchor without #."""
    found = []
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    pending = [text]
    while pending:
        for _, inner, target in LINK.findall(pending.pop()):
            pending += [inner] if "](" in inner else []
            if re.match(r"[a-z][a-z+.-]*:|/", target):  # https:, hf: and paths of a server
                continue
            place, _, anchor = target.partition("#")
            found.append((target, (page.parent / unquote(place)).resolve() if place else page, anchor))
    return found


def collect() -> set[Path]:
    """Return the pages and all files that are linked from them, directly or not."""
    found: set[Path] = set()
    pending = pages()
    while pending:
        path = pending.pop()
        if path.is_dir():
            path = path / "README.md"
        if path in found or not path.is_file() or not path.is_relative_to(ROOT):
            continue
        found.add(path)
        if path.suffix == ".md":
            pending += [target for _, target, _ in links(path)]
    return found


def site_text(page: Path) -> str:
    """Return the text of a page, with links to folders replaced, and blocks of code named by their language alone."""
    folders = {target: path for target, path, _ in links(page) if path.is_dir()}

    def replace(match: re.Match[str]) -> str:
        mark, inner, target = match.groups()
        if target not in folders:
            return match[0]
        return f"{mark}[{inner}]({target.rstrip('/')}/README.md)" if (folders[target] / "README.md").exists() else inner

    return re.sub(r"^(```\w+) no-run$", r"\1", LINK.sub(replace, page.read_text(encoding="utf-8")), flags=re.M)


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=ROOT / ".site" / "pages", help="folder, replaced")
    out: Path = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    for path in sorted(collect()):
        target = out / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(site_text(path), encoding="utf-8")
        else:
            shutil.copy(path, target)


if __name__ == "__main__":
    main()
