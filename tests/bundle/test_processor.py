"""What is read of a processor, and which CPUs a measurement runs on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raytl.bundle import processor
from raytl.bundle.processor import Processor, pinned, pinned_cpus, this_processor

CPUINFO = """processor\t: 0
model name\t: Example 9000
flags\t\t: fpu sse2 avx2 fma avx512_vnni avx512_bf16

processor\t: 1
model name\t: Example 9000
flags\t\t: fpu sse2 avx2 fma avx512_vnni avx512_bf16
"""


def test_the_flags_that_decide_the_speed_are_read(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    cpu = this_processor(tmp_path / "cpuinfo")
    assert cpu == Processor("Example 9000", ("avx2", "fma", "avx512_vnni", "avx512_bf16"))
    assert cpu.has_bf16 and cpu.has_int8


def test_an_arm_processor_is_read_by_its_features(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nFeatures : fp asimd asimddp i8mm\n")
    cpu = this_processor(tmp_path / "cpuinfo")
    assert cpu.flags == ("asimddp", "i8mm") and cpu.has_int8 and not cpu.has_bf16 and cpu.name


def test_a_processor_without_a_description_has_no_flags(tmp_path: Path) -> None:
    cpu = this_processor(tmp_path / "absent")
    assert cpu.flags == () and not cpu.has_int8


@pytest.mark.parametrize(
    ("threads", "expected"), [(1, (3,)), (2, (1, 3)), (3, (1, 2, 3)), (4, (0, 1, 2, 3)), (9, (0, 1, 2, 3))]
)
def test_each_thread_gets_a_core_of_its_own_while_there_are_cores(
    threads: int, expected: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "_core", lambda cpu: f"core {cpu // 2}")
    assert pinned_cpus(threads, range(4)) == expected


def test_the_cpus_of_the_process_are_restored_after_an_error() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(RuntimeError, match="inside"):
        _fail_pinned()
    assert os.sched_getaffinity(0) == before


def _fail_pinned() -> None:
    with pinned(1) as cpus:
        assert os.sched_getaffinity(0) == set(cpus) and len(cpus) == 1
        raise RuntimeError("inside")
