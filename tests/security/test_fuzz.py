"""The fuzzer: altered documents of every stored format end in a value within bounds, or in an error that names the object."""

from __future__ import annotations

import json
import os
import random
import resource
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raytl.run.plain import encode
from tests.security.fuzz import Hole, altered, outcome
from tests.security.stored_document import Stored
from tests.security.stored_formats import ALL
from tests.security.test_stored import each_format

hypothesis = pytest.importorskip("hypothesis", reason="the fuzzer draws its cases with hypothesis")
st = pytest.importorskip("hypothesis.strategies")

CASES = int(os.environ.get("RAYTL_FUZZ_CASES", "300"))
"""Cases of each format."""
MAX_GROWTH_BYTES = 200 << 20


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))


def fuzzed(kind: Stored, folder: Path, cases: int) -> Counter[str]:
    """Return how many of `cases` documents were read and how many refused; the same ones each time."""
    counts: Counter[str] = Counter()

    @hypothesis.settings(
        max_examples=cases, derandomize=True, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(
        st.one_of(
            st.randoms(use_true_random=False).map(lambda choose: altered(kind.valid, choose)), st.binary(max_size=64)
        )
    )
    def attack(content: bytes) -> None:
        counts[outcome(kind, content, folder)] += 1

    attack()
    return counts


@pytest.mark.thorough
@each_format
def test_altered_documents_are_read_within_bounds_or_refused_by_name(
    kind: Stored, tmp_path: Path, record_property: Any
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = fuzzed(kind, tmp_path, CASES)
    record_property("cases", dict(counts))
    print(f"{kind.name}: {counts.total()} cases, {counts['read']} read, {counts['refused']} refused")
    assert counts.total() >= 0.9 * CASES
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MAX_GROWTH_BYTES


HOLES: dict[str, Any] = {
    "a bare reader": lambda value: value["files"]["experiment.yaml"]["bytes"] + 1,
    "a reader that forgets a missing key": lambda value: value["summary"].get("epochs", 0) + 1,
    "a reader without a bound": lambda value: bytearray(min(int(value["files"]["experiment.yaml"]["bytes"]), 2**63)),
}


@pytest.mark.parametrize("hole", HOLES)
def test_the_fuzzer_finds_a_planted_hole(hole: str, tmp_path: Path) -> None:
    valid = encode({"format": 1, "summary": {"epochs": 2}, "files": {"experiment.yaml": {"bytes": 3, "sha256": "00"}}})
    planted = Stored(hole, valid, lambda content, _: HOLES[hole](json.loads(content)), "manifest.json")
    with pytest.raises(Hole, match=hole):
        fuzzed(planted, tmp_path, 300)


def test_a_document_is_altered_the_same_way_each_time() -> None:
    for kind in ALL:
        assert altered(kind.valid, random.Random(7)) == altered(kind.valid, random.Random(7))
