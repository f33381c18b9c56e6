"""The bench of one GPU runs in full on the CPU, on a tiny network, and fails if a check does."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from experiments.bench import gpu, gpu_checks
from experiments.bench.gpu_runs import Case


@pytest.fixture(autouse=True)
def settings_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore what the bench sets for its own process."""
    monkeypatch.setenv("RAYTL_CACHE", "none")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.mark.thorough
def test_the_bench_runs_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--device", "cpu", "--tiny"]) == 0
    said = capsys.readouterr().out
    assert torch.__version__ in said and "all checks passed" in said
    assert said.count("ok: ") == len(gpu_checks.chosen("cpu")) == 4
    assert "| test_vit |" in said


def test_a_check_that_fails_does_not_hide_the_others_and_is_in_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(case: Case) -> str:
        raise gpu_checks.Failed("losses differ by 3 %")

    monkeypatch.setattr(gpu_checks, "chosen", lambda _: {"one": broken, "other": lambda _: "fine"})
    monkeypatch.setattr(gpu, "_measure", lambda *_: None)
    assert gpu.main(["--device", "cpu", "--tiny"]) == 1
    said = capsys.readouterr().out
    assert "FAILED: Failed: losses differ by 3 %" in said and "ok: fine" in said and "failed: one" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_how_to_run_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 1
    assert "--device cpu --tiny" in capsys.readouterr().err


def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pydantic" else real(name))
    assert gpu.main([]) == 1
    assert "pydantic cannot be imported" in capsys.readouterr().err
