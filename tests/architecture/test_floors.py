"""A module imports only from floors below its own; a vendor is imported only behind its door; nothing goes in circles."""

from __future__ import annotations

from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.sources import Module, imports, modules, read

FLOORS: dict[str, int] = {
    "errors": 0, "home": 0, "uris": 0, "throttle": 0, "worker_status": 0, "world": 0, "events": 0, "sanitize": 0, "redaction": 0,
    "stored": 0, "disk": 0, "out_of_memory": 0, "cpus": 0, "gc_pause": 0, "eager": 0, "pages": 0, "score_names": 0,
    "config": 1, "metrics": 1,
    "store": 2, "jobs": 2, "cluster": 2, "kube": 2,
    "registry": 3,
    "run": 4,
    "data": 5, "doctor": 5,
    "models": 6,
    "tasks": 7,
    "adaptation": 7,
    "bundle": 6,
    "labelling": 8,
    "training": 9, "evaluation": 9, "feedback": 9,
    "search": 10, "exporting": 10, "assessment": 10, "batch_inference": 10,
    "retraining": 11, "starter": 11, "serving": 11,
    "advice": 12, "catalog": 12,
    "cli": 13,
    "api": 14,
}  # fmt: skip
"""Floor of each part of raytl; the package's own `__init__` and `__main__` stand above all."""

ROOF = 15

DOORS = {
    "boto3": ("raytl/store/s3.py",),
    "urllib3": ("raytl/store/s3_client.py", "raytl/store/s3_direct.py"),
    "botocore": ("raytl/store/s3.py", "raytl/store/s3_body.py", "raytl/store/s3_client.py", "raytl/store/s3_errors.py"),
    "ray": (
        "raytl/cluster/*.py",
        "raytl/jobs/client.py",
        "raytl/search/executor.py",
        "raytl/search/head.py",
        "raytl/search/searcher.py",
        "raytl/search/trial_process.py",
        "raytl/batch_inference/ray_data.py",
        "raytl/serving/ray_serve.py",
    ),
    "optuna": (
        "raytl/search/storage.py",
        "raytl/search/suggest.py",
        "raytl/search/guided.py",
        "raytl/search/study.py",
        "raytl/search/cma.py",
        "raytl/search/importance.py",
        "raytl/search/stored_trial.py",
    ),
    "timm": ("raytl/models/*.py",),
    "torchvision.models": ("raytl/models/*.py", "raytl/tasks/detection/*.py"),
    "torchvision.transforms": ("raytl/data/*.py", "raytl/tasks/classification/mix.py"),
    "mlflow": ("raytl/retraining/mirror.py",),
    "onnx": ("raytl/exporting/*.py", "raytl/exporting/*/*.py"),
    "onnxscript": ("raytl/exporting/*.py", "raytl/exporting/*/*.py"),
    "onnxruntime": ("raytl/exporting/*.py", "raytl/exporting/*/*.py", "raytl/bundle/client.py"),
    "openvino": ("raytl/exporting/*.py", "raytl/exporting/*/*.py", "raytl/bundle/client.py"),
    "nncf": ("raytl/exporting/*.py", "raytl/exporting/*/*.py"),
    "torch_pruning": ("raytl/exporting/*/*.py",),
    "starlette": ("raytl/serving/*.py",),
    "uvicorn": ("raytl/serving/*.py",),
    "prometheus_client": ("raytl/serving/*.py", "raytl/cluster/metrics.py"),
    "cronsim": ("raytl/retraining/cron.py",),
    "threadpoolctl": ("raytl/models/solved_head.py",),
    "jinja2": ("raytl/pages/*.py",),
    "matplotlib": ("raytl/pages/figures.py", "*/plots.py"),
    "typer": ("raytl/cli/*.py",),
    "click": ("raytl/cli/*.py",),
    "rich": ("raytl/cli/*.py",),
    "pillow_heif": ("raytl/data/heif.py",),
    "pydicom": ("raytl/data/dicom.py",),
    "raytl.cluster": (
        "raytl/cluster/*.py",
        "raytl/doctor/*.py",
        "raytl/cli/cluster.py",
        "raytl/training/driver.py",
        "raytl/training/early.py",
        "raytl/evaluation/evaluate.py",
        "raytl/search/*.py",
        "raytl/retraining/compare.py",
        "raytl/batch_inference/*.py",
        "raytl/serving/ray_serve.py",
    ),
    "faster_coco_eval": ("raytl/data/annotations/rle.py", "raytl/tasks/*"),
    "sklearn": (),
    "torchmetrics": (),
}
"""The files behind which a vendor may be imported; the cluster too, so that what trains and scores does not know Ray."""


def part(name: str) -> str:
    """`raytl.data.split` is of the part `data`; raytl itself of the part ''."""
    return [*name.split("."), ""][1]


def misplaced(module: Module, known: frozenset[str]) -> list[str]:
    """The imports of `module` that reach up or to a peer, each with where, what and what is allowed."""
    own = part(module.name)
    floor = FLOORS.get(own, ROOF)
    lines = []
    for found in imports(module, known):
        if found.target.split(".")[0] != "raytl" or part(found.target) == own:
            continue
        other = FLOORS.get(part(found.target), ROOF)
        if other > floor or (other == floor and own and floor > 0):
            lines.append(f"{module.where}:{found.line} (floor {floor}) imports {found.target} (floor {other})")
    return lines


def past_doors(module: Module) -> list[str]:
    """The imports of `module` that go past a vendor's door."""
    lines = []
    for found in imports(module, frozenset()):
        for vendor, doors in DOORS.items():
            is_one = f"{found.target}.".startswith(f"{vendor}.")
            if is_one and not any(fnmatch(module.where, door) for door in doors):
                lines.append(
                    f"{module.where}:{found.line} imports {found.target}; its door: {', '.join(doors) or 'none'}"
                )
    return lines


def sources() -> tuple[tuple[Module, ...], frozenset[str]]:
    """The modules of raytl, and their names."""
    found = modules("raytl")
    return found, frozenset(module.name for module in found)


def test_every_part_of_raytl_has_a_floor() -> None:
    found, _ = sources()
    parts = {part(module.name) for module in found} - {"", "__main__"}
    assert parts <= set(FLOORS), f"give {sorted(parts - set(FLOORS))} a floor in FLOORS"


def test_modules_import_only_from_floors_below() -> None:
    found, known = sources()
    lines = [line for module in found for line in misplaced(module, known)]
    assert not lines, "\n" + "\n".join(lines)


def test_vendors_are_imported_only_behind_their_doors() -> None:
    lines = [line for module in sources()[0] for line in past_doors(module)]
    assert not lines, "\n" + "\n".join(lines)


def test_no_imports_go_in_circles() -> None:
    found, known = sources()
    graph = {
        module.name: {i.target for i in imports(module, known) if i.target in known and not i.typing_only}
        - {module.name}
        for module in found
        if module.name != "raytl"  # lazy: it names what it offers, and nothing below imports from it
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports go in a circle: {' -> '.join(error.args[1])}", pytrace=False)


def test_nothing_inside_imports_the_public_face() -> None:
    found, known = sources()
    lines = [
        f"{module.where}:{i.line}"
        for module in found
        for i in imports(module, known)
        if i.target == "raytl" and part(module.name) != "cli"
    ]
    assert not lines, f"import from the submodule that defines it, not from raytl itself: {lines}"


def parse(root: Path, path: str, text: str) -> Module:
    """A module as if it lay at `path`."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return read(file, root)


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        ("raytl/config/schema.py", "from raytl.data.split import assign", True),
        ("raytl/data/split.py", "def f():\n    import raytl.models", True),
        ("raytl/data/split.py", "from ..doctor import checks", True),
        ("raytl/data/split.py", "from .shard import steps", False),
        ("raytl/training/loop.py", "from raytl.evaluation import report", True),
        ("raytl/training/loop.py", "from raytl.models.freeze import apply", False),
        ("raytl/world.py", "from raytl.errors import RaytlError", False),
        ("raytl/models/freeze.py", "from raytl import cli", True),
    ],
)
def test_an_import_of_a_peer_or_from_above_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, text: str, wrong: bool
) -> None:
    monkeypatch.setattr("tests.architecture.sources.REPO", tmp_path)
    known = frozenset({"raytl.cli", "raytl.doctor.checks", "raytl.data.shard", "raytl.tasks.classification.report"})
    assert bool(misplaced(parse(tmp_path, path, text), known)) is wrong


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        ("raytl/data/manifest.py", "import boto3", True),
        ("raytl/store/s3.py", "import boto3.session", False),
        ("raytl/data/loader.py", "from torchvision import models", True),
        ("raytl/data/transforms.py", "from torchvision.transforms import v2", False),
        ("raytl/training/loop.py", "import ray.train", True),
        ("raytl/training/loop.py", "import rayon", False),
        ("raytl/models/parallel.py", "from raytl.cluster import heartbeat", True),
        ("raytl/evaluation/worker.py", "from raytl.cluster.worker_group import run_group", True),
        ("raytl/evaluation/evaluate.py", "from raytl.cluster.worker_group import run_group", False),
    ],
)
def test_an_import_past_a_vendors_door_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, text: str, wrong: bool
) -> None:
    monkeypatch.setattr("tests.architecture.sources.REPO", tmp_path)
    assert bool(past_doors(parse(tmp_path, path, text))) is wrong
