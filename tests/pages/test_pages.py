"""Pages escape every value and redact its secrets; only what a template declares safe is inserted as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment, UndefinedError

from raytl import pages

HOSTILE = """<script>"x" & 'y'</script>"""


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Render a template's text as a page would be."""

    def made(text: str, **values: object) -> str:
        environment: Environment = pages._environment("raytl.retraining.page").overlay(loader=DictLoader({"x": text}))
        return environment.get_template("x").render(values)

    return made


def test_a_value_is_escaped_in_text_and_in_attributes(page: Callable[..., str]) -> None:
    escaped = "&lt;script&gt;&#34;x&#34; &amp; &#39;y&#39;&lt;/script&gt;"
    assert page('<p title="{{ v }}">{{ v }}</p>', v=HOSTILE) == f'<p title="{escaped}">{escaped}</p>'
    assert page("{{ v | join(', ') }}", v=[HOSTILE, "b"]) == f"{escaped}, b"


def test_a_secret_is_redacted_and_markup_declared_safe_is_kept(page: Callable[..., str]) -> None:
    assert page("{{ v }}", v="https://me:secret@host/<a>") == "https://me:***@host/&lt;a&gt;"
    assert page("{{ v | safe }}", v="<b>x</b>") == "<b>x</b>"
    assert page("{{ v }}", v=["https://me:secret@host/\x1b"]) == "[&#39;https://me:***@host/\\x1b&#39;]"
    assert page("{{ v }}{{ 'x' if no }}", v=1.5, no=False) == "1.5"


def test_a_table_is_escaped_and_its_numbers_are_flush_right(page: Callable[..., str]) -> None:
    macros = (Path(pages.__file__).parent / "templates" / "tables.html.j2").read_text()
    text = page(macros + "{{ table(('a', 'b'), [(v, 1)], numbers=[1]) }}", v="<&>")
    assert '<th>a</th><th class="n">b</th>' in text
    assert '<td>&lt;&amp;&gt;</td><td class="n">1</td>' in text


def test_a_number_stays_on_one_line_with_its_percent_sign(page: Callable[..., str]) -> None:
    text = page("{{ v | prose }}", v="<b> 24 % (0.9 % to 3 %) of what")
    assert text == "&lt;b&gt; 24\N{NO-BREAK SPACE}% (0.9\N{NO-BREAK SPACE}% to 3\N{NO-BREAK SPACE}%) of what"


def test_a_missing_value_is_an_error(page: Callable[..., str]) -> None:
    with pytest.raises(UndefinedError, match="'missing' is undefined"):
        page("{{ missing }}")


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.925, "accuracy", "92.5 %"),
        (0.3456, "log_loss", "0.346"),
        (None, "accuracy", "–"),
        (float("nan"), "accuracy", "–"),
    ],
)
def test_a_score_is_a_percentage_or_a_loss(value: float | None, metric: str, text: str) -> None:
    assert pages.score(value, metric) == text


def test_a_difference_of_scores_has_its_sign() -> None:
    assert (pages.points(0.031, "accuracy"), pages.points(-0.2, "log_loss")) == ("+3.1 points", "-0.200")
