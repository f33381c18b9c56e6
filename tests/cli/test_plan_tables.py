"""The plan's tables, where a real run does not reach."""

from __future__ import annotations

from rich.console import Console, RenderableType

from raytl.cli.plan_tables import augment_line, data_table, input_line, optimizer_line, score_facts
from raytl.config.schema import Experiment
from raytl.data.transforms import Preprocess

BASE = {"name": "a", "data": {"uri": "x"}, "model": {"name": "m"}}


def text(part: RenderableType) -> str:
    """A part of the output without colours."""
    console = Console(width=120, color_system=None)
    with console.capture() as captured:
        console.print(part)
    return captured.get()


def test_of_many_classes_the_largest_and_the_smallest_are_shown() -> None:
    counts = {"train": {f"c{i:03d}": i + 1 for i in range(100)}, "val": {"c099": 7}, "test": {"": 50}}
    shown = text(data_table(counts, "photos"))
    assert ["c099", "100", "7"] in [row.split() for row in shown.splitlines()]
    assert "… 80 more" in shown
    assert "c000" in shown
    assert "c050" not in shown
    assert "50 locked" in shown


def test_a_class_that_only_validation_has_is_counted() -> None:
    shown = [
        row.split() for row in text(data_table({"train": {"a": 3}, "val": {"b": 2}, "test": {}}, "p")).splitlines()
    ]
    assert ["b", "0", "2"] in shown
    assert ["2", "classes", "3", "2", "0", "locked"] in shown


def test_a_class_named_like_markup_stays_as_it_is() -> None:
    assert "[red]x[/red]" in text(data_table({"train": {"[red]x[/red]": 1}, "val": {}, "test": {"": 0}}, "p"))


def test_the_input_is_described_in_words() -> None:
    preprocess = Preprocess(224, 224, "squash", "bicubic", (0.5, 0.5, 0.5), (0.229, 0.224, 0.225))
    assert (
        input_line(preprocess)
        == "width and height to 224 px (bicubic), mean (0.5, 0.5, 0.5), std (0.229, 0.224, 0.225)"
    )


def test_the_objects_that_a_model_will_report_are_described() -> None:
    auto, number = (BASE | {"task": "detection"} | more for more in ({}, {"predict": {"score": 0.4}}))
    (chosen,) = score_facts(Experiment.model_validate(auto))
    assert chosen == ("objects", "reported from the score with the highest F1 on validation (predict.score: auto)")
    assert "from a score of 0.4 (" in score_facts(Experiment.model_validate(number))[0][1]
    assert score_facts(Experiment.model_validate(BASE)) == []


def test_active_transforms_are_listed() -> None:
    experiment = Experiment.model_validate(
        BASE
        | {
            "augment": {"strength": 1, "crop": False, "hflip": False, "rotation": False, "color": False, "mixup": 0.2},
            "optim": {"ema": 0.99, "warmup": 0},
            "train": {"label_smoothing": 0.1, "class_weights": "balanced", "sampler": "balanced"},
        }
    )
    assert augment_line(experiment) == "strength 1: mixup 0.2"
    assert optimizer_line(experiment) == (
        "adamw, cosine, weight decay 0.05; cross-entropy, label smoothing 0.1, class weights, balanced sampling, EMA 0.99"
    )
