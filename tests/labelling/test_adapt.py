"""Images of the target join the training images with pseudo-labels; those of tests decide nothing."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from raytl.config.schema import Experiment
from raytl.data.bit_depth import SIXTEEN_BITS
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.sources import TARGET
from raytl.errors import ConfigError, DataError
from raytl.events import ignore
from raytl.labelling.adapt import adapt
from raytl.labelling.change import UNCHANGED, TrainChange
from raytl.labelling.changes import LabelInputs
from raytl.labelling.unlabelled import UnlabelledImages, read_source
from raytl.tasks.registry import task_named
from raytl.training.label_plan import unlabelled_images

CLASSES = ("a", "b", "c")


def samples(prefix: str, count: int, split: str, labelled: bool = True) -> list[Sample]:
    return [Sample(f"{prefix}{i}", "", CLASSES[i % 3] if labelled else None, split, f"{i:064x}") for i in range(count)]


def position(sample: Sample) -> int:
    return int(sample.digest, 16)


class Inputs(LabelInputs):
    """Inputs whose features are clusters by class; those of the target are turned a little."""

    def features(self, samples: Sequence[Sample]) -> Tensor:
        rows = []
        for sample in samples:
            i = position(sample)
            draw = np.random.default_rng([i, sample.key.startswith("adapt.target")]).normal(scale=0.3, size=8)
            rows.append(3 * np.eye(8)[i % 3] + 1.5 * sample.key.startswith("adapt.target") + draw)
        return torch.tensor(np.array(rows), dtype=torch.float32)


class NoNorm:
    """A network without BatchNorm."""

    name = "vit_tiny"
    module = torch.nn.Sequential(torch.nn.Linear(2, 2))


def inputs(target: Sequence[Sample] | None = None, **changes: Any) -> Inputs:
    found = UnlabelledImages(SampleTable.of(target or samples("adapt.target:", 60, "train", labelled=False)), "d")
    experiment = Experiment(name="t", data="x", model="mobilenetv2_100", adapt={"target": "y", "method": "centroids"})
    given = Inputs(
        experiment=experiment,
        task=task_named("classification"),
        backbone=NoNorm(),  # type: ignore[arg-type]
        train=samples("train/", 90, "train"),
        val=samples("val/", 30, "val"),
        classes=CLASSES,
        on_event=ignore,
        read_unlabelled=lambda: found,
        read_target=lambda: found,
    )
    return replace(given, **changes)


def test_target_images_join_with_the_class_of_the_nearest_centroid() -> None:
    change = adapt(inputs(), "centroids", UNCHANGED)
    assert len(change.added) == 60
    assert all(one.target == CLASSES[position(one) % 3] and one.split == "train" for one in change.added)
    assert {reason.by for reason in change.reasons.values()} == {"adapt.method: centroids"}
    assert "adapt.method centroids: 60 of 60 target images join the training images: a 20, b 20, c 20" in change.notes


def test_what_other_methods_changed_stays() -> None:
    other = Sample("data.unlabelled:1", "", "a", "train", "1" * 64)
    before = TrainChange(frozenset({"train/0"}), [other], ("first",))
    change = adapt(inputs(), "centroids", before)
    assert change.left_out == before.left_out and change.added[0] == other and change.notes[0] == "first"


def test_labels_of_the_target_decide_nothing() -> None:
    target = samples("adapt.target:", 60, "train", labelled=False)
    labelled = [replace(one, target=CLASSES[(i * 7) % 3]) for i, one in enumerate(target)]
    first, second = (adapt(inputs(given), "auto", UNCHANGED) for given in (target, labelled))
    assert first == second


def test_names_of_folders_decide_nothing() -> None:
    target = samples("adapt.target:", 60, "train", labelled=False)
    renamed = [replace(one, key=f"adapt.target:{CLASSES[(i * 7) % 3]}/{60 - i}") for i, one in enumerate(target)]
    first, second = (adapt(inputs(given), "centroids", UNCHANGED) for given in (target, renamed[::-1]))
    labels = [[(one.digest, one.target) for one in change.added] for change in (first, second)]
    assert labels[0] == labels[1]


def test_auto_is_none_without_a_shift_and_says_what_was_measured() -> None:
    change = adapt(inputs(), "auto", UNCHANGED)
    assert not change.added
    assert "adapt.method auto: none: no other method is better beyond chance" in change.notes[-1]


def test_a_network_without_batch_norm_has_no_statistics_to_replace() -> None:
    with pytest.raises(ConfigError, match=r"adapt.method: vit_tiny has no BatchNorm.*Set it to centroids"):
        adapt(inputs(), "adabn_centroids", UNCHANGED)


def texture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((48, 48), Image.Resampling.BICUBIC).save(path)
    return path


def read(target: Path, labelled: Sequence[Sample] = ()) -> UnlabelledImages:
    experiment = Experiment(
        name="t", data="x", model="mobilenetv2_100", adapt={"target": str(target), "method": "auto"}
    )
    return read_source(str(target), TARGET, experiment, labelled, has_test=True)


def test_images_below_test_are_not_used(tmp_path: Path) -> None:
    for i, name in enumerate(("train/a/1.png", "train/b/2.png", "3.png", "test/a/4.png", "test/b/5.png")):
        texture(tmp_path / name, i)
    found = read(tmp_path)
    expected = ["adapt.target:3.png", "adapt.target:train/a/1.png", "adapt.target:train/b/2.png"]
    assert [one.key for one in found.samples] == expected
    assert {one.target for one in found.samples} == {None}
    assert "adapt.target: 2 images of its test are not used" in found.notes


def test_its_test_is_found_as_that_of_labelled_data(tmp_path: Path) -> None:
    names = ("newcam/test/a/1.png", "Test/2.png", "testing/3.png", "seg_test/4.png", "latest/5.png", "train/a/6.png")
    for i, name in enumerate(names):
        texture(tmp_path / "x" / name, i)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for name in names:
            packed.write(tmp_path / "x" / name, name)
    for source in (tmp_path / "x", tmp_path / "x.zip"):
        assert [one.key for one in read(source).samples] == ["adapt.target:latest/5.png", "adapt.target:train/a/6.png"]


def test_rows_of_its_test_are_not_used(tmp_path: Path) -> None:
    for i in range(3):
        texture(tmp_path / f"my-test-bucket/{i}.png", i)
    shutil.copy(tmp_path / "my-test-bucket/0.png", tmp_path / "copy.png")
    rows = "".join(f"my-test-bucket/{i}.png,{'test' if i == 0 else ''}\n" for i in range(3))
    (tmp_path / "target.csv").write_text(f"path,split\n{rows}copy.png,train\n")
    found = read(tmp_path / "target.csv")
    assert [(one.key[-5:], one.split) for one in found.samples] == [("1.png", "train"), ("2.png", "train")]
    assert "adapt.target: 1 images of its test are not used" in found.notes


def test_its_test_does_not_come_in_as_unlabelled_images(tmp_path: Path) -> None:
    for i, name in enumerate(("new/test/a/1.png", "new/b/2.png", "3.png")):
        texture(tmp_path / name, i)
    experiment = Experiment(
        name="t",
        data={"uri": "x", "unlabelled": str(tmp_path)},
        model="mobilenetv2_100",
        adapt={"target": str(tmp_path / "new"), "method": "auto"},
    )
    backbone = SimpleNamespace(preprocess=None)
    dataset = SimpleNamespace(samples=[], depth=SimpleNamespace(depth=SIXTEEN_BITS))
    found = unlabelled_images(experiment, backbone, dataset, ignore)  # type: ignore[arg-type]
    assert [one.key for one in found.samples] == ["data.unlabelled:3.png", "data.unlabelled:new/b/2.png"]
    assert "'new/test/a/1.png' = 'adapt.target:test/a/1.png' (test of the source)" in "".join(found.notes)


@pytest.mark.parametrize("spoil", [lambda image: image.copy(), lambda image: image.resize((40, 40))])
def test_copies_of_its_test_images_are_left_out(tmp_path: Path, spoil: Callable[[Image.Image], Image.Image]) -> None:
    original = texture(tmp_path / "test/a/1.png", 1)
    texture(tmp_path / "train/2.png", 2)
    spoil(Image.open(original)).save(tmp_path / "a.png")
    found = read(tmp_path)
    assert [one.key for one in found.samples] == ["adapt.target:train/2.png"]
    assert "'adapt.target:test/a/1.png' (test of the source)" in "".join(found.notes)


def test_a_target_of_test_images_alone_is_an_error(tmp_path: Path) -> None:
    texture(tmp_path / "test/a/1.png", 1)
    with pytest.raises(DataError, match="no images beside its test"):
        read(tmp_path)


def test_an_empty_target_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"adapt.target: .*no images found"):
        read(tmp_path)


def test_a_target_that_is_the_source_is_an_error(tmp_path: Path) -> None:
    path = texture(tmp_path / "a/1.png", 1)
    own = Sample("a/1.png", str(path), "a", "train", hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(DataError, match=r"all 1 images are copies of labelled images"):
        read(tmp_path, [own])
