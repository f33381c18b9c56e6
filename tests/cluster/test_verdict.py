from __future__ import annotations

import pickle

import pytest

from raytl.cluster.verdict import Again, Cause, Ended, GiveUp, is_bug, reason_of, verdict
from raytl.config.schema import ComputeConfig
from raytl.errors import NonFiniteLoss, RaytlError, WorkerFailed, WorkersLost

PEER = RuntimeError("[gloo] Connection closed by peer [10.0.0.1]:1234")


def ended(progress: int, cause: Cause = "failure", *errors: BaseException) -> Ended:
    return Ended(cause, "the worker died", progress, errors or (PEER,))


def given_up(*attempts: Ended, **budgets: int) -> RaytlError:
    decision = verdict(attempts, ComputeConfig.model_validate(budgets))
    assert isinstance(decision, GiveUp)
    return decision.error


def test_a_lost_worker_is_replaced_and_named_before_its_peers_complaints() -> None:
    assert verdict([ended(1)], ComputeConfig()) == Again("failure", "the worker died")
    assert reason_of([PEER, RuntimeError("The worker died\nof something")]) == "The worker died"


def test_an_error_meant_for_the_user_is_never_tried_again() -> None:
    error = NonFiniteLoss("the loss became nan")
    assert given_up(ended(0, "failure", PEER, error)) is error
    assert given_up(ended(0, "preemption", PEER, error)) is error


def test_a_bug_is_not_tried_again_and_says_what_it_is() -> None:
    error = given_up(ended(0, "failure", PEER, ZeroDivisionError("division by zero")))
    assert isinstance(error, WorkerFailed)
    assert "A worker failed with ZeroDivisionError: division by zero" in str(error)


@pytest.mark.parametrize(
    ("error", "bug"),
    [
        (PEER, False),
        (ConnectionResetError("reset"), False),
        (RuntimeError("NCCL error: remote process exited"), False),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), True),
        (KeyError("label"), True),
        (OSError(28, "No space left on device"), True),
    ],
)
def test_an_error_of_the_works_own_code_is_told_from_a_missed_peer(error: BaseException, bug: bool) -> None:
    assert is_bug(error) is bug


def test_failures_and_preemptions_have_budgets_of_their_own() -> None:
    attempts = [ended(1), ended(2, "preemption"), ended(3), ended(4, "preemption")]
    assert isinstance(verdict(attempts, ComputeConfig(max_failures=2, max_preemptions=2)), Again)
    assert "failed 2 time(s) and compute.max_preemptions allows 1" in str(given_up(*attempts, max_preemptions=1))
    error = given_up(*attempts, ended(5), max_failures=2)
    assert isinstance(error, WorkersLost)
    assert "failed 3 time(s) and compute.max_failures allows 2" in str(error)


def test_a_move_to_more_machines_costs_nothing() -> None:
    moves = [Ended("resize", "there is room for 4 workers", 0)] * 9
    assert isinstance(verdict(moves, ComputeConfig(max_failures=0, max_preemptions=0)), Again)


def test_the_same_failure_twice_at_one_place_is_the_last_but_machines_may_be_taken_twice() -> None:
    assert "the same failure came twice at the same place" in str(given_up(ended(5), ended(5), max_failures=9))
    assert isinstance(verdict([ended(5, "preemption"), ended(5, "preemption")], ComputeConfig()), Again)
    assert isinstance(verdict([ended(5), ended(6)], ComputeConfig()), Again)


def test_no_replacement_is_allowed_with_a_budget_of_none() -> None:
    assert isinstance(given_up(ended(1), max_failures=0), WorkersLost)


@pytest.mark.parametrize("errors", [(ZeroDivisionError("x"),), ()])
def test_checkpoints_are_spoken_of_only_where_there_are_some(errors: tuple[BaseException, ...]) -> None:
    before, after = (str(given_up(ended(at, "failure", *errors), max_failures=0)) for at in (0, 10**9))
    assert "checkpoint" not in before and before.endswith("Fix the cause and run the same command again.")
    assert after.endswith("run the same command again to resume; the checkpoints are intact.")


def test_the_errors_survive_pickling() -> None:
    for error in (given_up(ended(1), max_failures=0), given_up(ended(0, "failure", KeyError("x")))):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
