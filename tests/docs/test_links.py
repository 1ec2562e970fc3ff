"""Relative links of README.md and docs/ lead to files and headings that exist, and the site has all pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import make_site

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path for path in make_site.collect() if path.suffix == ".md")


def anchors(page: Path) -> Iterator[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    seen: dict[str, int] = {}
    text = re.sub(r"^(```+).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for heading in re.findall(r"^#+ +(.+?)\s*$", text, flags=re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        yield f"{slug}-{count}" if count else slug


def faults(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for target, path, anchor in make_site.links(page):
        missing = not path.exists()
        if missing or (anchor and path.suffix == ".md" and anchor not in set(anchors(path))):
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert faults(page) == []


def test_wrong_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`, (three)\n# Again\n# Again\n"
        "[a](absent.md) [![image](no.png)](page.md#gone) [b](#one-two-three) [c](page.md#again-1) [d](#again-2)\n"
        "`[e](code.md)` [f](https://example.org/x)\n```sh\n[g](block.md)\n```\n"
    )
    assert sorted(faults(page)) == ["#again-2", "absent.md", "no.png", "page.md#gone"]


def test_the_site_has_every_page() -> None:
    assert len(PAGES) > 25
    listed = set(re.findall(r"([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.M))
    assert listed == {str(page.relative_to(ROOT)) for page in PAGES}


def test_links_to_folders_lead_to_their_first_page_or_are_text() -> None:
    text = make_site.site_text(ROOT / "README.md")
    assert "(formats/README.md)" in text
    assert "(formats/)" not in text
    assert "[examples/]" not in text
    assert " no-run" not in make_site.site_text(ROOT / "docs" / "verbs" / "models.md")
