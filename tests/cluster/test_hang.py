"""Who hangs in what is read from what the workers say of themselves."""

from __future__ import annotations

from raytl.cluster.hang import hang
from raytl.cluster.heartbeat import Heartbeat

COLLECTIVE = "all_reduce of the loss of epoch 2, step 7"


def heartbeat(
    rank: int, doing: str = COLLECTIVE, *, still_s: float = 61, silent_s: float = 1, line: str = ""
) -> Heartbeat:
    return Heartbeat(rank, f"10.0.0.{rank}", "n", 100 + rank, doing, doing == COLLECTIVE, still_s, line, silent_s)


def test_while_one_worker_gets_on_nobody_hangs() -> None:
    assert hang([heartbeat(0), heartbeat(1, "scoring batches", still_s=59, silent_s=0)], 2, 900, 60) is None
    assert hang([heartbeat(0)], 2, 30, 60) is None, "the other has not had the time to start"
    assert hang([], 2, 900, 60) is None, "they start"


def test_the_rank_that_holds_up_the_others_is_named_with_its_place_in_the_code() -> None:
    found = hang(
        [heartbeat(0), heartbeat(1, "reading the batch after epoch 2, step 6", line="loader.py:7"), heartbeat(2)],
        3,
        900,
        60,
    )
    assert found == (
        "no worker got on for 60 s: rank 1 (host 10.0.0.1, pid 101) is in reading the batch after epoch 2, step 6 "
        f"(loader.py:7) for 61 s; ranks 0, 2 wait in {COLLECTIVE}"
    )


def test_a_rank_that_fell_silent_is_named() -> None:
    found = hang([heartbeat(0), heartbeat(1, still_s=0, silent_s=61)], 2, 900, 60)
    assert found is not None
    assert "rank 1 (host 10.0.0.1, pid 101) has not been heard of for 61 s; it was in all_reduce" in found
    assert f"rank 0 waits in {COLLECTIVE}" in found


def test_a_rank_that_never_spoke_is_named() -> None:
    assert "rank 1 never said a word; rank 0 waits in" in str(hang([heartbeat(0)], 2, 61, 60))


def test_ranks_that_all_wait_point_at_the_network() -> None:
    assert "the network between them" in str(hang([heartbeat(0), heartbeat(1)], 2, 900, 60))
