"""The pages are complete, escaped, and drawn by a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.metrics.drift import ConfidenceShift, Drift
from raytl.metrics.paired import Paired
from raytl.registry.record import CHAMPION, Move, Record
from raytl.retraining.changes import Changes
from raytl.retraining.gate import Comparison, Promote, Slice
from raytl.retraining.page.registry import registry_page
from raytl.retraining.page.tick import Flip, tick_page
from raytl.retraining.policy import Skip, Train
from raytl.retraining.ticks import Tick
from tests.registry.conftest import about

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = "<script>alert(1)</script>"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
TICK = Tick(
    id="20261121T060000Z-abcd", started="2026-11-21T06:00:00+00:00", who=EVIL, stage="done", outcome="promote", champion=1,
    version=2, decision=Train(("200 new", EVIL), 1), verdict=Promote(("better",), (EVIL,)),
    changes=Changes(
        "5" * 64, 1, {"train": 100}, {EVIL: 200}, {"red": 1}, {"red -> blue": 2}, {EVIL: 30}, ("green",),
        {"red": (0.5, 0.25)}, 3, {"looks like a test image": 4}, Drift(100, 0.4, 0.7, 0.002, 0.1, 0.002),
        ConfidenceShift(0.9, 0.8, 0.01), {"red": (3, 4)},
    ),
    comparison=Comparison(
        evaluation="e" * 16, images=400, looks=7, champion=1, challenger=2, same_weights=False, metrics={"accuracy": 0.93},
        champion_metrics={"accuracy": 0.9}, latency_ms=9.0, champion_latency_ms=8.0, size_bytes=10**7, unknown=(EVIL,),
        paired=Paired("accuracy", 0.9, 0.93, 0.03, 0.01, 0.05, 0.012, 20, 8, 0.01, 0.99),
        slices=(Slice(EVIL, 40, 0.5, 0.75, 12, 2, 0.99), Slice("red", 4, 1.0, 1.0, 0, 0, 1.0)),
    ),
)  # fmt: skip
FLIP = Flip(f"red/{EVIL}.jpg", "red", "blue", "red", PIXEL)


def pages() -> dict[str, str]:
    records = [Record(n, f"t{n}", about(tick=f"t{n}", metrics={"accuracy": 0.8 + n / 50}), {}) for n in (1, 2, 3)]
    moves = [Move(1, "2026-11-01T00:00:00+00:00", EVIL, EVIL, {CHAMPION: (None, 1)}, {CHAMPION: 1})]
    skip = replace(TICK, outcome="skip", version=None, decision=Skip(("nothing",)), verdict=None, comparison=None)
    return {
        "tick": tick_page(TICK, EVIL, [FLIP], [FLIP]),
        "failed": tick_page(Tick("x", "2026", "me", "failed", "failure", error=EVIL), "x", [], []),
        "registry": registry_page(EVIL, records, {CHAMPION: 2}, moves, [skip, TICK, replace(TICK, version=3)]),
        "empty": registry_page("x", [], {}, [], []),
    }


@pytest.mark.parametrize("name", list(pages()))
def test_a_page_is_balanced_and_no_name_becomes_html(name: str) -> None:
    text = pages()[name]
    assert text.startswith("<!doctype html>\n<html")
    assert "<script" not in text
    opened: list[str] = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            opened.extend([tag] * (tag not in ("meta", "img", "br")))

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Balance().feed(text)
    assert opened == []
    assert not re.search(r"""(src|href)=["'](https?:)?//""", text), "it needs the network"


def test_what_matters_is_on_the_page() -> None:
    text = pages()["tick"]
    for said in ("version 2 is the new champion", "Comparison 7", "20 images gained, 8 lost", "AUC 0.70", "Classes without training images: green"):  # fmt: skip
        assert said in text
    assert len(re.findall("version [123]: 8[246].0 %", pages()["registry"])) == 6, "each version is in both drawings"


@pytest.mark.skipif(BROWSER is None, reason="no chromium here: apt-get install chromium")
@pytest.mark.thorough
@pytest.mark.parametrize("name", ["tick", "registry"])
def test_a_browser_draws_the_page(name: str, tmp_path: Path) -> None:
    path, picture = tmp_path / f"{name}.html", tmp_path / f"{name}.png"
    path.write_text(pages()[name], encoding="utf-8")
    words = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1000,900",
        "--hide-scrollbars",
    ]
    words += [f"--user-data-dir={tmp_path / 'profile'}"]
    drawn = subprocess.run(
        [*words, "--dump-dom", path.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    assert drawn.stdout.count("<svg") == 2
    assert "alert(1)&lt;/script&gt;" in drawn.stdout
    subprocess.run([*words, f"--screenshot={picture}", path.as_uri()], capture_output=True, check=True, timeout=120)
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert ((pixels != pixels[-1, -1]).any(axis=2).mean(axis=1) > 0).mean() > 0.3, "most of the page is blank"


@pytest.mark.parametrize(
    ("interruptions", "said"),
    [
        (0, "from version 1."),
        (1, "from version 1; the tick was interrupted once."),
        (3, "; the tick was interrupted 3 times."),
    ],
)
def test_the_page_says_how_often_a_tick_was_interrupted(interruptions: int, said: str) -> None:
    assert said in tick_page(replace(TICK, interruptions=interruptions), "x", [], [])


def test_of_thousands_of_classes_the_page_draws_those_that_changed_most() -> None:
    assert TICK.comparison is not None
    slices = tuple(Slice(f"class {n}", 40, 0.5, 0.5 + (n % 7 == 0) / 4, 1, 1, 0.5) for n in range(2000))
    text = tick_page(replace(TICK, comparison=replace(TICK.comparison, slices=slices)), "x", [], [])
    assert "The 60 of 2000 that changed most." in text
    assert "class 0 (40)" in text
    assert "class 1 (40)" not in text
    assert len(text) < 200_000
