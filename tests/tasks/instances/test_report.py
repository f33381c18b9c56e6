from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raytl.data.targets import Instance, Instances
from raytl.tasks.instances.answer import Segments
from raytl.tasks.instances.report import KIND, report
from raytl.tasks.instances.scores import evidence
from raytl.tasks.reporting import Evaluated
from tests.tasks.instances.answers import nothing, segments
from tests.tasks.reports import occasion, photo, read_back, samples

NAMES = ("cat", "dog")


def evaluated() -> Evaluated:
    """Two images of the same three objects: all found, but the lowest score is too low; none found."""
    answer = segments()
    order = np.argsort(-answer.scores)
    ranked = Segments(
        answer.boxes[order],
        answer.scores[order],
        answer.labels[order],
        tuple(answer.counts[i] for i in order),
        answer.size,
    )
    objects = zip(answer.labels.tolist(), answer.counts, strict=True)
    truth = Instances(40, 30, tuple(Instance(NAMES[label], counts) for label, counts in objects))
    targets = [truth, truth]
    return Evaluated(samples(targets), targets, evidence([ranked, nothing()], targets), NAMES, 2)


def test_masks_and_boxes_are_scored_and_the_worst_images_named(tmp_path: Path) -> None:
    scored = report(occasion(tmp_path), evaluated())
    assert {"map", "box_map", "box_map_50"} <= set(scored.overall)
    assert [(each.key, each.note) for each in scored.worst] == [("1.jpg", "3 missed"), ("0.jpg", "1 missed")]
    assert "| box mAP 50 |" in scored.to_markdown()
    assert read_back(KIND, scored, tmp_path).to_json() == scored.to_json()


@pytest.mark.thorough
def test_all_pictures_are_drawn(tmp_path: Path) -> None:
    images = evaluated()
    scored = report(occasion(tmp_path), images)
    scored.draw(tmp_path / "out", images, photo)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(scored.pictures)
