from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from raytl.config.schema import StorageConfig
from raytl.data.samples import SAMPLE_FORMAT
from raytl.evaluation.worker import Scored, Shard, score_shard
from raytl.events import ignore
from raytl.metrics.intervals import bootstrap
from raytl.models.bundle import read_card
from raytl.run import RunFolder, journal
from raytl.world import World


def _shard(run: RunFolder) -> Shard:
    samples = tuple(sample for sample in journal.read(run.samples, SAMPLE_FORMAT) if sample.split == "test")
    digest = read_card(run.best).digest
    return Shard(str(run.best), samples, "cpu", "fp32", 10**6, digest, str(run.root), "nowhere", StorageConfig())


def _worker(rank: int, size: int, shard: Shard, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet{size}", rank=rank, world_size=size)
    found = score_shard(World(rank, size, rank), shard, ignore)
    np.savez(Path(folder) / f"{size}-{rank}.npz", **dataclasses.asdict(found))
    dist.destroy_process_group()


def _scored(path: Path) -> Scored:
    with np.load(path) as arrays:
        return Scored(arrays["targets"], arrays["probabilities"])


def test_one_two_and_three_workers_give_identical_metrics_on_21_images(run: RunFolder, tmp_path: Path) -> None:
    shard = _shard(run)
    alone = score_shard(World.solo(), shard, ignore)
    expected = bootstrap(alone.targets, alone.probabilities, resamples=50)
    assert len(alone.targets) == 21
    for size in (2, 3):
        mp.start_processes(_worker, (size, shard, str(tmp_path)), nprocs=size, start_method="fork")
        for rank in range(size):
            found = _scored(tmp_path / f"{size}-{rank}.npz")
            np.testing.assert_array_equal(found.probabilities, alone.probabilities)
            assert repr(bootstrap(found.targets, found.probabilities, resamples=50)) == repr(expected)


def test_rows_are_in_the_order_of_the_samples(run: RunFolder) -> None:
    shard = _shard(run)
    whole = score_shard(World.solo(), shard, ignore)
    turned = score_shard(World.solo(), dataclasses.replace(shard, samples=shard.samples[::-1]), ignore)
    np.testing.assert_allclose(turned.probabilities[::-1], whole.probabilities, rtol=1e-4, atol=1e-6)
    assert turned.targets[::-1].tolist() == whole.targets.tolist()


def test_a_worker_that_has_not_this_model_takes_it_from_the_run(run: RunFolder, tmp_path: Path) -> None:
    shard = _shard(run)
    for elsewhere in (
        dataclasses.replace(shard, bundle=str(tmp_path / "nowhere")),
        dataclasses.replace(shard, digest="old"),
    ):
        found = score_shard(World.solo(), elsewhere, ignore)
        np.testing.assert_array_equal(found.probabilities, score_shard(World.solo(), shard, ignore).probabilities)
