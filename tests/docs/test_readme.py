"""The README stays short, and what it and the pages link to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, README, REPO

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MOST_LINES, _MOST_BYTES = 180, 12_000


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead to no file; `make docs` checks the anchors too."""
    links = [link.partition("#")[0] for link in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    return [link for link in links if link and not (page.parent / link).exists()]


def test_the_readme_is_two_screens() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count("\n") <= _MOST_LINES
    assert len(text.encode()) <= _MOST_BYTES


def test_the_readme_has_fourteen_features_each_with_its_page() -> None:
    section = README.read_text(encoding="utf-8").split("\n## Features\n")[1].split("\n## ")[0]
    features = re.findall(r"^\d+\. \[.+?\]\((docs/[\w-]+\.md)\)", section, re.MULTILINE)
    assert len(features) == len(set(features)) == 14


@pytest.mark.parametrize("page", [*PAGES, REPO / "SECURITY.md", REPO / "CHANGELOG.md"], ids=lambda page: page.name)
def test_relative_links_lead_to_files(page: Path) -> None:
    assert not broken_links(page)


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](page.md#there) [b](nothing.md) [c](https://example.org/x.md)")
    assert broken_links(page) == ["nothing.md"]


def test_every_page_is_in_the_navigation() -> None:
    navigation = (REPO / "zensical.toml").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page != README and f'"{page.name}"' not in navigation] == []
