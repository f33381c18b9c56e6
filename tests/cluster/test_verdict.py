from __future__ import annotations

import pickle

from raytl.cluster.verdict import Failure, GiveUp, Retry, verdict
from raytl.errors import NonFiniteLoss, WorkersLost


def lost(progress: int) -> Failure:
    return Failure((RuntimeError("Connection reset by peer"), RuntimeError("The worker died")), progress)


def test_a_lost_worker_is_replaced_and_named_before_its_peers_complaints() -> None:
    assert verdict([lost(1)], budget=3) == Retry("The worker died")


def test_an_error_meant_for_the_user_is_never_retried() -> None:
    error = NonFiniteLoss("the loss became nan")
    decision = verdict([Failure((RuntimeError("peer closed"), error), 0)], budget=3)
    assert decision == GiveUp(error)


def test_the_budget_ends() -> None:
    decision = verdict([lost(1), lost(2), lost(3)], budget=2)
    assert isinstance(decision, GiveUp)
    assert isinstance(decision.error, WorkersLost)
    assert "failed 3 time(s) and compute.max_failures allows 2" in str(decision.error)


def test_the_same_failure_twice_at_one_place_is_a_bug() -> None:
    decision = verdict([lost(5), lost(5)], budget=9)
    assert isinstance(decision, GiveUp)
    assert "the same failure came twice at the same place" in str(decision.error)


def test_no_replacement_is_allowed_with_a_budget_of_none() -> None:
    assert isinstance(verdict([lost(1)], budget=0), GiveUp)


def test_the_errors_survive_pickling() -> None:
    decision = verdict([lost(1)], budget=0)
    assert isinstance(decision, GiveUp)
    assert str(pickle.loads(pickle.dumps(decision.error))) == str(decision.error)
