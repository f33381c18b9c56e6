from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raytl.assessment import fine_tuned
from raytl.assessment.fine_tuned import weighted
from raytl.assessment.report import report
from raytl.config.dump import to_yaml
from raytl.config.load import load_experiment
from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import ModelError, UserError
from raytl.events import Recorder, Work
from raytl.run import RunFolder
from raytl.run.atomic import write_text
from raytl.training.job import TrainJob


@pytest.fixture
def trained(grouped: RunFolder, monkeypatch: pytest.MonkeyPatch) -> list[TrainJob]:
    """Replace training by a copy of the run's network; return the jobs."""
    jobs: list[TrainJob] = []

    def train_here(job: TrainJob, on_event: Any) -> RunFolder:
        jobs.append(job)
        folder = RunFolder(Path(job.location))
        shutil.copytree(grouped.best, folder.best)
        return folder

    monkeypatch.setattr(fine_tuned, "train_here", train_here)
    return jobs


def _splits(job: TrainJob) -> Iterator[str | None]:
    return (sample.split for sample in [*job.train, *job.val])


def test_full_trains_two_networks_a_group_without_test_images_and_continues_where_it_was_interrupted(
    grouped: RunFolder, trained: list[TrainJob], monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    copy: Any = vars(fine_tuned)["train_here"]

    def interrupted(job: TrainJob, on_event: Any) -> RunFolder:
        if len(trained) == 3:
            raise KeyboardInterrupt
        folder: RunFolder = copy(job, on_event)
        return folder

    monkeypatch.setattr(fine_tuned, "train_here", interrupted)
    with pytest.raises(KeyboardInterrupt):
        report(grouped.root, sections=["groups"], full=True)
    assert not (grouped.evaluation / "report").exists()
    monkeypatch.setattr(fine_tuned, "train_here", copy)
    watcher = Recorder()
    result = report(grouped.root, sections=["groups"], full=True, on_event=watcher)
    assert len(trained) == 4 and all("test" not in _splits(job) for job in trained)
    sites = [{dict(sample.columns)["site"] for sample in [*job.train, *job.val]} for job in trained]
    assert sites == [{"s1"}, {"s0", "s1"}, {"s0"}, {"s0", "s1"}] or sites == [
        {"s0"},
        {"s0", "s1"},
        {"s1"},
        {"s0", "s1"},
    ]
    (first, *_) = result.sections["groups"].json["gaps"]
    assert (first["measured_on"], first["column"], first["gap"]["value"]) == ("fine-tuned networks", "site", 0)
    assert not list((own_cache / "left-out").iterdir()), "finished networks are deleted"
    assert Work("section groups", 1, 1, "") in watcher.events
    again = report(grouped.root, sections=["groups"]).to_json()
    assert len(trained) == 4 and again["sections"] == result.to_json()["sections"]


@pytest.mark.thorough
def test_damaged_answers_are_computed_again(grouped: RunFolder, trained: list[TrainJob]) -> None:
    report(grouped.root, sections=["groups"], full=True)
    stored = sorted((grouped.evaluation / "left-out").iterdir())
    damages = (b"{", json.dumps({"answers": ["red"]}).encode(), stored[2].read_bytes().replace(b'"red"', b'"mauve"'))
    for path, content in zip(stored, damages, strict=False):
        path.write_bytes(content)
    report(grouped.root, sections=["groups"], full=True)
    assert len(trained) == 7


def test_full_where_it_cannot_take_effect_is_an_error_before_the_test_split_is_asked_for(run: RunFolder) -> None:
    with pytest.raises(UserError, match="--full: .* --quick"):
        report(run.root, full=True, quick=True)
    for sections in (None, ["sets"], ["groups"]):
        with pytest.raises(UserError, match="--full: this report leaves out no groups; .* data.columns"):
            report(run.root, sections=sections, full=True)


@pytest.mark.thorough
def test_groups_that_cannot_be_left_out_are_an_error(grouped: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tuned, "left_out", lambda *_: None)
    with pytest.raises(UserError, match="--full: no groups of site can be left out; expected two or more"):
        report(grouped.root, sections=["groups"], full=True)


@pytest.mark.thorough
def test_an_address_that_a_run_names_is_not_read(grouped: RunFolder, trained: list[TrainJob]) -> None:
    experiment = load_experiment(grouped.experiment)
    write_text(grouped.experiment, to_yaml(override(experiment, {"model.weights": "s3://elsewhere/net.safetensors"})))
    grouped.write_manifest({"epochs": 1})
    watcher = Recorder()
    report(grouped.root, sections=["groups"], on_event=watcher)
    assert any("reads no other address" in getattr(event, "text", "") for event in watcher.events)
    with pytest.raises(
        ModelError, match="started from s3://elsewhere/net.safetensors; expected weights on this machine"
    ):
        report(grouped.root, sections=["groups"], full=True)


@pytest.mark.thorough
def test_networks_are_trained_for_real(grouped: RunFolder) -> None:
    result = report(grouped.root, sections=["groups"], full=True).sections["groups"]
    assert result.sentences[0].startswith("site, fine-tuned networks: ")
    assert len(list((grouped.evaluation / "left-out").iterdir())) == 4


def test_weights_of_classes_that_a_network_lacks_are_left_out() -> None:
    given = Experiment.model_validate(
        {"name": "x", "data": {"uri": "x"}, "model": {"name": "x"}, "train": {"class_weights": {"Zoë": 2.0, "b": 3.0}}}
    )
    assert weighted(given, ("Zoë", "a")).train.class_weights == {"Zoë": 2.0}
    assert weighted(given, ("a",)).train.class_weights == "none"
    balanced = override(given, {"train.class_weights": "balanced"})
    assert weighted(balanced, ("a",)) is balanced
