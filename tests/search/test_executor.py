"""How the driver of a sweep shares a machine with its trials."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import ray

from raytl.errors import DataError
from raytl.search.executor import SUGGESTION, Trial, TrialExecutor, _Runner, _trial_actor, run_replicates
from raytl.search.plan import TrialShape
from raytl.search.protocol import Suggestion, TrialResult
from raytl.training.job import TrainJob
from tests.search.conftest import MakeSweep


@pytest.mark.parametrize(
    ("cluster", "gpus", "device"),
    [("local", 1.0, "cpu"), ("auto", 0.25, "cpu"), ("none", 1.0, "auto"), ("local", 0.0, "auto")],
)
def test_the_gpus_are_left_to_trials_that_run_meanwhile(
    cluster: str, gpus: float, device: str, make_sweep: MakeSweep
) -> None:
    sweep = TrainJob(make_sweep({"compute.device": "auto"}), "trials", (), (), ())
    executor = TrialExecutor(cluster, TrialShape(1, 2.0, gpus), limit=4)
    assert executor.beside_trials(sweep).experiment.compute.device == device
    assert sweep.experiment.compute.device == "auto"


@pytest.mark.parametrize(
    "loss", [ray.exceptions.OutOfMemoryError("killed to free memory"), ray.exceptions.ActorDiedError()]
)
@pytest.mark.parametrize(("losses", "status"), [(1, "complete"), (2, "failed")])
def test_a_replicate_whose_process_is_lost_is_restarted_and_then_fails(
    monkeypatch: pytest.MonkeyPatch, loss: Exception, losses: int, status: str
) -> None:
    outcomes: list[Any] = [loss] * losses + [[TrialResult("complete")]]

    def get(_: object) -> Any:
        if isinstance(outcome := outcomes.pop(0), Exception):
            raise outcome
        return outcome

    actor = SimpleNamespace(run=SimpleNamespace(remote=lambda _: object()))
    monkeypatch.setattr(ray, "remote", lambda **_: lambda _: SimpleNamespace(remote=lambda _: actor))
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "wait", lambda running, num_returns: (running[:num_returns], []))
    monkeypatch.setattr(ray, "get", get)
    executor = TrialExecutor("local", TrialShape(1, 1.0, 0.0), limit=1, max_failures=1)
    ((_, results),) = run_replicates([Suggestion(0, {})], lambda _: pytest.fail("not called"), executor)
    assert [result.status for result in results] == [status]
    assert status == "complete" or results[0].reason.startswith("its process was lost: ")


def test_a_trial_that_cannot_be_opened_fails_with_its_reason() -> None:
    """Tune would only report that its process was lost."""

    def opens_not(suggestion: Suggestion) -> Trial:
        raise DataError(f"bad.png: cut off, in trial {suggestion.number}")

    kind = _trial_actor()
    actor = kind.__new__(kind)
    actor.setup({SUGGESTION: Suggestion(3, {})}, opens_not)
    first = actor.step()
    assert actor.reset_config({SUGGESTION: Suggestion(4, {})})
    (result,) = _Runner(opens_not).run(Suggestion(5, {}))
    results = [first["result"], actor.step()["result"], result]
    assert first["done"] and {each.status for each in results} == {"failed"}
    assert [each.reason for each in results] == [f"bad.png: cut off, in trial {number}" for number in (3, 4, 5)]
    actor.cleanup()
