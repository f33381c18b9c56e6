"""One look for all charts, as PNG files and as SVG in pages: sizes, colors, axes, legends.

A page shows a chart as two drawings of the same data, one for phones and one for wide windows, so that text keeps its size;
CSS shows one of them, and gives the colors of `PALETTE` their dark values (`page.css`). Figures use their own canvas: no
window, no global pyplot state, safe in any thread or worker.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from raytl.pages import Html
from raytl.sanitize import one_line, redacted

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE, PAPER = "#1f2328", "#57606a", "#d8dee4", "#ffffff"
BLUE, ORANGE, GREEN, PURPLE, OCHRE, RED, SLATE = (
    "#0072b2", "#c44e00", "#00805e", "#a84a97", "#8a6200", "#b3261e", "#6b7681",
)  # fmt: skip
COLORS = (BLUE, ORANGE, GREEN, PURPLE, OCHRE, SLATE)
"""Colors of series, in this order: on white each has a contrast of at least 3, and color-blind readers can tell them apart
(after Okabe and Ito 2008, darker). No chart relies on them alone: markers and line styles differ as well."""
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Markers of series, in the order of `COLORS`."""
PALETTE = {
    INK: "ink", SOFT: "soft", LINE: "line", PAPER: "paper", BLUE: "blue", ORANGE: "orange", GREEN: "green",
    PURPLE: "purple", OCHRE: "ochre", RED: "red", SLATE: "slate",
}  # fmt: skip
"""The CSS variable of each color, without `--`."""
NARROW_IN, WIDE_IN = 4.05, 12.0
"""The widths of the two drawings of a page: 10 pt text becomes 12 px in a window of 390 and of 1,080 px."""
_DPI = 110
_TIP = "tip "
_MAX_TIPS = 200
"""Maximum number of points of a series that each have a tooltip; more points are one artist."""
Draw = Callable[[float], "Figure"]
"""A chart: returns its figure for a width in inches."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` by `height` inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(h_pad=0.08)  # type: ignore[union-attr, call-arg]
    return figure


def dress(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Give the axes the grid and colors of all charts, a title and the titles of both axes, with their units.

    Without a title, that of the vertical axis is written above it: a low panel has no room for a long one beside it.
    """
    axes.set_title(title or y, color=INK, loc="left", fontsize=11 if title else 9)
    axes.set_xlabel(x, color=INK, fontsize=10)
    axes.set_ylabel(y if title else "", color=INK, fontsize=10)
    axes.tick_params(colors=SOFT, labelcolor=INK, labelsize=9)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(SOFT)


def legend_above(figure: Figure, axes: Axes | Sequence[Axes]) -> None:
    """Explain the labeled series of the axes in rows above them, outside of the data; each label once."""
    entries: dict[str, Any] = {}
    for each in axes if isinstance(axes, Sequence) else (axes,):
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        columns = int(figure.get_figwidth() * 72 / (36 + 6 * max(map(len, entries))))
        figure.legend(
            entries.values(), entries.keys(), loc="outside upper left", ncols=max(1, min(columns, len(entries))),
            frameon=False, fontsize=9, labelcolor=INK, borderaxespad=0.1,
        )  # fmt: skip


def dots(
    axes: Axes, xs: Sequence[Any], ys: Sequence[float], color: str, marker: str = "o", label: str = "",
    tips: Sequence[str] = (), **style: Any,
) -> None:  # fmt: skip
    """Draw points, each with its tooltip if there are few."""
    drawn: dict[str, Any] = {"linestyle": "", "markersize": 6, "color": color, "marker": marker} | style
    if tips and len(tips) <= _MAX_TIPS:
        for i, (x, y, text) in enumerate(zip(xs, ys, tips, strict=True)):
            tip(axes.plot([x], [y], label=label if i == 0 else "", **drawn)[0], text)
    elif len(xs):
        axes.plot(xs, ys, label=label, **drawn)


def tip(artist: Artist, text: str) -> None:
    """Give the artist a tooltip in pages."""
    artist.set_gid(_TIP + one_line(redacted(text), 200))


def whole_numbers(axes: Axes) -> None:
    """Put the ticks of the horizontal axis on whole numbers, as many as fit."""
    from matplotlib.ticker import MaxNLocator

    figure: Any = axes.get_figure(root=True)
    bins = 10 if figure.get_figwidth() > 6 else 6
    axes.xaxis.set_major_locator(MaxNLocator(bins, integer=True, min_n_ticks=1))


def log_ticks(low: float, high: float, limit: int = 4) -> list[float]:
    """Return at most `limit` round numbers from `low` to `high`, evenly spread in the logarithm."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= limit:
            return ticks
    return ticks[:: math.ceil(len(ticks) / limit)]


def log_axis(axes: Axes, low: float, high: float, limit: int = 4) -> None:
    """Make the horizontal axis logarithmic from `low` to `high`, both above 0, with few ticks that do not touch."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    margin = (high / low) ** 0.06 if high > low else 1.5
    axes.set_xscale("log")
    axes.set_xlim(low / margin, high * margin)
    axes.xaxis.set_major_locator(FixedLocator(log_ticks(low / margin, high * margin, limit)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: magnitude(value)))


def magnitude(value: float) -> str:
    """Return a number in few characters: 0.0015, 3.2 M, 5e-05."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g}"


def chart_text(name: str, length: int, tail: bool = False) -> str:
    """Return the name in one line of at limit `length` characters, for matplotlib; see `one_line`."""
    return one_line(redacted(name), length, tail).replace("$", r"\$")  # not a formula: a class name may be "$5 or $10"


def small() -> dict[str, Any]:
    """Return the style of a note below a picture."""
    return {"fontsize": 8, "color": SOFT}


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    canvas: Any = figure.canvas
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # the font may lack the script of a class name; boxes are drawn instead
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.print_png(buffer)  # the same pixels as savefig, which lays out and draws a figure twice
    return buffer.getvalue()


def inline(name: str, title: str, description: str, draw: Draw) -> Html:
    """Return the chart for a page that includes `page.css`; `name` is unique in the page, letters and dashes.

    `description` says what the chart shows and what its colors mean: it stands below the chart and is read by screen readers.
    """
    drawings = "".join(
        _svg(draw(width), f"{name}-{kind}", kind, title, description)
        for kind, width in (("narrow", NARROW_IN), ("wide", WIDE_IN))
    )
    return Html(f'<figure class="chart">{drawings}<figcaption>{escape(description)}</figcaption></figure>')


def _svg(figure: Figure, name: str, kind: str, title: str, description: str) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    width, height = (72 * size for size in figure.get_size_inches())
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>'
        f"{_slimmed(buffer.getvalue(), name)}</svg>"
    )


def _slimmed(text: str, name: str) -> str:
    """Return what is inside matplotlib's `<svg>`, with the page's font and colors, and ids that are unique in the page."""
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    body = re.sub(r"(?s)<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body)
    body = re.sub(rf'<g id="{_TIP}([^"]*)">', r"<g><title>\1</title>", body)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", body)
    body = re.sub(r'((?:href="|url\()#)', rf"\1{name}-", body)
    body = re.sub(r" font-family: [^;\"]*;", "", body)
    body = re.sub(r'(?<= )(?:d|x|y|transform)="[^"]*"', lambda match: re.sub(r"(\.\d\d)\d+", r"\1", match[0]), body)
    body = re.sub("|".join(PALETTE), lambda match: f"var(--{PALETTE[match[0]]})", body)
    return re.sub(r">\s+<", "><", re.sub(r"\s*\n", " ", body))
