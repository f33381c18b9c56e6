"""torch's compiler is imported at its first use. A small fake stands for torch: the real one takes seconds to import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raytl.eager import _ddp_mode
from tests.architecture.sources import REPO

FAKE = {
    "__init__.py": "",
    "_dynamo/__init__.py": "from . import exc, trace_rules, utils\ndef disable(fn, *_, **__): return 'disabled'\n",
    "_dynamo/trace_rules.py": "def clear_lru_cache(): ...\n",
    "_dynamo/exc.py": "loads = globals().get('loads', 0) + 1\nclass Unsupported(Exception): ...\n",
    "_dynamo/utils.py": "def is_compile_supported(device): return device == 'cpu'\nwarn_once = print\n",
}
LOADED = "import sys; real = lambda: 'torch._dynamo.exc' in sys.modules; import torch; "
DEFERRED = f"from raytl.eager import defer_compiler; defer_compiler(); {LOADED}"


@pytest.fixture
def fake_torch(tmp_path: Path) -> Path:
    for name, text in FAKE.items():
        (tmp_path / "torch" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "torch" / name).write_text(text)
    return tmp_path


def printed(code: str, fake_torch: Path) -> list[str]:
    paths = os.pathsep.join((str(fake_torch), str(REPO)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("used", "result"),
    [
        ("import torch._dynamo as d; d.graph_break(); print(real())", ["False"]),
        ("import torch._dynamo as d; print(d.disable(len) is len, real())", ["True", "False"]),
        ("from torch._dynamo.utils import is_compile_supported; print(real())", ["False"]),
        ("import torch._dynamo as d; print(d.utils.get_optimize_ddp_mode(), real())", ["ddp_optimizer", "False"]),
        ("import torch._dynamo as d; d.trace_rules.clear_lru_cache(); print(real())", ["False"]),
        ("import torch._dynamo as d; print(hasattr(d, '__wrapped__'), real())", ["False", "False"]),
        ("from torch._dynamo.utils import is_compile_supported as f; print(f('cpu'), real())", ["True", "True"]),
        ("from torch._dynamo.utils import warn_once; print(real())", ["True"]),
        ("import torch._dynamo as d; print(d.exc.loads, real())", ["1", "True"]),
        ("from torch._dynamo import exc; print(exc.loads, real())", ["1", "True"]),
    ],
)
def test_only_a_use_of_the_compiler_imports_it(used: str, result: list[str], fake_torch: Path) -> None:
    assert printed(DEFERRED + used, fake_torch) == result


def test_a_submodule_is_loaded_once_and_keeps_its_own_loader(fake_torch: Path) -> None:
    used = "import torch._dynamo.exc as e; print(e.loads, type(e.__spec__.loader).__name__, e is torch._dynamo.exc)"
    assert printed(DEFERRED + used, fake_torch) == ["1", "SourceFileLoader", "True"]


def test_nothing_of_the_stand_in_is_left_after_the_import(fake_torch: Path) -> None:
    used = "import torch._dynamo.exc; print(any('eager' in type(f).__module__ for f in sys.meta_path), torch._dynamo.disable(1))"
    assert printed(DEFERRED + used, fake_torch) == ["False", "disabled"]


def test_functions_that_were_marked_before_are_marked_again_by_the_compiler(fake_torch: Path) -> None:
    used = (
        "f = lambda: 0; import torch._dynamo as d; setattr(f, '__dynamo_disable', d.disable(f)); "
        "import torch._dynamo.exc; print(vars(f))"
    )
    assert printed(DEFERRED + used, fake_torch) == ["{}"]


def test_a_compiler_that_is_imported_already_is_left_alone(fake_torch: Path) -> None:
    used = "import torch._dynamo as d; from raytl.eager import defer_compiler; defer_compiler(); print(d is sys.modules[d.__name__])"
    assert printed(LOADED + used, fake_torch) == ["True"]


def test_the_compiler_has_the_default_that_the_stand_in_names() -> None:
    from torch._dynamo.utils import get_optimize_ddp_mode

    assert get_optimize_ddp_mode() == _ddp_mode()
