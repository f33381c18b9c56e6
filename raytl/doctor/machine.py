"""The facts of one machine. Uses only the standard library, so that it runs where raytl is not installed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

PACKAGES = ("raytl", "ray", "torch", "torchvision", "timm")
"""Packages whose versions must be equal on all machines, in addition to Python."""
_QUERY = ("name", "memory.total", "driver_version", "ecc.errors.uncorrected.volatile.total")
_SLOWDOWNS = ("clocks_event_reasons.hw_slowdown", "clocks_throttle_reasons.hw_slowdown")
"""The names of one more column, that of drivers from 535 and that of older ones."""
_SMI_S = 25
"""Without its persistence daemon, the driver wakes each GPU for a query."""
_PCI = Path("/sys/bus/pci/devices")
_NVIDIA, _DISPLAY = "0x10de", "0x03"


@dataclass(frozen=True)
class Gpu:
    """A GPU as reported by nvidia-smi; `ecc_errors` are uncorrected ones since the last reset, None if not reported."""

    name: str
    memory_mib: int
    driver: str
    ecc_errors: int | None
    throttled: bool


@dataclass(frozen=True)
class Disk:
    """The file system of a path that raytl uses."""

    use: str
    path: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class MachineReport:
    """A node's package versions (None = not installed), hardware, disks and limits.

    `skew_s` is its clock minus the clock of the machine that runs `raytl doctor`, accurate to `skew_error_s`. `gpu_error` says
    why nvidia-smi reports none of the GPUs that it has.
    """

    name: str
    versions: dict[str, str | None]
    cpus: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]
    disks: tuple[Disk, ...]
    open_files: int
    skew_s: float = 0.0
    skew_error_s: float = 0.0
    gpu_error: str = ""


def inspect(name: str) -> MachineReport:
    """Return the facts of this machine, called `name`."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    versions |= {package: _version(package) for package in PACKAGES}
    if (cuda := _cuda()) is not None:
        versions["torch's CUDA"] = cuda
    gpus, gpu_error = _gpus()
    return MachineReport(
        name=name,
        versions=versions,
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpus=gpus,
        disks=tuple(_disk(use, path) for use, path in _paths().items()),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        gpu_error=gpu_error if _has_gpu() else "",
    )


def clock() -> float:
    """Return this machine's time in Unix seconds."""
    return time.time()


def _version(package: str) -> str | None:
    try:
        installed: str | None = metadata.version(package)
    except metadata.PackageNotFoundError:
        installed = None
    if package != "raytl":
        return installed
    place = util.find_spec(package)
    if place is None or place.origin is None:
        return None
    return f"{installed or 'not installed'} (code {_digest(Path(place.origin).parent)})"


def _cuda() -> str | None:
    """Return torch's CUDA version without importing torch, which takes seconds and half a gigabyte."""
    place = util.find_spec("torch")
    if place is None or place.origin is None:
        return None
    match = re.search(r"^cuda\b[^=]*= '([^']+)'", (Path(place.origin).parent / "version.py").read_text(), re.MULTILINE)
    return match and match[1]


def _digest(folder: Path) -> str:
    """Return a digest of the code, because checkouts of one version differ."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


def _paths() -> dict[str, Path]:
    return {
        "cache": Path(os.environ.get("RAYTL_CACHE") or os.path.expanduser("~/.cache/raytl")),  # noqa: PTH111 - never raises
        "temporary files": Path(tempfile.gettempdir()),
        "shared memory": Path("/dev/shm"),  # noqa: S108 - only its free space is read
    }


def _disk(use: str, path: Path) -> Disk:
    existing = next((parent for parent in (path, *path.parents) if parent.exists()), Path("/"))
    usage = shutil.disk_usage(existing)
    return Disk(use, str(path), usage.free, usage.total)


def _gpus() -> tuple[tuple[Gpu, ...], str]:
    """Return the GPUs, and why nvidia-smi, if it is installed, reports none."""
    if shutil.which("nvidia-smi") is None:
        return (), ""
    error = ""
    for slowdown in _SLOWDOWNS:
        command = ["nvidia-smi", f"--query-gpu={','.join((*_QUERY, slowdown))}", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_S, check=True)
        except subprocess.CalledProcessError as exc:  # it prints its errors to standard output
            error = " ".join((exc.stdout + exc.stderr).split())[:200] or str(exc)
        except (OSError, subprocess.TimeoutExpired) as exc:
            return (), str(exc)
        else:
            rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
            return tuple(gpu_of(row) for row in rows if len(row) == len(_QUERY) + 1), ""
    return (), error


def _has_gpu() -> bool:
    """Return True if the machine has an NVIDIA GPU, with or without a working driver."""
    for device in _PCI.glob("*"):
        with contextlib.suppress(OSError):
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
            if vendor == _NVIDIA and kind.startswith(_DISPLAY):
                return True
    return False


def gpu_of(row: list[str]) -> Gpu:
    """Return the GPU of a row of nvidia-smi output, whose cells may be [N/A]."""
    name, memory, driver, errors, throttled = row
    return Gpu(
        name=name,
        memory_mib=int(memory) if memory.isdigit() else 0,
        driver=driver,
        ecc_errors=int(errors) if errors.isdigit() else None,
        throttled=throttled == "Active",
    )
