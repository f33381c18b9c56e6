"""The notebook runs from its first cell to its last, and its outputs are what a reader should see.

It does not replace `tests/search/test_driver.py`: that one looks into the parts of a sweep, this one at what a notebook
shows of it. It is thorough, as half a minute is a tenth of `make test`. The quickstart itself (`make quickstart`) takes minutes
and is no test.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.architecture.sources import REPO

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]
FILE = REPO / "experiments" / "notebooks" / "transfer_learning.ipynb"


class ThisPython(AsyncKernelManager):
    """Starts the kernel with the interpreter of the tests, whatever kernels are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel of this interpreter."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python", language="python")


def outputs(cell: Any, kind: str) -> str:
    """Return the last output of a cell of a MIME type."""
    found = [output.data[kind] for output in cell.get("outputs", []) if kind in output.get("data", {})]
    return str(found[-1]) if found else ""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("notebook")
    book = nbformat.read(FILE, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAYTL_CACHE", str(folder / "cache"))
        client = NotebookClient(
            book, timeout=600, kernel_manager_class=ThisPython, resources={"metadata": {"path": str(folder)}}
        )
        client.execute()
    return book


def cell_with(book: Any, source: str) -> Any:
    """Return the code cell whose source contains the text."""
    return next(cell for cell in book.cells if cell.cell_type == "code" and source in cell.source)


@pytest.mark.slow
def test_the_notebook_tells_the_whole_story(notebook: Any) -> None:
    report = cell_with(notebook, "run.evaluate()")
    assert '<img alt="Confusion matrix"' in outputs(report, "text/html")
    assert outputs(report, "text/plain").startswith("Report(digits, test split, ")
    assert "<table" in outputs(cell_with(notebook, "raytl.tune(exp)"), "text/html")
    assert "<table" in outputs(cell_with(notebook, "letters.history"), "text/html")


@pytest.mark.slow
def test_progress_is_one_output_that_ends_with_the_last_epoch(notebook: Any) -> None:
    shown = [
        output for output in cell_with(notebook, "raytl.train(exp)").outputs if output.output_type == "display_data"
    ]
    assert len(shown) == 1
    assert "epoch 6/6" in shown[0].data["text/plain"]


@pytest.mark.slow
def test_problems_of_an_experiment_are_shown_with_suggestions(notebook: Any) -> None:
    (output,) = cell_with(notebook, "except raytl.UserError").outputs
    assert "2 problems" in output.text
    assert "did you mean 'unfreeze'?" in output.text


def test_the_notebook_is_stored_without_outputs() -> None:
    book = nbformat.read(FILE, as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in book.cells)
