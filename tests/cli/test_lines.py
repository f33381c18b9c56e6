"""Every event has a line that says what matters."""

from __future__ import annotations

import pytest

from raytl.cli.lines import line, rates
from raytl.events import EpochEnded, Event, Message, Restarted, Resumed, StageOpened, Step, Work

METRICS = {
    "train/loss": 0.8123,
    "train/images_per_s": 412.3,
    "train/seconds": 33.0,
    "val/seconds": 2.0,
    "val/accuracy": 0.8125,
    "val/balanced_accuracy": 0.801,
    "val/log_loss": 0.52,
}


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Message("hello"), "hello"),
        (Message("odd", "warning"), "warning: odd"),
        (Work("reading images", 1200, 1200), "reading images: 1,200 of 1,200 images"),
        (Work("checking files", 1, 1, "files"), "checking files: 1 of 1 file"),
        (Work("section groups", 1, 1, ""), "section groups: done"),
        (
            StageOpened(2, "head + 2", ("layer4",), {"head": 1e-3, "layer4": 1e-4, "layer3": 6e-5}, 310_600, 3_730_000),
            "from epoch 2: head + 2  310.6 k of 3.7 M parameters trainable, lr head 1e-3, stages 1e-4 … 6e-5",
        ),
        (
            Step(2, 12, 31, 60, 0.65, 412.3, {"head": 1e-3}, "head"),
            "epoch 2/12  step 31/60  412 images/s  loss 0.650  lr head 1e-3  [head]",
        ),
        (
            EpochEnded(3, 12, METRICS, True, 3),
            "epoch  3/12  loss 0.812  val accuracy 81.2 %  balanced 80.1 %  log loss 0.520  0:35  412 images/s  ★ best",
        ),
        (EpochEnded(4, 12, {"val/accuracy": 0.5}, False, 3), "epoch  4/12  val accuracy 50.0 %  (best: 3)"),
        (Resumed(5, 12), "resuming from the last checkpoint: epoch 5, step 13"),
        (Resumed(5, 0), "resuming from the last checkpoint: epoch 5"),
        (Restarted(1, "killed"), "workers lost (killed); restarting them, attempt 1"),
    ],
)
def test_an_event_is_one_line(event: Event, text: str) -> None:
    assert line(event).plain == text


def test_a_single_stage_is_named() -> None:
    assert rates({"head": 1e-3, "layer4": 1e-4}) == "head 1e-3, layer4 1e-4"
    assert rates({"layer4": 1e-4, "layer3": 5e-5}) == "stages 1e-4 … 5e-5"
