from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from raytl.metrics.segmentation import VOID
from raytl.tasks.colors import class_color
from raytl.tasks.drawing import Bools, draw_boxes, draw_classes, draw_masks, fitted, legend, with_names

ODD = ["plain", 'a "quoted"\nname', "ガラス", "x" * 300, "caf\udce9", "../..\u202e"]
NONE = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)


def gray(width: int, height: int, value: int = 128) -> Image.Image:
    return Image.new("RGB", (width, height), (value,) * 3)


def changed(drawn: Image.Image, value: int = 128) -> np.ndarray:
    """The pixels that are not the photo's, `(h, w)`."""
    return np.any(np.asarray(drawn) != value, axis=2)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((4000, 3000), (1600, 1200)), ((640, 480), (640, 480)), ((100, 50), (480, 240)), ((1, 9000), (1, 1600))],
)
def test_large_photos_are_reduced_and_small_ones_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fitted(gray(*size)).size == expected


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16"])
def test_photos_of_any_mode_are_drawn_and_stay_as_they_are(mode: str) -> None:
    photo = Image.new(mode, (500, 400))
    before = photo.tobytes()
    assert draw_boxes(photo, *NONE, ["a"]).mode == "RGB"
    assert photo.tobytes() == before


def test_a_box_is_outlined_in_the_color_of_its_class_at_its_edges() -> None:
    drawn = draw_boxes(gray(600, 500), np.array([[100, 50, 300, 250]], np.float32), np.array([3]), None, ["x"] * 4)
    assert drawn.getpixel((100, 150)) == drawn.getpixel((299, 150)) == drawn.getpixel((200, 249)) == class_color(3)
    assert drawn.getpixel((200, 150)) == (128, 128, 128)


def test_boxes_are_drawn_where_they_lie_on_a_reduced_photo() -> None:
    photo = np.zeros((3000, 4000, 3), np.uint8)
    photo[1000:2000, 1500:2500] = 255
    drawn = np.asarray(
        draw_boxes(Image.fromarray(photo), np.array([[1500, 1000, 2500, 2000]], np.float32), np.array([0]), None, [""])
    )
    colored = np.all(drawn == class_color(0), axis=2)
    rows, columns = np.flatnonzero(colored.any(axis=1)), np.flatnonzero(colored.any(axis=0))
    assert (columns[0], rows[0], columns[-1], rows[-1]) == pytest.approx((600, 400, 999, 799), abs=1)


@pytest.mark.parametrize(
    "box", [(10, 10, 11, 11), (0, 0, 0, 0), (599.5, 499.5, 600, 500), (-50, -50, 900, 900), (30.2, 30.7, 30.2, 90)]
)
def test_tiny_empty_and_overlapping_boxes_are_drawn(box: tuple[float, ...]) -> None:
    drawn = draw_boxes(gray(600, 500), np.array([box], np.float32), np.array([0]), np.array([0.5], np.float32), ["a"])
    assert drawn.size == (600, 500)
    assert changed(drawn).any()


@pytest.mark.parametrize("side", [1, 2, 7])
def test_photos_of_few_pixels_are_drawn(side: int) -> None:
    boxes, label = np.array([[0, 0, 1, 1]], np.float32), np.array([0])
    assert changed(draw_boxes(gray(side, 1), boxes, label, None, ["name"])).any()
    mask = np.ones((1, side), bool)
    assert changed(draw_masks(gray(side, 1), [mask], boxes, label, None, ["name"])).any()


def test_names_of_any_text_are_drawn_in_one_line() -> None:
    boxes = np.tile(np.array([[50, 50, 300, 300]], np.float32), (len(ODD), 1))
    drawn = draw_boxes(gray(900, 700), boxes, np.arange(len(ODD)), np.linspace(0, 1, len(ODD)).astype(np.float32), ODD)
    below_the_chips = changed(drawn)[310:]
    assert not below_the_chips.any()


def test_no_objects_leave_the_photo_as_it_is() -> None:
    assert not changed(draw_boxes(gray(600, 500), *NONE, ["a"])).any()
    assert not changed(draw_masks(gray(600, 500), [], *NONE, ["a"])).any()


def test_many_boxes_have_no_text_that_hides_the_photo() -> None:
    corners = np.array([[x, y, x + 8, y + 8] for x in range(0, 600, 12) for y in range(0, 500, 12)], np.float32)
    labels, scores = np.zeros(len(corners), np.int64), np.ones(len(corners), np.float32)
    drawn = draw_boxes(gray(600, 500), corners, labels, scores, ["a very long name", "b"])
    assert (~changed(drawn)).mean() > 0.3


def test_a_mask_is_filled_and_its_outline_has_the_color_of_the_class() -> None:
    mask = np.zeros((500, 600), bool)
    mask[100:200, 100:300] = True
    drawn = draw_masks(
        gray(600, 500), [mask], np.array([[100, 100, 300, 200]], np.float32), np.array([1]), None, ["a", "b"]
    )
    assert drawn.getpixel((101, 150)) == class_color(1)
    inside = np.array(drawn.getpixel((200, 150)))
    assert np.abs(inside - (0.58 * 128 + 0.42 * np.array(class_color(1)))).max() <= 1
    assert drawn.getpixel((400, 300)) == (128, 128, 128)


def test_masks_are_taken_one_at_a_time() -> None:
    alive: list[int] = []

    def masks() -> Iterator[Bools]:
        for i in range(3):
            alive.append(i)
            yield np.zeros((500, 600), bool)  # an empty mask too

    boxes = np.zeros((3, 4), np.float32)
    draw_masks(gray(600, 500), masks(), boxes, np.zeros(3, np.int64), None, ["a"])
    assert alive == [0, 1, 2]


def test_classes_are_tinted_background_is_not_and_void_is_dark() -> None:
    classes = np.zeros((500, 600), np.uint8)
    classes[:100], classes[200:300] = 1, VOID
    drawn = draw_classes(gray(600, 500), classes, ["Background", "road"])
    assert drawn.getpixel((50, 450)) == (128, 128, 128)
    assert max(drawn.getpixel((50, 250))) < 80  # type: ignore[arg-type, type-var]
    assert drawn.getpixel((50, 50)) == tuple(round(0.58 * 128 + 0.42 * each) for each in class_color(1))
    assert drawn.height > 500, "no legend"
    assert draw_classes(gray(600, 500), classes, ["background", "road"], with_legend=False).height == 500


def test_a_class_map_of_another_size_is_stretched_over_the_photo() -> None:
    drawn = draw_classes(gray(600, 500), np.array([[0, 1]], np.uint8), ["background", "a"], with_legend=False)
    assert drawn.getpixel((10, 10)) == (128, 128, 128)
    assert drawn.getpixel((590, 490)) != (128, 128, 128)


def test_a_legend_wraps_its_entries_to_the_width() -> None:
    one, many = (legend(gray(300, 100), range(count), [f"class {i}" for i in range(20)]) for count in (1, 20))
    assert one.width == many.width == 300
    assert many.height > one.height + 4 * 20


def test_the_classes_of_objects_are_named_below_the_picture_once_each() -> None:
    drawn = with_names(gray(600, 500), np.array([2, 0, 2]), ["a", "b", "c"])
    strip = np.asarray(drawn)[500:]
    assert [bool(np.all(strip == class_color(place), axis=2).any()) for place in range(3)] == [True, False, True]
    assert with_names(gray(600, 500), np.array([], np.int64), ["a"]).size == (600, 500)


@pytest.mark.parametrize(("place", "names"), [(0, ["background"]), (VOID, [f"class {i}" for i in range(256)])])
def test_objects_have_neither_a_background_nor_void(place: int, names: list[str]) -> None:
    strip = np.asarray(with_names(gray(600, 500), np.array([place]), names))[500:]
    assert np.all(strip == class_color(place), axis=2).any()
    assert not np.all(strip == (90, 90, 90), axis=2)[:, :25].any()
