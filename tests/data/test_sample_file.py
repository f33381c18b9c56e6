"""Large tables of samples reach other processes as one file, the same samples in the same order."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from raytl.data.sample import Sample
from raytl.data.sample_file import discard, shared
from raytl.data.sample_table import SampleTable
from raytl.data.samples import SAMPLE_FORMAT, records
from raytl.errors import RunError
from raytl.store import pins
from raytl.store.cache import cache_root
from raytl.store.memory import MemoryStore
from raytl.store.pins import evict
from tests.data.test_sample_table import SETS

LARGE = {name: samples for name, samples in SETS.items() if samples}


@pytest.mark.parametrize("samples", LARGE.values(), ids=LARGE.keys())
@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_a_table_in_a_file_holds_the_same_samples(samples: list, place: str, tmp_path: Path) -> None:
    location = str(tmp_path / "run") if place == "folder" else f"memory://{tmp_path}"
    sent = pickle.dumps(shared(SampleTable.of(samples), location, inline=0))
    there = pickle.loads(sent)
    assert there == samples
    assert len(sent) < 600
    assert pickle.loads(pickle.dumps(there)) == samples
    assert pickle.loads(pickle.dumps(there[1:])) == samples[1:]  # a part is sent by value


def test_a_small_table_is_sent_with_the_job(tmp_path: Path) -> None:
    table = SampleTable.of(SETS["mixed"])
    assert shared(table, str(tmp_path)) is table
    assert list(tmp_path.iterdir()) == []


def test_a_node_fetches_the_file_once_and_checks_its_digest(tmp_path: Path) -> None:
    sent = pickle.dumps(shared(SampleTable.of(SETS["classes"]), f"memory://{tmp_path}", inline=0))
    (here,) = (cache_root() / "samples").glob("*/*.arrow")
    here.unlink()  # as on another node
    assert pickle.loads(sent) == SETS["classes"]
    assert here.exists()
    here.unlink()
    store = MemoryStore(str(tmp_path))
    store.put_bytes(f".samples/{here.name}", b"damaged")
    with pytest.raises(RunError, match=r"SHA-256 is not .* Start the command again"):
        pickle.loads(sent)
    assert not here.exists()
    store.delete(f".samples/{here.name}")


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_the_file_is_removed_after_the_last_use(place: str, tmp_path: Path) -> None:
    location = str(tmp_path / "run") if place == "folder" else f"memory://{tmp_path}"
    shared(SampleTable.of(SETS["classes"]), location, inline=0)
    discard(location)
    left = list((tmp_path / "run").glob("*")) if place == "folder" else list(MemoryStore(str(tmp_path)).list())
    assert left == []


def test_columns_of_a_mapped_table_are_not_copied(tmp_path: Path) -> None:
    table = pickle.loads(pickle.dumps(shared(SampleTable.of(SETS["classes"]), str(tmp_path), inline=0)))
    assert not table.keys.data.flags.owndata
    assert not table.targets.codes.flags.writeable


def test_a_file_in_the_cache_is_evicted_once_no_process_uses_it(tmp_path: Path, own_cache: Path) -> None:
    shared(SampleTable.of(SETS["classes"]), f"memory://{tmp_path}", inline=0)
    (here,) = (own_cache / "samples").glob("*/*.arrow")
    assert evict(0) == []
    os.close(pins._pins.pop(here.parent))  # as when the process ends
    assert evict(0) == [here.parent]
    discard(f"memory://{tmp_path}")


def test_the_values_of_columns_travel_with_the_samples(tmp_path: Path) -> None:
    samples = [Sample(f"{i}.jpg", f"/d/{i}.jpg", "a", columns=(("site", f"s{i % 3}"), ("x", ""))) for i in range(9)]
    table = SampleTable.of(samples)
    mapped = shared(table, str(tmp_path), inline=0)
    assert list(mapped) == samples and list(pickle.loads(pickle.dumps(mapped))) == samples
    assert list(pickle.loads(pickle.dumps(table))) == samples
    assert list(mapped.take(np.array([4, 0]))) == [samples[4], samples[0]]
    assert [json.loads(line) for line in records(table)] == [sample.record() for sample in samples]
    lines = "\n".join(records(table)).encode()
    assert list(SAMPLE_FORMAT.lines(lines, "samples.jsonl")) == samples
