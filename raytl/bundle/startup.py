"""Open a bundle, answer one photo, and print the most memory that it took: a process whose start-up is measured.

python -m raytl.bundle.startup FOLDER THREADS WIDTH HEIGHT
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np

from raytl.bundle.client import Model


def main(folder: str, threads: str, width: str, height: str) -> None:
    """Answer a gray photo, and print the peak of the resident memory in bytes."""
    Model(folder, int(threads)).predict(np.full((int(height), int(width), 3), 127, np.uint8))
    print(_peak_bytes(), flush=True)


def _peak_bytes() -> int:
    """Return the most memory that this process held; `ru_maxrss` counts that of the process which started it too."""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
