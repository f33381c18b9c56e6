"""The sentences of a report on what was done to labels and domain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raytl.assessment.methods import MethodFacts, method_facts, method_sentences
from raytl.assessment.model_card import model_card
from raytl.assessment.page import page
from raytl.assessment.report import Assessment
from raytl.config.override import override
from raytl.config.schema import Experiment, Recipe
from raytl.errors import RunError
from raytl.metrics.intervals import Interval
from raytl.run.atomic import write_json
from raytl.run.folder import RunFolder
from raytl.run.ledger import LedgerEntry
from raytl.training.objectives.small_loss import LEFT_OUT
from tests.assessment.test_sections import validated
from tests.evaluation.test_evidence import CARD

BASE = {"name": "a", "data": {"uri": "photos.csv"}, "model": {"name": "m"}}
TARGET = {"adapt.target": "s3://bucket/new-camera/"}


def said(changes: dict[str, Any], **more: Any) -> list[str]:
    return list(method_sentences(MethodFacts(override(Experiment.model_validate(BASE), changes), **more)))


def test_an_ordinary_run_has_nothing_to_say() -> None:
    assert said({}) == []
    assert said({"labels.noise": "rank", "train.loss": "focal"}) == []


@pytest.mark.parametrize(
    ("changes", "more", "expected"),
    [
        ({"labels.columns": ["ann", "bob"]}, {}, "those of the columns ann, bob"),
        ({"labels.relabel": "fixes.csv"}, {"corrections": {"relabelled": 1204, "left_out": 1}}, "People corrected 1,204 labels and left out 1 image (labels.relabel)."),
        ({"labels.noise": "leave_out"}, {"changed": {"labels.noise: leave_out": 33}}, "33 images with doubtful labels were left out of training"),
        ({"few.method": "auto", "data.unlabelled": "all"}, {"changed": {"few.method: propagate": 120}}, "120 images were added to training with labels that a method gave them, not people (few.method: propagate)."),
        ({"few.method": "auto", "data.unlabelled": "all"}, {}, "few.method: auto added no images."),
        ({**TARGET, "adapt.method": "dann"}, {}, "drew the features of images without labels, s3://bucket/new-camera/, to those"),
        ({**TARGET, "adapt.style.probability": 0.3}, {}, "30 % of the labelled images of each step had the style of images of s3://bucket/new-camera/"),
        ({"data.synthetic.uri": "/home/ana/rendered", "data.synthetic.share": 0.25}, {}, "Made images with labels, rendered, were 25 % of each batch"),
        ({"warmup.method": "simclr", "warmup.epochs": 8}, {}, "trained without labels before (simclr, 8 epochs)."),
        ({"auxiliary.columns": ["camera"], "auxiliary.rotation": 0.1}, {}, "learned camera, quarter turns beside the labels."),
        ({"few.method": "fixmatch", "data.unlabelled": "s3://all/"}, {}, "from images without labels, s3://all/, by its own answers"),
        ({"train.loss": "small_loss"}, {"last_left_out": 57.0}, "(train.loss: small_loss; 57 images did not count in the last epoch)"),
    ],
)  # fmt: skip
def test_each_method_has_a_sentence(changes: dict[str, Any], more: dict[str, Any], expected: str) -> None:
    (sentence,) = said(changes, **more)
    assert expected in sentence


@pytest.mark.parametrize(
    ("applied", "expected"),
    [(1.0, "the network was adapted to images"), (0.0, "was not kept, as it is not better beyond chance")],
)
def test_adaptation_after_training_says_whether_it_was_kept(applied: float, expected: str) -> None:
    scores = {"adaptation/without_balanced_accuracy": 0.5, "adaptation/with_balanced_accuracy": 0.613}
    (sentence,) = said({**TARGET, "adapt.method": "adabn"}, metrics={"adaptation/applied": applied, **scores})
    assert expected in sentence and "balanced accuracy on validation is 50.0 % without and 61.3 % with it" in sentence
    (infinite,) = said(
        {**TARGET, "adapt.method": "adabn"}, metrics={"adaptation/applied": 0.0, "adaptation/finite": 0.0}
    )
    assert "did not stay finite" in infinite
    assert said({**TARGET, "adapt.method": "adabn"}) == [], "its outcome is not on record"


def test_what_changed_a_fine_tune_that_was_not_kept_is_not_claimed() -> None:
    changes = {"warmup.method": "simclr", "train.loss": "elr", "labels.relabel": "fixes.csv"}
    more: dict[str, Any] = {"corrections": {"relabelled": 2, "left_out": 0}}
    corrected, replaced = said(changes, metrics={"fallback/fine_tuned_fraction": 0.0}, **more)
    assert corrected.startswith("People corrected 2 labels")
    assert replaced == (
        "The model is the pretrained network with a solved head: warmup.method, train.loss changed the fine-tuning, "
        "which was not kept."
    )
    assert len(said(changes, metrics={"fallback/fine_tuned_fraction": 0.4}, **more)) == 3


def test_secrets_of_a_source_are_not_shown() -> None:
    """A fetched run may have them: the rules of an experiment refuse them."""
    data = {"uri": "photos.csv", "unlabelled": "s3://bucket/all/?X-Amz-Signature=0123456789abcdef"}
    recipe = Recipe.model_validate({**BASE, "data": data, "few": {"method": "fixmatch"}})
    (sentence,) = method_sentences(MethodFacts(recipe))
    assert "0123456789abcdef" not in sentence and "s3://bucket/all/" in sentence


def test_a_secret_is_masked_before_the_name_is_cut() -> None:
    data = {"uri": "photos.csv", "unlabelled": "https://user:hunter2secret@host"}
    (sentence,) = method_sentences(
        MethodFacts(Recipe.model_validate({**BASE, "data": data, "few": {"method": "fixmatch"}}))
    )
    assert "hunter2secret" not in sentence


def test_the_facts_are_those_of_the_files(tmp_path: Path) -> None:
    recipe = override(Experiment.model_validate(BASE), {"train.loss": "small_loss"})
    folder = RunFolder(tmp_path)
    assert method_facts(folder, recipe) == MethodFacts(recipe)
    write_json(folder.provenance, {"label_methods": {"few.method: pseudo": 7}, "corrections": {"relabelled": 3}})
    folder.metrics.write_text('{"epoch": 1, "train/left_out": 0}\n{"epoch": 2, "train/left_out": 9}\n')
    facts = method_facts(folder, recipe)
    assert (facts.changed, facts.corrections, facts.last_left_out) == ({"few.method: pseudo": 7}, {"relabelled": 3}, 9)
    assert LEFT_OUT == "train/left_out"
    write_json(folder.provenance, {"label_changes": {"left_out": 0, "added": 812, "digest": "0"}})
    assert not method_facts(folder, recipe).is_counted
    few = override(recipe, {"data.unlabelled": "all", "few.method": "propagate"})
    assert not any("added no images" in each for each in method_sentences(method_facts(folder, few))), "it may have"
    write_json(folder.provenance, {"label_methods": {"few.method: pseudo": -7}})
    with pytest.raises(RunError, match="label_methods"):
        method_facts(folder, recipe)


def test_the_card_and_the_page_have_the_section_only_if_there_is_something_to_say() -> None:
    look = LedgerEntry(1, "me", "2026-01-01T00:00:00+00:00", CARD.digest)
    scores = {"accuracy": Interval(0.9, 0.8, 0.95)}
    plain = Assessment("demo", CARD, look, False, {"test": 1}, scores, {}, "/nowhere")
    assert "Data and methods" not in model_card(plain) and "Data and methods" not in page(plain)
    told = replace(plain, methods=("Auxiliary heads learned <b>x|y</b>.",))
    assert "## Data and methods\n\n- Auxiliary heads learned \\<b\\>x\\|y\\</b\\>." in model_card(told)
    assert "<li>Auxiliary heads learned &lt;b&gt;x|y&lt;/b&gt;.</li>" in page(told)
    assert validated(told)["methods"] == ["Auxiliary heads learned <b>x|y</b>."]
