"""The colors of the charts can be told apart in light and dark, and the SVG of a chart fits into any page."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import raytl.pages
from raytl.pages.figures import COLORS, PALETTE, dots, dress, inline, legend_above, log_ticks, magnitude, new_figure

CSS = (Path(raytl.pages.__file__).parent / "templates" / "page.css").read_text()
LIGHT, DARK = (dict(re.findall(r"--(\w+):(#\w+)", part)) for part in re.findall(r":root\{(.*?)\}", CSS, re.DOTALL))
SEEN: dict[str, list[list[float]]] = {
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
}
"""Linear RGB as color-blind people see it (Machado et al. 2009)."""


def linear(color: str) -> NDArray[np.float64]:
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    values = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    low, high = sorted(float(linear(each) @ (0.2126, 0.7152, 0.0722)) + 0.05 for each in (one, other))
    return high / low


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ rgb / [0.9505, 1.0, 1.089], 1e-4))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_marks_stand_out_from_the_page(colors: dict[str, str]) -> None:
    for ground in ("paper", "card"):
        for name in ("ink", "soft", "mark", "good", "bad", "warn"):
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)
    for color in (*COLORS, "#b3261e"):
        assert contrast(colors[PALETTE[color]], colors["paper"]) >= 3, color


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", list(SEEN))
def test_color_blind_readers_tell_the_colors_of_sweeps_and_versions_apart(colors: dict[str, str], sight: str) -> None:
    seen = {
        each: lab(np.clip(SEEN[sight] @ linear(colors[each]), 0, 1)) for each in ("blue", "orange", "slate", "green")
    }
    for one, other in (("blue", "orange"), ("blue", "slate"), ("orange", "slate"), ("orange", "green")):
        assert np.linalg.norm(seen[one] - seen[other]) >= 10, (one, other)


def test_every_color_of_charts_has_a_light_and_a_dark_value() -> None:
    assert {name: LIGHT[name].replace("#fff", "#ffffff")[:7] for name in PALETTE.values()} == {
        name: color for color, name in PALETTE.items()
    }
    assert DARK.keys() == LIGHT.keys()
    assert all(DARK[one] != LIGHT[one] for one in LIGHT)
    assert len({*COLORS}) == len(COLORS)
    assert all(one != other for one, other in combinations(PALETTE, 2))


def test_nothing_on_a_page_is_wider_than_a_phone() -> None:
    root = Path(raytl.pages.__file__).parents[1]
    for path in [*root.rglob("*.css"), *root.rglob("*.html.j2")]:
        assert all(
            int(px) <= 350 for px in re.findall(r"(?<!-)(?:min-)?width[:=]\"?(\d+)(?:px|\")", path.read_text())
        ), path


def test_a_chart_in_a_page_is_two_drawings_with_titles_page_colors_and_ids_of_their_own() -> None:
    def draw(width: float):  # type: ignore[no-untyped-def]
        figure = new_figure(width, 2)
        axes = figure.subplots()
        dots(axes, [1, 2], [0.123456, 0.5], COLORS[0], label="<b>&", tips=["<i>one", 'two "x"'])
        dress(axes, "", "epoch", "score (0 to 1)")
        legend_above(figure, axes)
        return figure

    text = inline("a", "Title <1>", "Blue: one & all", draw) + inline("b", "Title", "Blue", draw)
    assert re.findall(r'<svg class="(\w+)" viewBox="0 0 (\d+) ', text) == 2 * [("narrow", "292"), ("wide", "864")]
    assert text.count("<title id=") == text.count("<desc id=") == text.count('role="img"') == 4
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="|url\()#([^")]+)', text) + " ".join(re.findall(r'labelledby="([^"]*)"', text)).split()
    assert set(used) == set(ids)
    assert "var(--blue)" in text and "var(--ink)" in text
    assert not re.search(r"#[0-9a-f]{6}", text), "a color without a dark value"
    assert "<title>&lt;i&gt;one</title>" in text and "&lt;b&gt;&amp;" in text
    assert (
        "<b>" not in text
        and "<i>" not in text
        and "font-family" not in text
        and "http" not in text.replace("xlink", "")
    )


@pytest.mark.parametrize(("low", "high"), [(1e-4, 1e-2), (1e-4, 0.3), (1, 100), (0.9, 1.1), (5e3, 4e8), (0.05, 0.05)])
def test_ticks_of_a_logarithm_are_few_and_inside(low: float, high: float) -> None:
    ticks = log_ticks(low / 1.2, high * 1.2)
    assert 1 <= len(ticks) <= 4
    assert all(low / 1.21 <= tick <= high * 1.21 for tick in ticks)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0015, "0.0015"), (1000, "1 k"), (3.2e6, "3.2 M"), (5e9, "5 G"), (0, "0")]
)
def test_numbers_on_an_axis_are_short(value: float, text: str) -> None:
    assert magnitude(value) == text
