from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from raytl.assessment.model_card import model_card
from tests.assessment.conftest import MakeEvidence
from tests.assessment.test_sections import assessed


def test_the_metadata_is_yaml_and_the_tables_are_there(make_evidence: MakeEvidence) -> None:
    text = model_card(replace(assessed(make_evidence(40, 40, 40)), run='my "run": x'))
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["model-index"][0]["name"] == 'my "run": x'
    assert head["metrics"] == ["accuracy"]
    assert "## Prediction sets: which classes can it be?" in text


def test_the_hub_reads_the_card(make_evidence: MakeEvidence) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(model_card(assessed(make_evidence(40, 40, 40))))
    assert card.data.library_name == "raytl"
    assert card.data.eval_results[0].metric_value == 0.9
