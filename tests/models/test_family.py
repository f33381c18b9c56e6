"""The errors that both model libraries share."""

from __future__ import annotations

from raytl.models.family import near_misses, no_weights, refuses


def test_near_misses_are_listed_or_nothing_is_said() -> None:
    assert near_misses("adamv", ["adam", "adamw", "sgd"]) == "; did you mean adam or adamw?"
    assert near_misses("zzz", ["adam"]) == ""


def test_a_failure_without_text_is_told_by_its_class() -> None:
    assert "(TimeoutError: no details)" in str(no_weights("x", TimeoutError()))


def test_a_refusal_says_what_to_leave_out() -> None:
    assert str(refuses("x", TypeError("no drop_path_rate"))).endswith("no drop_path_rate. Leave the option out")
