"""The processor of this machine, and the CPUs that a measurement runs on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FLAGS = (
    "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8",
    "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""The features of processors that decide how fast networks run, as Linux names them."""
_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_INT8 = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})
_CPUINFO = Path("/proc/cpuinfo")
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/{}"


@dataclass(frozen=True, slots=True)
class Processor:
    """The name of a processor, and its `flags` that decide how fast networks run."""

    name: str
    flags: tuple[str, ...]

    @property
    def has_bf16(self) -> bool:
        """Return True if it multiplies bf16; without, bf16 is slower than fp32."""
        return bool(_BF16 & set(self.flags))

    @property
    def has_int8(self) -> bool:
        """Return True if it has dot products of int8; without, int8 gains less."""
        return bool(_INT8 & set(self.flags))


def this_processor(cpuinfo: Path = _CPUINFO) -> Processor:
    """Return the processor of this machine; without Linux's description of it, no flags."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Processor(platform.processor() or platform.machine(), ())
    entries = dict(_entry(line) for line in reversed(text.splitlines()) if ":" in line)
    flags = set(entries.get("flags", entries.get("Features", "")).split())
    return Processor(entries.get("model name") or platform.machine(), tuple(flag for flag in FLAGS if flag in flags))


def pinned_cpus(threads: int, allowed: Sequence[int]) -> tuple[int, ...]:
    """Return `threads` of the `allowed` CPUs, each of a core of its own as far as there are cores; the last ones first, as
    systems serve interrupts on the first."""
    first: dict[str, int] = {}
    for cpu in reversed(allowed):
        first.setdefault(_core(cpu), cpu)
    own = list(first.values())
    return tuple(sorted([*own, *(cpu for cpu in reversed(allowed) if cpu not in own)][:threads]))


@contextmanager
def pinned(threads: int) -> Iterator[tuple[int, ...]]:
    """Run the block, and the threads that it starts, on `threads` CPUs; yield them, none where a system cannot pin."""
    if not hasattr(os, "sched_setaffinity"):
        yield ()
        return
    before = os.sched_getaffinity(0)
    cpus = pinned_cpus(threads, sorted(before))
    os.sched_setaffinity(0, cpus)
    try:
        yield cpus
    finally:
        os.sched_setaffinity(0, before)


def _entry(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _core(cpu: int) -> str:
    """Return a name for the physical core of a CPU; without a description of it, one of its own."""
    try:
        return "/".join(
            Path(_TOPOLOGY.format(cpu, part)).read_text().strip() for part in ("physical_package_id", "core_id")
        )
    except OSError:
        return f"cpu{cpu}"
