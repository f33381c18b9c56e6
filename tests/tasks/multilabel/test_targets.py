from __future__ import annotations

import numpy as np
import pytest

from raytl.data.manifest import Sample
from raytl.data.targets import Box, Boxes, Instance, Instances, Labels, Mask, Target
from raytl.errors import DataError
from raytl.tasks.multilabel.targets import LabelsEncoder, encode, label_names


def samples(*targets: Target) -> list[Sample]:
    return [Sample(f"{number}.jpg", f"/{number}.jpg", target) for number, target in enumerate(targets)]


def test_labels_are_1_0_and_minus_1_in_the_order_of_the_names() -> None:
    given = samples(Labels(("b", "a")), Labels((), ("b",)), Labels(()))
    assert encode(given, ("a", "b")).tolist() == [[1, 1], [0, -1], [0, 0]]


def test_names_are_sorted_and_include_those_that_are_unknown_somewhere() -> None:
    assert label_names(samples(Labels(("b",), ("a",)), Labels(("a",)), Labels(()))) == ("a", "b")


def test_the_classes_of_the_objects_of_an_image_are_its_labels() -> None:
    boxes = Boxes(9, 9, (Box("cat", 0, 0, 1, 1), Box("cat", 2, 2, 3, 3), Box("dog", 0, 0, 2, 2, crowd=True)))
    given = samples(boxes, Instances(9, 9, (Instance("dog", "1"),)), Boxes(9, 9, ()))
    assert encode(given, ("cat", "dog")).tolist() == [[1, 1], [0, 1], [0, 0]]


def test_a_name_outside_the_list_is_left_out() -> None:
    assert encode(samples(Labels(("new",), ("other",))), ("a",)).tolist() == [[0]]


def test_labels_without_a_present_or_an_absent_image_are_an_error_with_their_counts() -> None:
    given = samples(Labels(("always", "fine")), Labels(("always",), ("never",)))
    with pytest.raises(DataError, match=r"2 of 3 labels cannot be learned; expected for each label") as caught:
        label_names(given)
    assert "always: present in 2, absent in 0, unknown in 0" in str(caught.value)
    assert "never: present in 0, absent in 1, unknown in 1" in str(caught.value)


def test_a_label_with_the_mark_between_labels_is_an_error() -> None:
    with pytest.raises(
        DataError, match=r"contain '\|', which separates labels in tables: 1; expected none:\n  cat\|dog"
    ):
        label_names(samples(Labels(("cat|dog",)), Labels(("cat",)), Labels(())))


def test_no_label_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="no image has a label"):
        label_names(samples(Labels(()), Labels(())))


def test_images_with_another_target_are_listed() -> None:
    with pytest.raises(DataError, match=r"2 of 3 images have no labels") as caught:
        label_names(samples(Labels(("a",)), None, Mask("m.png", "/m.png", ())))
    assert "1.jpg: no label" in str(caught.value) and "2.jpg: Mask" in str(caught.value)


def test_a_batch_is_the_rows_of_its_samples() -> None:
    encoder = LabelsEncoder(np.array([[1, 0], [0, -1], [1, 1]], dtype=np.int8))
    rows = [encoder.view(i, None, None, (4, 4)) for i in (2, 1)]
    assert encoder.collate(rows).tolist() == [[1, 1], [0, -1]]
    assert encoder.truth(1).tolist() == [0, -1] and len(encoder) == 3
