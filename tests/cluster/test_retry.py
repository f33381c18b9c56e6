from __future__ import annotations

import pickle

import pytest
from ray.exceptions import OutOfMemoryError

from raytl.cluster.retry import Cause, EndedAttempt, GiveUp, Retry, decide, is_bug, reason_of
from raytl.config.schema import ComputeConfig
from raytl.errors import NonFiniteLoss, RaytlError, WorkerFailed, WorkersLost

PEER = RuntimeError("[gloo] Connection closed by peer [10.0.0.1]:1234")


def ended(progress: int, cause: Cause = "failure", *errors: BaseException) -> EndedAttempt:
    return EndedAttempt(cause, "the worker died", progress, errors or (PEER,))


def error_of(*attempts: EndedAttempt, **budgets: int) -> RaytlError:
    decision = decide(attempts, ComputeConfig.model_validate(budgets))
    assert isinstance(decision, GiveUp)
    return decision.error


def test_a_lost_worker_is_replaced_and_named_before_its_peers_errors() -> None:
    assert decide([ended(1)], ComputeConfig()) == Retry("failure", "the worker died")
    assert reason_of([PEER, RuntimeError("The worker died\nof something")]) == "The worker died"


def test_an_error_for_the_user_is_never_retried() -> None:
    error = NonFiniteLoss("the loss became nan")
    assert error_of(ended(0, "failure", PEER, error)) is error
    assert error_of(ended(0, "preemption", PEER, error)) is error


def test_a_bug_is_not_retried_and_its_exception_is_named() -> None:
    error = error_of(ended(0, "failure", PEER, ZeroDivisionError("division by zero")))
    assert isinstance(error, WorkerFailed)
    assert "A worker failed with ZeroDivisionError: division by zero" in str(error)


def test_too_little_memory_of_a_gpu_is_not_a_bug_but_an_error_with_advice() -> None:
    error = error_of(ended(0, "failure", PEER, RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")))
    assert not isinstance(error, WorkerFailed)
    assert "train.accumulate 2 or more" in str(error)


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
def test_bugs_are_distinguished_from_lost_peers(error: BaseException, bug: bool) -> None:
    assert is_bug(error) is bug


def test_failures_and_preemptions_have_budgets_of_their_own() -> None:
    attempts = [ended(1), ended(2, "preemption"), ended(3), ended(4, "preemption")]
    assert isinstance(decide(attempts, ComputeConfig(max_failures=2, max_preemptions=2)), Retry)
    assert "failed 2 time(s) and compute.max_preemptions allows 1" in str(error_of(*attempts, max_preemptions=1))
    error = error_of(*attempts, ended(5), max_failures=2)
    assert isinstance(error, WorkersLost)
    assert "failed 3 time(s) and compute.max_failures allows 2" in str(error)


def test_a_resize_counts_against_no_budget() -> None:
    moves = [EndedAttempt("resize", "there is room for 4 workers", 0)] * 9
    assert isinstance(decide(moves, ComputeConfig(max_failures=0, max_preemptions=0)), Retry)


def test_the_same_failure_twice_at_one_step_is_final_but_preemption_may_repeat() -> None:
    assert "the same failure occurred twice at the same step" in str(error_of(ended(5), ended(5), max_failures=9))
    assert isinstance(decide([ended(5, "preemption"), ended(5, "preemption")], ComputeConfig()), Retry)
    assert isinstance(decide([ended(5), ended(6)], ComputeConfig()), Retry)


def test_a_budget_of_zero_allows_no_restart() -> None:
    assert isinstance(error_of(ended(1), max_failures=0), WorkersLost)


def test_a_worker_that_ray_ended_for_memory_is_named_with_advice_before_its_peers() -> None:
    killed = OutOfMemoryError(
        "1 worker(s) were killed due to the node running low on memory.\nUsed 31 of 32 GB\nPID 1\nPID 2"
    )
    assert reason_of([PEER, killed]) == "1 worker(s) were killed due to the node running low on memory."
    text = str(error_of(ended(1, "failure", PEER, killed), max_failures=0))
    assert "Used 31 of 32 GB\n  Use fewer workers on a machine (compute.workers), fewer data.loader_workers" in text
    assert "PID" not in text


@pytest.mark.parametrize("errors", [(ZeroDivisionError("x"),), ()])
def test_checkpoints_are_mentioned_only_if_there_are_some(errors: tuple[BaseException, ...]) -> None:
    before, after = (str(error_of(ended(at, "failure", *errors), max_failures=0)) for at in (0, 10**9))
    assert "checkpoint" not in before and before.endswith("Fix the cause and run the same command again.")
    assert after.endswith("run the same command again to resume; the checkpoints are intact.")


def test_the_errors_survive_pickling() -> None:
    for error in (error_of(ended(1), max_failures=0), error_of(ended(0, "failure", KeyError("x")))):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
