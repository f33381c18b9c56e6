"""A process ends with its exit code, though a library's destructors crash."""

from __future__ import annotations

import subprocess
import sys

import pytest

CRASHES = """
import atexit, ctypes, sys
from raytl import __main__ as process
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)  # as a destructor of a library that crashes
process.main = lambda: (atexit.register(print, "last words"), print("said"), {ends})
process.run()
"""


def ended(ends: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CRASHES.format(ends=ends)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("ends", "code"), [("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(2)", 2)])
def test_the_exit_code_is_that_of_the_command(ends: str, code: int) -> None:
    done = ended(ends)
    assert (done.returncode, done.stdout, done.stderr) == (code, "said\nlast words\n", "")


def test_an_exit_value_that_is_no_code_is_reported_as_1() -> None:
    done = ended("sys.exit('why')")
    assert (done.returncode, done.stderr) == (1, "why\n")


def test_an_error_of_our_own_is_not_hidden() -> None:
    done = ended("1 / 0")
    assert done.returncode < 0
    assert "ZeroDivisionError" in done.stderr


def test_an_interrupt_before_the_verb_runs_is_exit_code_130_without_a_traceback() -> None:
    done = ended("exec('raise KeyboardInterrupt')")
    assert (done.returncode, done.stdout, done.stderr) == (130, "said\nlast words\n", "interrupted\n")


def test_another_interrupt_while_it_ends_shows_no_traceback() -> None:
    done = ended("atexit.register(__import__('os').kill, __import__('os').getpid(), 2), sys.exit(3)")
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", "")
