"""The description of a hang names the worker at fault and its activity."""

from __future__ import annotations

from raytl.cluster.hang import describe_hang
from raytl.cluster.heartbeat import Heartbeat

COLLECTIVE = "all_reduce of the loss of epoch 2, step 7"


def heartbeat(
    rank: int, activity: str = COLLECTIVE, *, stalled_s: float = 61, age_s: float = 1, location: str = ""
) -> Heartbeat:
    return Heartbeat(
        rank, f"10.0.0.{rank}", "n", 100 + rank, activity, activity == COLLECTIVE, stalled_s, location, age_s
    )


def test_nothing_hangs_while_one_worker_makes_progress() -> None:
    assert describe_hang([heartbeat(0), heartbeat(1, "scoring batches", stalled_s=59, age_s=0)], 2, 900, 60) is None
    assert describe_hang([heartbeat(0)], 2, 30, 60) is None, "the other may still be starting"
    assert describe_hang([], 2, 900, 60) is None, "they are starting"


def test_the_rank_that_blocks_the_others_is_named_with_its_line_of_code() -> None:
    description = describe_hang(
        [heartbeat(0), heartbeat(1, "reading the batch after epoch 2, step 6", location="loader.py:7"), heartbeat(2)],
        3,
        900,
        60,
    )
    assert description == (
        "no worker made progress for 60 s: rank 1 (host 10.0.0.1, pid 101) has been in reading the batch after epoch 2, step 6 "
        f"(loader.py:7) for 61 s; ranks 0, 2 wait in {COLLECTIVE}"
    )


def test_a_rank_whose_heartbeats_stopped_is_named() -> None:
    description = describe_hang([heartbeat(0), heartbeat(1, stalled_s=0, age_s=61)], 2, 900, 60)
    assert description is not None
    assert "rank 1 (host 10.0.0.1, pid 101) has sent no heartbeat for 61 s; last activity: all_reduce" in description
    assert f"rank 0 waits in {COLLECTIVE}" in description


def test_a_rank_that_never_sent_a_heartbeat_is_named() -> None:
    assert "rank 1 never sent a heartbeat; rank 0 waits in" in str(describe_hang([heartbeat(0)], 2, 61, 60))


def test_ranks_that_all_wait_point_to_the_network() -> None:
    assert "the network between them" in str(describe_hang([heartbeat(0), heartbeat(1)], 2, 900, 60))
