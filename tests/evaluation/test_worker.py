from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from raytl.config.schema import StorageConfig
from raytl.data.samples import SAMPLE_FORMAT
from raytl.evaluation.worker import Shard, evaluated_split, score_shard
from raytl.events import ignore
from raytl.models.saved_model import read_card
from raytl.run import RunFolder, journal
from raytl.tasks.registry import task_named
from raytl.tasks.reporting import Occasion, Subject
from raytl.tasks.task import Rows
from raytl.world import World


def _shard(run: RunFolder) -> Shard:
    samples = tuple(sample for sample in journal.read(run.samples, SAMPLE_FORMAT) if sample.split == "test")
    card = read_card(run.best)
    return Shard(
        str(run.best),
        samples,
        card.classes,
        "cpu",
        "fp32",
        10**6,
        card.digest,
        str(run.root),
        "nowhere",
        StorageConfig(),
    )


def _worker(rank: int, size: int, shard: Shard, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet{size}", rank=rank, world_size=size)
    np.savez(Path(folder) / f"{size}-{rank}.npz", *score_shard(World(rank, size, rank), shard, ignore))
    dist.destroy_process_group()


def _rows(path: Path) -> Rows:
    with np.load(path) as arrays:
        return tuple(arrays[name] for name in arrays.files)


def _scores(shard: Shard, rows: Rows) -> str:
    occasion = Occasion(Subject("demo", "net", "test", "e", "d", 0), 1, (), 50, "")
    return repr(task_named("classification").reporting.report(occasion, evaluated_split(shard, rows)).overall)


def test_one_two_and_three_workers_give_identical_metrics_on_21_images(run: RunFolder, tmp_path: Path) -> None:
    shard = _shard(run)
    alone = score_shard(World.solo(), shard, ignore)
    expected = _scores(shard, alone)
    assert len(alone[0]) == 21
    for size in (2, 3):
        mp.start_processes(_worker, (size, shard, str(tmp_path)), nprocs=size, start_method="fork")
        for rank in range(size):
            found = _rows(tmp_path / f"{size}-{rank}.npz")
            np.testing.assert_array_equal(found[0], alone[0])
            assert _scores(shard, found) == expected


def test_rows_are_in_the_order_of_the_samples(run: RunFolder) -> None:
    shard = _shard(run)
    whole = score_shard(World.solo(), shard, ignore)
    turned = score_shard(World.solo(), dataclasses.replace(shard, samples=shard.samples[::-1]), ignore)
    np.testing.assert_allclose(turned[0][::-1], whole[0], rtol=1e-4, atol=1e-5)


def test_a_worker_that_has_not_this_model_takes_it_from_the_run(run: RunFolder, tmp_path: Path) -> None:
    shard = _shard(run)
    for elsewhere in (
        dataclasses.replace(shard, model_folder=str(tmp_path / "nowhere")),
        dataclasses.replace(shard, digest="old"),
    ):
        found = score_shard(World.solo(), elsewhere, ignore)
        np.testing.assert_array_equal(found[0], score_shard(World.solo(), shard, ignore)[0])
