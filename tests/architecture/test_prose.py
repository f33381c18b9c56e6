"""The words that the glossary retired stay out of what people read: the README, the manual, and what lies beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import REPO

PAGES = (
    REPO / "README.md",
    REPO / "SECURITY.md",
    *sorted((REPO / "docs").glob("*.md")),
)
# by the pattern of the retired words, in any case: what to write instead
WORDS = {
    r"gangs?|gangrun": "worker group",
    r"crown(s|ed|ing)?": "select the winner",
    r"cook(s|ed|ing)?": "average the weights",
    r"lanes?": "fetch worker",
    r"doubt(s|ed)?": "invalidate",
    r"likeness(es)?": "perceptual hash",
    r"beats|beating": "heartbeat",
    r"settle(s|d)?": "flush",
    r"disclaim(s|ed)?": "unpin",
    r"vanish(es|ed)?": "removed",
    r"opener": "trial factory",
    r"sides|sided": "splits",
    r"told": "reported, says",
    r"(go|goes|going|gone|went) on with": "resume",
    r"at work": "running, holds the lease",
    r"(is|are) enough": "threshold",
    r"finds? out": "picks, detects",
    r"mend(s|ed)?": "fix",
    r"tells nothing|takes nothing": "rejects",
    r"(not|never) heard of": "no heartbeat",
    r"foreseen": "unexpected",
    r"whole story": "full traceback",
    r"be away": "be unreachable",
    r"looks away": "discards every event",
    r"would come again": "deterministic",
    r"is it well|how does it go": "diagnostics and monitoring",
    r"--raytl": "--code",
}
# in code, as whole names: what the names are now
NAMES = {
    "Board": "SweepState",
    "Meter": "BudgetTracker",
    "Home": "RunStore",
    "Right": "WriteToken",
    "Look": "TestSetAccess",
    "Contest": "Comparison",
    "Engine": "TrialExecutor",
    "Asked": "Suggestion",
    "Spread": "CostEstimate",
    "Setting": "TrainContext",
    "Cut": "SplitModel",
    "Sink": "RunWriter",
    "Ahead": "Prefetcher",
    "catch_up": "upload_pending",
    "_silence": "zero_init_head",
    "reach": "S3 settings as a value",
    "room": "reservation",
    "everywhere": "on_each_node",
    "wish": "min_resources",
    "fewest": "min_workers",
    "leads": "is_main",
    "share": "feature_cache",
    "smaller": "oom_retries",
    "shown": "escape, sanitize",
}
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_ALL = re.compile("|".join(rf"(?P<w{n}>(?<![\w-]){words}(?![\w-]))" for n, words in enumerate(WORDS)), re.IGNORECASE)


def retired(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the word and its replacement for each retired word in the prose of a page; output is not prose."""
    better = list(WORDS.values())
    prose = _FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    for number, line in enumerate(prose.splitlines(), start=1):
        for found in _ALL.finditer(line):
            yield number, found[0], better[int(str(found.lastgroup)[1:])]
        for code in _CODE.findall(line):
            yield from ((number, name, NAMES[name]) for name in re.split(r"[.()]", code) if name in NAMES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_uses_a_retired_word(page: Path) -> None:
    where = page.relative_to(REPO).as_posix()
    lines = [
        f"{where}:{line}: {word!r}; write: {better}" for line, word, better in retired(page.read_text(encoding="utf-8"))
    ]
    assert not lines, "\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("One that is killed is gone on with by the next.", "gone on with"),
        ("The webhook is told though the bucket be away.", "told"),
        ("A sweep of ten trials finds out how deep to go.", "finds out"),
        ("120 new images are enough.", "are enough"),
        ("Mend the cause.", "Mend"),
        ("The Gang of workers beats.", "Gang"),
        ("Nobody changes\nsides.", "sides"),
        ("Its state is kept in a `Board`.", "Board"),
        ("It calls `Home.open()` first.", "Home"),
    ],
)
def test_a_retired_word_is_found(sentence: str, word: str) -> None:
    assert word in [found for _, found, _ in retired(sentence)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Heartbeats arrive every 4 s, and the amendment of one side is no offence.",
        "The Home page is on the right; look at the sink, the engine and the board.",
        "```\nanother raytl is at work; it was told\n```",
    ],
)
def test_an_ordinary_word_and_output_are_left_alone(sentence: str) -> None:
    assert not list(retired(sentence))
