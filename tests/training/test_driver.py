from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from raytl.config.override import override
from raytl.data.bit_depth import BitDepth
from raytl.errors import ConfigError, DataError, ModelError, NonFiniteLoss, RunError, UserError
from raytl.events import EpochEnded, Event, Message, Recorder, Resumed, StageOpened, Step
from raytl.models.card import read_card
from raytl.run import journal
from raytl.run.folder import RunFolder
from raytl.training import steps
from raytl.training.driver import plan, train
from tests.conftest import write_deep_photos
from tests.training.conftest import Interrupt, MakeExperiment


@pytest.fixture(autouse=True)
def every_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_EVENT_EVERY_S", 0.0)


def records(folder: RunFolder) -> list[dict[str, Any]]:
    """The run's metrics without those that are clocks."""
    clocks = re.compile("seconds|images_per_s")
    return [{k: v for k, v in record.items() if not clocks.search(k)} for record in journal.read(folder.metrics)]


def test_a_run_is_a_folder_with_all_that_it_takes_to_use_it_and_to_make_it_again(
    make_experiment: MakeExperiment,
) -> None:
    experiment = make_experiment()
    result = train(experiment)
    folder = RunFolder.open(result.run)
    assert result.status == "trained"
    assert result.epochs == 3
    assert folder.finished
    assert folder.verify() == []
    names = {path.relative_to(folder.root).as_posix() for path in folder.root.rglob("*") if path.is_file()}
    assert {
        "experiment.yaml", "provenance.json", "samples.jsonl", "skipped.jsonl", "classes.json", "metrics.jsonl",
        "curves.png", "confusion.png", "manifest.json", "checkpoints/best/model.safetensors",
        "checkpoints/best/model.json", "checkpoints/last/model.safetensors", "checkpoints/last/state.json",
    } <= names  # fmt: skip
    assert not list(folder.root.glob("checkpoints/.*"))
    assert any((folder.tensorboard).iterdir())
    record = json.loads(folder.provenance.read_text())
    assert len(record["dataset"]) == 64
    assert record["test"]["count"] > 0
    assert set(result.metrics) == {"val/accuracy", "val/balanced_accuracy", "val/macro_f1", "val/log_loss"}


def test_a_finished_run_says_so_and_does_nothing(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment()
    first = train(experiment)
    before = RunFolder.open(first.run).manifest.stat().st_mtime_ns
    watcher = Recorder()
    again = train(experiment, on_event=watcher)
    assert again.status == "already finished"
    assert again.metrics == first.metrics
    assert watcher.events == []
    assert RunFolder.open(first.run).manifest.stat().st_mtime_ns == before


def test_new_starts_over_and_keeps_the_old_run_aside(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment({"train.epochs": 1, "transfer.head_first": 0})
    train(experiment)
    again = train(experiment, new=True)
    assert again.status == "trained"
    assert RunFolder.open(f"{again.run}.old-1").finished


def test_another_experiment_in_the_same_folder_is_refused_with_what_differs(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment({"train.epochs": 1, "transfer.head_first": 0})
    train(experiment)
    with pytest.raises(RunError, match=r"optim.lr: 0.02 -> 0.5\n.*--new"):
        train(override(experiment, {"optim.lr": 0.5}))


@pytest.mark.parametrize(("at", "every_s"), [((1, 2), 300.0), ((2, 3), 300.0), ((2, 3), 1e-9), ((3, 1), 1e-9)], ids=str)
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"optim.ema": 0.8, "augment.mixup": 0.4, "model.dropout": 0.3, "transfer.gradual": True},
    ],
    ids=["plain", "all at once"],
)
def test_an_interrupted_run_continues_to_the_same_bits(
    make_experiment: MakeExperiment, at: tuple[int, int], every_s: float, extra: dict[str, Any]
) -> None:
    whole = make_experiment({"name": "whole", "train.checkpoint_every_s": every_s, **extra})
    broken = override(whole, {"name": "broken"})
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, on_event=Interrupt(*at))
    watcher = Recorder()
    result = train(broken, on_event=watcher)
    expected = "trained" if at[0] == 1 and every_s > 1 else "resumed"
    assert result.status == expected
    resumed = [event for event in watcher.events if isinstance(event, Resumed)]
    if expected == "resumed":
        assert [(event.epoch, event.step) for event in resumed] == [(at[0], at[1] - 1 if every_s < 1 else 0)]
    assert records(RunFolder.of(broken)) == records(RunFolder.of(whole))
    one, other = (load_file(RunFolder.of(e).best / "model.safetensors") for e in (whole, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_training_never_reads_the_test_split(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment({"train.epochs": 1, "transfer.head_first": 0})
    made = plan(experiment)
    seen = {s.path for s in (*made.dataset.splits.train, *made.dataset.splits.val)}
    test = [Path(s.path) for s in made.dataset.samples if s.path not in seen]
    assert len(test) == made.dataset.splits.test.count > 0

    class Burn:
        """Takes the test images away as soon as training begins."""

        def __call__(self, event: Event) -> None:
            if isinstance(event, StageOpened):
                for path in test:
                    path.unlink()

    assert train(experiment, on_event=Burn()).status == "trained"


def test_early_stopping_waits_for_the_last_stage_and_restores_the_best(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment(
        {"train.epochs": 12, "train.early_stop": 2, "optim.lr": 1e-9, "transfer.head_first": 3}
    )
    result = train(experiment)
    assert 5 <= result.epochs < 12
    score = json.loads((RunFolder.of(experiment).best / "validation.json").read_text())
    assert score["epoch"] == result.best_epoch


def test_a_loss_that_is_not_finite_stops_at_once_and_says_what_to_do(make_experiment: MakeExperiment) -> None:
    with pytest.raises(NonFiniteLoss, match=r"loss became .*\n  Lower optim.lr"):
        train(make_experiment({"optim.lr": 1e30, "optim.name": "sgd", "optim.clip_norm": None, "optim.warmup": 0}))


def test_stages_open_in_turn_with_their_rates(make_experiment: MakeExperiment) -> None:
    watcher = Recorder()
    train(make_experiment({"transfer.gradual": True, "train.epochs": 3}), on_event=watcher)
    opened = [event for event in watcher.events if isinstance(event, StageOpened)]
    assert [event.learning for event in opened] == [
        ("head",), ("head", "layer4"), ("head", "layer4", "layer3"),
    ]  # fmt: skip
    assert opened[2].rates == pytest.approx({"head": 0.02, "layer4": 0.002, "layer3": 0.0012})
    assert [event.trainable for event in opened] == sorted(event.trainable for event in opened)


def test_accumulation_takes_the_same_steps_as_the_whole_batch(make_experiment: MakeExperiment) -> None:
    # a network without BatchNorm: its statistics are those of what is computed together
    common = {"model.name": "test_vit", "train.epochs": 2, "augment.strength": 0.0, "model.preprocess.image_px": None}
    losses = []
    for accumulate in (1, 4):
        watcher = Recorder()
        train(
            make_experiment({**common, "name": f"a{accumulate}", "train.accumulate": accumulate}, per_class=8),
            on_event=watcher,
        )
        losses.append([e.metrics["train/loss"] for e in watcher.events if isinstance(e, EpochEnded)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_problems_of_data_and_model_come_at_once(make_experiment: MakeExperiment, tmp_path: Path) -> None:
    experiment = make_experiment({"data.uri": str(tmp_path / "nowhere"), "model.name": "test_resnext_9"})
    with pytest.raises(UserError, match=r"(?s)test_resnext_9.*nowhere|nowhere.*test_resnext_9"):
        plan(experiment)


def test_a_broken_image_is_refused_or_skipped_and_listed(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment({"train.epochs": 1, "transfer.head_first": 0})
    broken = Path(experiment.data.uri) / "red" / "zz broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not an image")
    with pytest.raises(DataError, match=r"zz broken\.jpg"):
        train(experiment)
    assert not RunFolder.of(experiment).root.exists()
    watcher = Recorder()
    train(override(experiment, {"data.on_bad_image": "skip"}), on_event=watcher)
    skipped = journal.read(RunFolder.of(experiment).skipped)
    assert [record["key"] for record in skipped] == ["red/zz broken.jpg"]
    assert any("zz broken.jpg" in event.text for event in watcher.events if isinstance(event, Message))


def test_data_that_changed_under_an_interrupted_run_is_noticed(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment()
    with pytest.raises(KeyboardInterrupt):
        train(experiment, on_event=Interrupt(2, 1))
    victim = next((Path(experiment.data.uri) / "red").iterdir())
    (victim.parent / "copy of it.jpg").write_bytes(victim.read_bytes() + b"\0")
    with pytest.raises(RunError, match="the dataset changed since this run began .*\n.*--new"):
        train(experiment)


def test_the_bit_depth_is_recorded_in_the_run_and_its_model(make_experiment: MakeExperiment, tmp_path: Path) -> None:
    root = write_deep_photos(tmp_path / "scans", 12, per_class=8)
    experiment = make_experiment({"data.uri": str(root), "train.epochs": 2, "transfer.unfreeze": 0})
    with pytest.raises(KeyboardInterrupt):
        train(experiment, on_event=Interrupt(2, 1))
    folder = RunFolder.of(experiment)
    record = json.loads(folder.provenance.read_text())
    assert record["bit_depth"] == 12
    assert read_card(folder.best).preprocess.bit_depth == BitDepth(12)
    folder.provenance.write_text(json.dumps({key: value for key, value in record.items() if key != "bit_depth"}))
    with pytest.raises(RunError, match="began with a bit depth of 16; expected 12 .largest value 4095.*--new"):
        train(experiment)


def test_more_workers_than_images_in_a_batch_are_refused(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment({"compute.cluster": "local", "compute.workers": 8, "train.batch_size": 8}, per_class=5)
    with pytest.raises(ConfigError, match=r"batches of \d images .* cannot be shared by compute.workers 8"):
        plan(experiment)


def test_an_unfreeze_depth_beyond_the_stages_lists_them(make_experiment: MakeExperiment) -> None:
    with pytest.raises(ModelError, match="(?s)99 stages.*layer4.*stem"):
        plan(make_experiment({"transfer.unfreeze": 99}))


def test_two_trainings_in_one_folder_exclude_each_other(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment()

    class TryAgain:
        said = ""

        def __call__(self, event: Event) -> None:
            if isinstance(event, Step) and not self.said:
                with pytest.raises(RunError, match="another raytl .* is training in this folder") as caught:
                    train(experiment)
                self.said = str(caught.value)

    watcher = TryAgain()
    train(experiment, on_event=watcher)
    assert "pid" in watcher.said


@pytest.mark.parametrize(
    "changes",
    [
        {"train.loss": "focal", "train.class_weights": "balanced"},
        {"train.sampler": "balanced", "train.label_smoothing": 0.1, "augment.cutmix": 1.0},
        {"optim.name": "sgd", "optim.schedule": "onecycle", "optim.lr": 0.05},
        {"optim.name": "lamb", "optim.schedule": "restarts", "optim.restart_every": 1},
        {"transfer.unfreeze": "all", "train.precision": "bf16", "augment.erasing": 0.3, "augment.blur": True},
        {"transfer.unfreeze": 0},
        {"data.cache": "on", "data.loader_workers": 1},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_every_option_trains_and_learns(make_experiment: MakeExperiment, changes: dict[str, Any]) -> None:
    watcher = Recorder()
    train(make_experiment({"train.deterministic": False, **changes}), on_event=watcher)
    losses = [event.metrics["train/loss"] for event in watcher.events if isinstance(event, EpochEnded)]
    assert losses[-1] < losses[0]


def test_a_solved_head_starts_training_where_a_linear_probe_ends(make_experiment: MakeExperiment) -> None:
    """The first epoch of a run that starts from a solved head is better than that of one that starts at zero."""
    changes = {"train.epochs": 1, "transfer.unfreeze": 0, "optim.lr": 1e-5, "optim.warmup": 0, "train.seed": 3}
    first = {
        start: train(make_experiment({**changes, "name": start, "transfer.head_start": start})).metrics["val/log_loss"]
        for start in ("zero", "solved")
    }
    assert first["solved"] < first["zero"]
