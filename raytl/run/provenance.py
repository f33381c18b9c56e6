"""The provenance of a run: versions, hardware, commit, command, time and user, as one JSON value."""

from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from raytl.sanitize import redacted
from raytl.stored import Format
from raytl.stored.bounds import Count, GitState, Name, at_most, within

_PACKAGES = ("raytl", "torch", "torchvision", "timm", "ray", "numpy", "pillow", "safetensors", "pydantic")


def provenance(seed: int) -> dict[str, Any]:
    """Collect what is needed to reproduce a run on a similar machine; omit the host name."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "user": user(),
        "seed": seed,
        "command": [redacted(word) for word in sys.argv],
        "git": git_state(Path.cwd()),
        "packages": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
        "os": platform.platform(),
        "cpu": {"model": _cpu_model(), "cores": os.cpu_count(), "memory_bytes": _memory_bytes()},
        "gpus": _gpus(),
    }


@dataclass(frozen=True)
class Provenance:
    """The stored provenance of a run; `dataset` is the digest of its samples."""

    dataset: Name = ""
    bit_depth: Annotated[int, within(8, 16)] | None = None
    sources: Annotated[dict[Name, Name], at_most(20, "sources")] = field(default_factory=dict)
    """The digest of the images of each other source, by its key in the experiment."""
    auxiliary: Name = ""
    """The digest of the values of the training images in auxiliary.columns."""
    label_methods: Annotated[dict[Name, Count], at_most(20, "methods")] = field(default_factory=dict)
    """The number of training images that each label method added or left out."""
    corrections: Annotated[dict[Name, Count], at_most(20, "kinds")] = field(default_factory=dict)
    """The number of images that labels.relabel relabelled and left out."""
    git: GitState | None = None
    time: Any = None
    user: Any = None
    seed: Any = None
    command: Any = None
    packages: Any = None
    os: Any = None
    cpu: Any = None
    gpus: Any = None
    test: Any = None
    weights: Any = None
    label_changes: Any = None


PROVENANCE_FORMAT = Format[Provenance](
    Provenance,
    "the provenance of a run",
    "Restore the file, or start over with --new (the old run is renamed, not deleted).",
)


def user() -> str:
    """Return the user name, or `unknown` if the system has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container user without a passwd entry
        return "unknown"


def version(package: str) -> str | None:
    """Return the installed version of a package, or None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def installed_from_folder(package: str) -> bool:
    """Return True if the package is installed from a checkout (PEP 610), so that its version does not identify it."""
    try:
        origin = metadata.distribution(package).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return True  # not installed: run from a checkout
    return origin is not None and "dir_info" in json.loads(origin)


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit checked out in `folder` and whether tracked files differ from it; None outside git."""
    commit = _output("git", "-C", str(folder), "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    changes = _output("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": changes != ""}


def _gpus() -> list[dict[str, str]]:
    lines = _output("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    rows = [line.split(", ") for line in (lines or "").splitlines()]
    return [dict(zip(("name", "memory", "driver"), row, strict=True)) for row in rows if len(row) == 3]


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _output(*command: str) -> str | None:
    """Return the output of a command, or None if it is missing, fails, or takes longer than ten seconds."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
