"""`raytl models`: list versions and move aliases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from raytl.registry.registry import Registry
from tests.cli.conftest import Raytl
from tests.registry.conftest import about
from tests.run.test_operating import operating_points, with_reference, write


@pytest.fixture
def registry(tmp_path: Path, raytl: Raytl) -> Registry:
    """Two versions below ./models/trash; the second is the champion."""
    found = Registry.open(str(tmp_path / "models" / "trash"))
    for number, (rate, classes) in enumerate(((1e-3, ("blue", "red")), (2e-3, ("amber", "blue", "red"))), start=1):
        folder = tmp_path / "made" / str(number)
        folder.mkdir(parents=True)
        (folder / "experiment.yaml").write_text(
            f"name: x\ndata: {{uri: x}}\nmodel: {{name: y}}\noptim: {{lr: {rate}}}\n"
        )
        metrics = {"accuracy": 0.9 + number / 100, "log_loss": None}
        found.publish(folder, about(classes=classes, metrics=metrics, parent=number - 1 or None))
        found.promote(number, found.state(), "me", f"reason {number}")
    return found


def test_the_list_has_the_versions_their_aliases_and_the_last_moves(raytl: Raytl, registry: Registry) -> None:
    done = raytl("models", "list", "./models/trash")
    assert done.code == 0
    assert [line.split()[:2] for line in done.out.splitlines() if line[:7].strip() in ("1", "2")] == [
        ["1", "previous"],
        ["2", "champion"],
    ]
    assert "champion 1 → 2, previous none → 1" in done.out
    listing = json.loads(raytl("models", "list", "./models/trash", "--json").out)
    assert listing["aliases"] == {"champion": 2, "previous": 1}


def test_unreadable_and_foreign_objects_are_listed(raytl: Raytl, registry: Registry, tmp_path: Path) -> None:
    versions = tmp_path / "models" / "trash" / "versions"
    (versions / "README.md").write_text("These are models.")
    (versions / "000001.json").write_text('{"number": 1}')
    done = raytl("models", "list", "./models/trash")
    assert (done.code, done.err) == (0, "")
    assert "champion 1 → 2, previous none → 1" in done.out
    words = " ".join(done.out.split())
    assert "versions/000001.json" in words
    assert "token: missing; expected a value" in words
    assert "ignored objects that are not part of a registry: versions/README.md" in words
    listing = json.loads(raytl("models", "list", "./models/trash", "--json").out)
    assert [each["number"] for each in listing["versions"]] == [2]
    assert ([each["key"] for each in listing["unreadable"]], listing["ignored"]) == (
        ["versions/000001.json"],
        ["versions/README.md"],
    )
    shown = raytl("models", "show", "./models/trash", "1")
    assert (shown.code, shown.out) == (2, "")
    assert "000001.json: token: missing; expected a value" in " ".join(shown.err.split())


def test_an_empty_registry_says_how_to_publish(raytl: Raytl) -> None:
    assert "no versions yet; publish one with `raytl retrain`" in raytl("models", "list", "./none").out


def test_a_version_is_shown_by_alias_or_number(raytl: Raytl, registry: Registry) -> None:
    assert "y; classes" not in raytl("models", "show", "./models/trash").out
    assert "resnet; classes: amber, blue, red" in raytl("models", "show", "./models/trash").out
    assert "resnet; classes: blue, red" in raytl("models", "show", "./models/trash", "previous").out
    done = raytl("models", "show", "./models/trash", "9")
    assert (done.code, done.out) == (2, "")
    assert "no version 9; the newest versions: 1, 2" in done.err


def test_a_calibrated_version_is_shown_with_its_temperature_and_what_that_changed(
    raytl: Raytl, tmp_path: Path, registry: Registry
) -> None:
    saved = tmp_path / "made" / "1" / "checkpoints" / "best"
    saved.mkdir(parents=True)
    (saved / "model.json").write_text(json.dumps({"model": "resnet", "temperature": 1.25}))
    before, after = {"uncalibrated_ece": 0.2, "uncalibrated_log_loss": 0.7}, {"ece": 0.05, "log_loss": 0.5}
    epochs = [{"epoch": 1, "calibration/temperature": 2.0}, {"epoch": 2, "calibration/temperature": 1.25}]
    epochs[1] |= {f"calibration/{name}": value for name, value in (before | after).items()}
    (tmp_path / "made" / "1" / "metrics.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
    registry.publish(tmp_path / "made" / "1", about())
    shown = " ".join(raytl("models", "show", "./models/trash", "3").out.split())
    assert (
        "calibration temperature 1.250: log loss 0.700 -> 0.500, calibration error 20.0 % -> 5.0 % (validation)"
        in shown
    )
    result = json.loads(raytl("models", "show", "./models/trash", "3", "--json").out)
    assert result["calibration"] == {"temperature": 1.25, **before, **after}
    (tmp_path / "made" / "1" / "metrics.jsonl").write_text("{\n")
    registry.publish(tmp_path / "made" / "1", about())
    damaged = raytl("models", "show", "./models/trash", "4")
    assert damaged.code == 0 and "calibration temperature 1.250 " in " ".join(damaged.out.split())
    assert "the scores of the calibration are left out: " in damaged.err
    (tmp_path / "made" / "1" / "metrics.jsonl").unlink()
    registry.publish(tmp_path / "made" / "1", about())
    assert "calibration temperature 1.250 " in " ".join(raytl("models", "show", "./models/trash", "5").out.split())
    assert "calibration" not in raytl("models", "show", "./models/trash", "2").out


def test_diff_lists_the_differences_of_two_versions(raytl: Raytl, registry: Registry) -> None:
    done = raytl("models", "diff", "./models/trash", "previous", "champion")
    assert "optim.lr: 0.001 -> 0.002" in done.out
    assert ["new", "classes", "amber"] in [line.split() for line in done.out.splitlines()]
    assert ["accuracy", "91.0", "%", "92.0", "%"] in [line.split() for line in done.out.splitlines()]


def test_a_rollback_and_a_promotion_say_why(raytl: Raytl, registry: Registry) -> None:
    done = raytl("models", "rollback", "./models/trash", "--why", "misses wet cardboard")
    assert "champion 2 → 1, previous 1 → 2" in done.out
    assert raytl("models", "promote", "./models/trash", "2", "--alias", "canary").code == 0
    assert registry.state().aliases == {"canary": 2, "champion": 1, "previous": 2}
    assert [move.why for move in registry.history()] == ["reason 1", "reason 2", "misses wet cardboard", "by hand"]
    assert raytl("models", "promote", "./models/trash", "2", "--alias", "7").code == 2


def test_gc_shows_what_it_would_remove(raytl: Raytl, registry: Registry, tmp_path: Path) -> None:
    for _ in range(2):
        registry.publish(tmp_path / "made" / "1", about())
    planned = json.loads(raytl("models", "gc", "./models/trash", "--keep", "1", "--dry-run", "--json").out)
    assert planned["removed"] == [3]
    assert registry.numbers() == [1, 2, 3, 4]
    done = raytl("models", "gc", "./models/trash", "--keep", "1")
    assert ["removed", "3"] in [line.split() for line in done.out.splitlines()]
    assert registry.numbers() == [1, 2, 4]


def test_gc_keeps_as_many_versions_as_the_command_line_sets(raytl: Raytl, registry: Registry, tmp_path: Path) -> None:
    for _ in range(3):
        registry.publish(tmp_path / "made" / "1", about())
    (tmp_path / "e.yaml").write_text(
        "name: x\ndata: {uri: x}\nmodel: {name: y}\nretrain: {registry: ./models/trash, keep: 1}\n"
    )
    planned = json.loads(raytl("models", "gc", "e.yaml", "--dry-run", "--json").out)
    assert planned["removed"] == [3, 4]
    assert raytl("models", "gc", "e.yaml", "--set", "retrain.keep=3").code == 0
    assert registry.numbers() == [1, 2, 3, 4, 5]


def test_a_registry_can_be_named_by_its_experiment_or_below_a_root(
    raytl: Raytl, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "e.yaml").write_text("name: x\ndata: {uri: x}\nmodel: {name: y}\nretrain: {registry: ./models/trash}\n")
    (tmp_path / "n.yaml").write_text("name: x\ndata: {uri: x}\nmodel: {name: y}\n")
    monkeypatch.setenv("RAYTL_REGISTRY", "./models")
    for place in ("e.yaml", "trash"):
        assert raytl("models", "show", place).code == 0
    done = raytl("models", "show", "n.yaml")
    assert done.code == 2
    assert "retrain.registry is not set" in done.err


def test_the_operating_points_of_a_version_are_shown_and_damaged_ones_are_left_out(
    raytl: Raytl, tmp_path: Path, registry: Registry
) -> None:
    made = tmp_path / "made" / "1"
    points, content = with_reference(operating_points("0" * 64), np.ones((4, 2), np.float16), 0.25)
    file = write(made / "evaluation", points, content) / "operating.json"
    registry.publish(made, about())
    shown = " ".join(raytl("models", "show", "./models/trash", "3").out.split())
    assert "95 % right of what is answered: from confidence 0.5 on (100.0 % on test)" in shown
    assert "recall of at least 90 % for 2 of 2 classes" in shown
    assert "90 %: at least 0.5, 95 %: all classes" in shown and "above distance 0.250 of 4 images" in shown
    result = json.loads(raytl("models", "show", "./models/trash", "3", "--json").out)["operating"]
    assert result["aims"][0] == {"at_least": 0.95, "recall_of": None, "threshold": 0.5, "met": True}
    later = tmp_path / "models" / "trash" / "reports" / "000003" / "evaluation" / "report"
    later.mkdir(parents=True)
    (later / "operating.json").write_text(file.read_text().replace('"look": 1', '"look": 2'))
    assert json.loads(raytl("models", "show", "./models/trash", "3", "--json").out)["operating"]["look"] == 2
    (later / "operating.json").write_text("{}")
    damaged = raytl("models", "show", "./models/trash", "3")
    assert damaged.code == 0 and "on test" not in damaged.out
    assert "the operating points are left out: " in damaged.err
    assert json.loads(raytl("models", "show", "./models/trash", "2", "--json").out)["operating"] is None
