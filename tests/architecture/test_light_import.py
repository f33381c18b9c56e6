"""`import raytl`, and all that answers before training, load neither torch nor Ray: `raytl check` must be quick."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.sources import REPO, modules

HEAVY = ("torch", "torchvision", "timm", "ray")
VENDORS = (*HEAVY, "matplotlib", "pandas", "pyarrow", "boto3", "PIL", "typer")
LIGHT = ("config", "run", "store", "cli")


def loaded_by(names: list[str], vendors: tuple[str, ...]) -> set[str]:
    """Which of `vendors` are loaded after importing `names` in a fresh Python."""
    code = f"import sys, {', '.join(names)}; print(*sorted(set({vendors!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_raytl_loads_no_vendor() -> None:
    assert loaded_by(["raytl"], VENDORS) == set()


@pytest.mark.parametrize("part", LIGHT)
def test_importing_a_light_part_loads_no_heavy_vendor(part: str) -> None:
    names = [module.name for module in modules("raytl") if module.name.split(".")[1:2] == [part]]
    assert loaded_by([name for name in names if not name.endswith("__main__")] or ["raytl"], HEAVY) == set()
