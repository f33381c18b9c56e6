"""First suggestions lie near the experiment's values, three of four."""

from __future__ import annotations

import math

from raytl.config.space import Condition, Dimension, Space
from raytl.search.near import FACTOR, nearby

SPACE = Space(
    (
        Dimension("transfer.unfreeze", "int", 0, 8),
        Dimension("transfer.lr_decay", "float", 0.3, 1.0, when=Condition("transfer.unfreeze", ">", 1.0)),
        Dimension("optim.lr", "log", 1e-4, 1e-2),
        Dimension("augment.strength", "choice", choices=(0, 0.25, 0.5, 0.75, 1)),
        Dimension("optim.name", "choice", choices=("adamw", "sgd", "lamb")),
    )
)
CENTER = {
    "transfer.unfreeze": 8, "transfer.lr_decay": 0.8, "optim.lr": 1e-3, "augment.strength": 0.25, "optim.name": "sgd",
}  # fmt: skip
NEAR = [nearby(SPACE, {}, CENTER, 4 * draw, draw) for draw in range(400)]
UNIFORM = [nearby(SPACE, {}, CENTER, 4 * draw + 3, draw) for draw in range(400)]


def test_every_draw_is_a_point_of_the_space() -> None:
    assert not [point for point in (*NEAR, *UNIFORM) if SPACE.fault(point, {})]


def test_near_draws_keep_to_the_center() -> None:
    assert {point["transfer.unfreeze"] for point in NEAR} == {6, 7, 8}
    assert {point["augment.strength"] for point in NEAR} == {0, 0.25, 0.5}
    assert all(0.8 - 0.175 <= point["transfer.lr_decay"] <= 0.975 for point in NEAR)
    within = sum(1 / FACTOR <= point["optim.lr"] / 1e-3 <= FACTOR for point in NEAR) / len(NEAR)
    assert 0.65 < within < 0.78  # the part of a normal distribution within a standard deviation, cut off at two


def test_words_have_no_neighbors() -> None:
    assert {point["optim.name"] for point in NEAR} == {"adamw", "sgd", "lamb"}


def test_one_draw_in_four_is_from_the_whole_space() -> None:
    assert {point["transfer.unfreeze"] for point in UNIFORM} == set(range(9))
    assert {point["augment.strength"] for point in UNIFORM} == {0, 0.25, 0.5, 0.75, 1}
    low = sum(math.log10(point["optim.lr"]) < -3.5 for point in UNIFORM) / len(UNIFORM)
    assert 0.19 < low < 0.31


def test_a_draw_follows_from_its_seed() -> None:
    assert nearby(SPACE, {}, CENTER, 20, 5) == NEAR[5] != nearby(SPACE, {}, CENTER, 20, 6)


def test_a_key_without_a_center_is_drawn_from_its_whole_dimension() -> None:
    drawn = {nearby(SPACE, {}, {}, 0, seed)["transfer.unfreeze"] for seed in range(200)}
    assert drawn == set(range(9))
