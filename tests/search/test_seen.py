"""A finished sweep in the tools that show it: optuna-dashboard, and a real browser."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from wsgiref.util import setup_testing_defaults

import numpy as np
import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from PIL import Image

from raytl.search.summary import sweep_root
from tests.search.conftest import Finished
from tests.search.test_study import opened as opened_study
from tests.search.test_study import run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHARTS = 5


def get(app: Callable[..., Any], path: str) -> Any:
    """Return the dashboard's response to a browser."""
    environ: dict[str, Any] = {"PATH_INFO": path, "wsgi.input": io.BytesIO()}
    setup_testing_defaults(environ)
    status_lines: list[str] = []
    body = b"".join(app(environ, lambda status, headers, _=None: status_lines.append(status)))
    assert status_lines[0].startswith("200"), (status_lines, body)
    return json.loads(body)


@pytest.mark.thorough
@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_optuna_dashboard_opens_the_storage(storage: Literal["journal", "sqlite"], tmp_path: Path) -> None:
    from optuna_dashboard import wsgi

    run(opened_study(tmp_path, storage=storage))
    opened: BaseStorage = (
        JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))
        if storage == "journal"
        else RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    )
    app = wsgi(opened)
    (study,) = get(app, "/api/studies")["study_summaries"]
    assert study["study_name"] == "toy"
    shown = get(app, f"/api/studies/{study['study_id']}")
    assert [trial["number"] for trial in shown["trials"]] == list(range(8))
    assert {trial["state"] for trial in shown["trials"]} <= {"Complete", "Pruned"}
    assert "transfer.unfreeze" in {parameter["name"] for parameter in shown["union_search_space"]}
    assert optuna.load_study(study_name="toy", storage=opened).best_value > 0


@pytest.mark.skipif(BROWSER is None, reason="no chromium here: apt-get install chromium")
@pytest.mark.thorough
def test_a_browser_draws_every_chart_of_the_page(finished: Finished, tmp_path: Path) -> None:
    page, picture = sweep_root(finished.experiment) / "report.html", tmp_path / "page.png"
    words = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,3600"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=8000", "--hide-scrollbars"]
    drawn = subprocess.run(
        [*words, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    assert drawn.stdout.count('<svg class="wide"') >= CHARTS
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=["']?https?:""", drawn.stdout), "it needs the network"
    subprocess.run([*words, f"--screenshot={picture}", page.as_uri()], capture_output=True, check=True, timeout=120)
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    inked = (pixels != pixels[-1, -1]).any(axis=2).mean(axis=1)
    assert (inked > 0).mean() > 0.3, "most of the page is blank"
