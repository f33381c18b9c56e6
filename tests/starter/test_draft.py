"""A draft is a file that reads back as its values, with the reasons as comments."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.config.load import experiment_of, load_experiment
from raytl.sanitize import printable
from raytl.starter import Choice, Draft

HEAD = (Choice("name", "a"), Choice("data.uri", "photos"), Choice("model.name", "m"))


def test_sections_are_nested_and_reasons_stand_above_their_keys() -> None:
    draft = Draft(
        (*HEAD, Choice("model.preprocess.image_px", 96, "Small."), Choice("data.stream", False, "Why not.")),
        ("A note.",),
    )
    assert draft.text() == (
        "# A note.\nname: a\ndata:\n  uri: photos\n  # Why not.\n  stream: false\n"
        "model:\n  name: m\n  preprocess:\n    # Small.\n    image_px: 96\n"
    )


def test_a_long_reason_is_wrapped() -> None:
    lines = Draft(HEAD, ("word " * 60,)).text().splitlines()
    assert all(len(line) <= 110 for line in lines)
    assert sum(line.startswith("# word") for line in lines) > 2


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "on",
            "1e3",
            "a: b",
            "a #b",
            "'quoted'",
            "ünïcode/",
            "{x}",
            "-x",
            "a\tb",
            "*a",
            "null",
            "a\n--- b\r",
            "a\x1b[2J",
        ),
        *("a\u202eb", "a\x85\u2028b", "\u200e\u061c\ufeff", "\x7f\x9b", "a\n\n# b: c", "%YAML", "\udcff"),
    ],
)
def test_any_name_reads_back_as_it_is(uri: str, tmp_path: Path) -> None:
    draft = Draft((Choice("name", "a"), Choice("data.uri", uri), Choice("model.name", "m")), ("line\nbreak\x1b[31m",))
    (tmp_path / "x.yaml").write_text(printable(draft.text()), encoding="utf-8")  # as a terminal shows it
    loaded = load_experiment(tmp_path / "x.yaml")
    assert loaded == experiment_of(draft.values(), "x")
    assert loaded.data.uri == uri
    assert "\x1b" not in draft.text()
