"""A container's user: no passwd entry, no home folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import TINY
from tests.conftest import REPO, write_photos

_USER = "12345"
# The right to read everything: the interpreter may lie in a folder that only root can enter.
_AS_NOBODY = (
    *("setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups"),
    *("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"),
)
_SCRIPT = """\
import sys
from raytl.cli.main import app
for words in sys.argv[1:]:
    if code := app(words.split(), standalone_mode=False):
        sys.exit(code)
"""


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder of that user's, with an experiment and photos; or a skip."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can be another user")
    if subprocess.run([*_AS_NOBODY, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this container's root cannot be another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        (Path(folder) / "tiny.yaml").write_text(TINY)
        write_photos(Path(folder) / "photos", per_class=12)
        for path in [Path(folder), *Path(folder).rglob("*")]:
            os.chown(path, int(_USER), int(_USER))
        yield Path(folder)


@pytest.mark.thorough
def test_a_user_without_a_home_checks_and_trains(theirs: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO), "TMPDIR": str(theirs)}
    words = ("check tiny.yaml", "train tiny.yaml")
    command = [*_AS_NOBODY, sys.executable, "-c", _SCRIPT, *words]
    done = subprocess.run(command, cwd=theirs, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert "tiny: trained" in done.stdout
    lines = done.stderr.splitlines()
    assert "is not writable; using" in lines[0]
    assert not [line for line in lines if "Traceback" in line or "Matplotlib" in line]
