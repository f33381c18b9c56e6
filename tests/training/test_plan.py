"""The errors of a plan before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from raytl.config.schema import Experiment
from raytl.config.stored import stored_experiment
from raytl.errors import ConfigError, ModelError, RunError, UserError
from raytl.labelling.change import TrainChange
from raytl.labelling.settings import settings_of
from raytl.models import probe
from raytl.run.folder import RunFolder
from raytl.training import driver
from raytl.training.driver import plan, train
from tests.conftest import MakePhotos
from tests.training.conftest import MakeExperiment


def test_problems_of_data_and_model_come_at_once(make_experiment: MakeExperiment, tmp_path: Path) -> None:
    experiment = make_experiment({"data.uri": str(tmp_path / "nowhere"), "model.name": "test_resnext_9"})
    with pytest.raises(UserError, match=r"(?s)test_resnext_9.*nowhere|nowhere.*test_resnext_9"):
        plan(experiment)


def test_more_workers_than_images_in_a_batch_are_refused(make_experiment: MakeExperiment) -> None:
    experiment = make_experiment({"compute.cluster": "local", "compute.workers": 8, "train.batch_size": 8}, per_class=5)
    with pytest.raises(ConfigError, match=r"batches of \d images .* are too small for compute.workers 8"):
        plan(experiment)


def test_an_unfreeze_depth_beyond_the_stages_lists_them(make_experiment: MakeExperiment) -> None:
    with pytest.raises(ModelError, match="(?s)found 99.*5 stages.*layer4.*stem"):
        plan(make_experiment({"transfer.unfreeze": 99}))


def test_a_warm_up_of_a_head_without_a_linear_layer_is_refused(
    make_experiment: MakeExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_is_linear", lambda _: False)
    with pytest.raises(ConfigError, match=r"found simclr, and the head of test_resnet .* set warmup.method to none"):
        plan(make_experiment({"warmup.method": "simclr", "transfer.fallback": "off"}, 5))


UNCOMPARED = {"fallback": "off"}
"""Transfer without a solved head to compare the run with, which takes longer than the run."""


def minimal(photos: Path, tmp_path: Path, **changes: Any) -> Experiment:
    """Three keys, and what makes it small: a network with weights that are as good as any."""
    torch.manual_seed(0)
    weights = tmp_path / "weights.safetensors"
    if not weights.exists():
        save_file(timm.create_model("test_resnet").state_dict(), weights)
    keys: dict[str, Any] = {
        "name": "minimal",
        "data": str(photos),
        "model": {"name": "test_resnet", "weights": str(weights), "preprocess": {"image_px": 32}},
        "compute": {"cluster": "none"},
        "storage": {"uri": str(tmp_path / "runs")},
    }
    return Experiment(**keys | changes)


def test_the_recipe_fills_what_is_not_set_and_says_why(make_photos: MakePhotos, tmp_path: Path) -> None:
    found = plan(minimal(make_photos(20), tmp_path, train={"batch_size": 12}))
    chosen = {choice.key: choice.value for choice in found.recipe}
    assert found.experiment.recipe == "none"
    assert (found.experiment.train.batch_size, "train.batch_size" in chosen) == (12, False)
    assert (chosen["transfer.unfreeze"], chosen["model.batch_norm"]) == ("all", "frozen")
    assert found.experiment.train.epochs == chosen["train.epochs"]
    depth = next(choice for choice in found.recipe if choice.key == "transfer.unfreeze")
    assert "of which frozen features tell" in depth.why


@pytest.mark.s3
@pytest.mark.parametrize(
    ("changes", "note"),
    [
        (
            {},
            "recipe: augment.hflip, augment.rotate90 are chosen after the download, from measured features of the images",
        ),
        (
            {"stream": True},
            "recipe: augment.hflip, augment.rotate90 keep their defaults, because images that stream are not measured",
        ),
    ],
)
def test_of_images_that_are_not_here_it_says_which_choices_wait_for_them(
    changes: dict[str, Any], note: str, make_photos: MakePhotos, tmp_path: Path, bucket: str, s3_client: Any
) -> None:
    photos = make_photos(6)
    for path in photos.rglob("*.jpg"):
        s3_client.upload_file(str(path), bucket, f"set/{path.relative_to(photos).as_posix()}")
    data, augment = {"uri": f"s3://{bucket}/set", **changes}, {"vflip": True}
    assert plan(minimal(photos, tmp_path, data=data, augment=augment), fetch=False).notes == (note,)
    assert plan(minimal(photos, tmp_path, data=data, recipe="none"), fetch=False).notes == ()
    assert plan(minimal(photos, tmp_path), fetch=False).notes == ()


def test_with_no_recipe_the_defaults_are_fixed(make_photos: MakePhotos, tmp_path: Path) -> None:
    found = plan(minimal(make_photos(20), tmp_path, recipe="none"))
    assert (found.recipe, found.experiment.train.batch_size, found.experiment.transfer.unfreeze) == ((), 64, 2)


def test_one_epoch_is_enough_to_ask_for(make_photos: MakePhotos, tmp_path: Path) -> None:
    for recipe in ("auto", "none"):
        found = plan(minimal(make_photos(20), tmp_path, recipe=recipe, train={"epochs": 1}))
        assert (found.experiment.train.epochs, found.experiment.transfer.head_first) == (1, 0)


def test_a_run_keeps_what_was_chosen_when_it_began(make_photos: MakePhotos, tmp_path: Path) -> None:
    experiment = minimal(make_photos(20), tmp_path, train={"epochs": 2}, transfer=UNCOMPARED)
    assert train(experiment).status == "trained"
    stored = stored_experiment(tmp_path / "runs" / "minimal" / "experiment.yaml").recipe
    assert stored.train.batch_size == 8
    assert train(experiment).status == "already finished"
    with pytest.raises(RunError, match=r"train.batch_size: 8 -> 9"):
        train(minimal(tmp_path / "photos", tmp_path, train={"epochs": 2, "batch_size": 9}, transfer=UNCOMPARED))
    record = tmp_path / "runs" / "minimal" / "recipe.json"
    assert '"train.batch_size"' in record.read_text()
    record.write_text(record.read_text().replace("train.batch_size", "storage.uri"))
    with pytest.raises(RunError, match="train.batch_size: 8 -> 64"):
        train(experiment)


def test_a_start_that_ends_before_its_first_checkpoint_loses_no_choice(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = minimal(make_photos(20), tmp_path, train={"epochs": 2}, transfer=UNCOMPARED)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(driver, "run_group", killed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                train(experiment)
            head = RunFolder.of(experiment).head  # of images that may have changed by the next start
            assert not head.exists()
            head.mkdir()
    assert train(experiment).status == "trained"
    assert train(experiment).status == "already finished"


def test_stages_that_gradual_unfreezing_does_not_reach_are_named(make_experiment: MakeExperiment) -> None:
    changes = {"train.epochs": 3, "transfer.head_first": 1, "transfer.gradual": True, "transfer.unfreeze": "all"}
    found = plan(make_experiment(changes))
    assert [part.rate is not None for part in found.stages].count(True) == 3  # the head and two stages
    assert "transfer.gradual: 2 of 5 stages are unfrozen within train.epochs (3); all are with 6 epochs or more" in (
        "\n".join(found.notes)
    )
    assert not [note for note in plan(make_experiment(changes | {"train.epochs": 6})).notes if "gradual" in note]


def test_batches_are_of_the_images_that_label_methods_leave(
    make_experiment: MakeExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make_experiment({"compute.cluster": "local", "compute.workers": 8, "train.batch_size": 64})
    keys = [sample.key for sample in plan(experiment).dataset.splits.train]
    change = TrainChange(left_out=frozenset(keys[9:]))
    monkeypatch.setattr("raytl.training.plan.planned_changes", lambda *_: {settings_of(experiment): change})
    with pytest.raises(ConfigError, match=r"batches of 9 images \(9 training images"):
        plan(experiment)


def test_no_step_has_fewer_images_than_the_workers_need(make_photos: MakePhotos, tmp_path: Path) -> None:
    compute = {"cluster": "local", "workers": 8}
    model = {"name": "test_resnet", "weights": "none", "preprocess": {"image_px": 32}}
    found = plan(minimal(make_photos(45), tmp_path, compute=compute, model=model))
    assert found.experiment.train.batch_size >= 16


@pytest.mark.parametrize(
    ("name", "device", "said"), [("novograd", "cuda", 1), ("novograd", "cpu", 0), ("lion", "cuda", 0)]
)
def test_an_optimizer_that_makes_the_host_wait_for_a_gpu_is_named(
    name: str, device: str, said: int, make_experiment: MakeExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.training.plan.pick_device", lambda _: torch.device(device))
    notes = plan(make_experiment({"optim.name": name, "train.precision": "fp32"})).notes
    assert len([note for note in notes if note.startswith(f"optim.name: {name} makes the host wait")]) == said
