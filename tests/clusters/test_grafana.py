"""Grafana's dashboard queries only metrics that are exported."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

import pytest

from raytl.cluster.metrics import METRICS, exporting_metrics
from raytl.events import EpochEnded, Event, ImagesOpened, Restarted, Step, TrialChanged, Work
from tests.conftest import REPO, MakePhotos
from tests.jobs.test_cluster import TOKEN, free_port, two_nodes

DASHBOARD = json.loads((REPO / "clusters" / "grafana" / "raytl.json").read_text())
_NAME = re.compile(r"ray_raytl_[a-z_]+")
_NOT_IN_AN_UNDISTURBED_SWEEP = {
    "ray_raytl_restarts_total",
    "ray_raytl_pulled_bytes_total",
    "ray_raytl_cache_misses_total",
}
"""No worker dies, nothing is in a bucket, and trials, which tell no more than their results, decoded all images before
the winner's run opens them."""


def queried() -> set[str]:
    """Return every metric that a panel or a variable queries."""
    return set(_NAME.findall(json.dumps(DASHBOARD)))


def exported() -> set[str]:
    """Return the names of METRICS as they are scraped."""
    return {f"ray_{name}{'_total' if meaning.kind == 'counter' else ''}" for name, meaning in METRICS.items()}


def test_every_metric_has_a_panel_and_every_panel_a_metric() -> None:
    assert queried() == exported()


def test_panels_do_not_overlap_and_filter_by_run() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert all('run=~"$run"' in query for query in queries)
    tags = {tag for meaning in METRICS.values() for tag in meaning.tags} | {"run"}
    assert {tag for query in queries for tag in query.rpartition(" by (")[2].rstrip(")").split(", ")} <= tags


def test_it_can_be_copied_next_to_ray_s_own() -> None:
    from ray.dashboard.modules.metrics import dashboards

    own = [json.loads(path.read_text()) for path in Path(dashboards.__file__).parent.glob("*_base.json")]
    assert own and DASHBOARD["uid"] not in {each.get("uid") for each in own}
    assert {"title", "uid", "panels", "templating", "schemaVersion"} <= set(DASHBOARD)


class _Scrape(threading.Thread):
    """Scrape a metrics port every second until stopped."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.url, self.done, self.series = f"http://127.0.0.1:{port}/metrics", threading.Event(), dict[str, float]()

    @property
    def names(self) -> set[str]:
        """Return the metrics seen so far."""
        return {series.partition("{")[0] for series in list(self.series)}

    def run(self) -> None:
        while not self.done.wait(1.0):
            try:
                with urllib.request.urlopen(self.url, timeout=5) as answer:
                    text = answer.read().decode()
            except OSError:
                continue
            for line in text.splitlines():
                if line.startswith("ray_raytl_"):
                    series, _, value = line.rpartition(" ")
                    self.series[series] = float(value)


EVENTS: list[Event] = [
    Step(2, 4, 5, 10, 0.5, 100.0, {}, "head", 3),
    EpochEnded(1, 2, {"val/accuracy": 0.5, "train/seconds": 3.0}, True, 1),
    ImagesOpened("x", hits=3, misses=1),
    Work("pull x", 1, 2, bytes=10),
    Restarted(1, "a worker died"),
    TrialChanged(0, "complete", 1, 1, 0.5, 0.5, 0, 1, 1, {}),
]


@pytest.mark.ray
@pytest.mark.thorough
def test_ray_s_exporter_has_every_metric_under_the_name_in_the_dashboard(tmp_path: Path) -> None:
    import ray

    port, folder = free_port(), tempfile.mkdtemp(prefix="raytl-")  # a short path, for sockets
    quickly = {"metrics_report_interval_ms": 1000}
    started = {"num_cpus": 1, "object_store_memory": 100_000_000, "_temp_dir": folder, "_system_config": quickly}
    ray.init(address="local", include_dashboard=False, _metrics_export_port=port, **started)
    scrape = _Scrape(port)
    try:
        scrape.start()
        tell = exporting_metrics(lambda _: None, "seen")
        for _ in range(60):
            for event in EVENTS:
                tell(event)
            if queried() <= scrape.names:
                break
            scrape.done.wait(1.0)
    finally:
        scrape.done.set()
        scrape.join()
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    assert queried() <= scrape.names, queried() - scrape.names
    assert all('run="seen"' in series for series in scrape.series)


@pytest.mark.ray
@pytest.mark.thorough
@pytest.mark.lengthy
@pytest.mark.timeout(600)
def test_a_sweep_and_its_winner_s_run_export_what_the_dashboard_queries(
    make_photos: MakePhotos, tmp_path: Path
) -> None:
    (tmp_path / "e.yaml").write_text(
        f"name: seen\ndata: {{uri: {make_photos(30)}, loader_workers: 1}}\n"
        "model: {name: test_resnet, weights: none, preprocess: {image_px: 32}}\n"
        "transfer: {unfreeze: 1, head_first: 1 epoch}\n"
        "train: {epochs: 4, batch_size: 8, early_stop: 0, precision: fp32}\n"
        f"compute: {{device: cpu}}\nstorage: {{uri: {tmp_path}/runs}}\n"
        "search: {trials: 2, recipes: false, linear_probe: false, replicates: {top: 1, seeds: 1}, budget: {max_epochs: 3}}\n"
    )
    quickly = {"RAY_metrics_report_interval_ms": "500", "PYTHONPATH": str(REPO)}
    port = free_port()
    with two_nodes(quickly, "--metrics-export-port", str(port)) as (_, address):
        scrape = _Scrape(port)
        scrape.start()
        command = [
            sys.executable,
            "-m",
            "raytl",
            "tune",
            str(tmp_path / "e.yaml"),
            "--set",
            f"compute.cluster={address}",
        ]
        environment = {**os.environ, **quickly, "RAY_AUTH_TOKEN": TOKEN}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=500)
        assert done.returncode == 0, done.stderr[-3000:]
        scrape.done.set()
        scrape.join()
    assert queried() - scrape.names <= _NOT_IN_AN_UNDISTURBED_SWEEP, sorted(scrape.series)
    assert any('run="seen-winner"' in series for series in scrape.series)
    hits = [value for series, value in scrape.series.items() if series.startswith("ray_raytl_cache_hits_total")]
    assert hits and all(value > 0 for value in hits)
