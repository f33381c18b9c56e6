"""Untrusted text is sanitized for terminal, browser, Markdown and spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from raytl.cli.lines import line
from raytl.cli.terminal import Terminal
from raytl.config.schema import Experiment
from raytl.config.space import space_of
from raytl.events import Message, Restarted, TrialChanged
from raytl.run import plots
from raytl.run.ledger import LedgerEntry
from raytl.run.plain import encode
from raytl.sanitize import as_cell, command, csv_cell, printable, redacted
from raytl.search.outcome import table
from raytl.search.ranking import Candidate, rank
from raytl.search.record import TrialRecord
from raytl.search.report.page import Header, write_report
from raytl.search.winner import Winner
from raytl.tasks.classification.report import as_markdown
from raytl.tasks.classification.table import Predictions, as_csv, as_parquet
from tests.cli.conftest import Raytl, raytl  # noqa: F401 - a fixture
from tests.conftest import MakePhotos
from tests.tasks.classification.test_report import evaluation_of_classes

TITLE = "\x1b]0;owned\x07"
CLEARS = "\x1b[2J\x1b[1;31mFAKE: all is well\x1b[0m"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain ü 漢\n\tx", "plain ü 漢\n\tx"),
        ("a\x1b[31mb", "a␛[31mb"),
        ("back\rfront\b", "back␍front␈"),
        ("\x9b31m", "�31m"),
        ("gpj.\u202eexe", "gpj.�exe"),
    ],
)
def test_what_steers_is_shown(text: str, found: str) -> None:
    assert printable(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mysql+pymysql://me:pa$$:w0rd@host/db", "mysql+pymysql://me:***@host/db"),
        ("https://:secret@host", "https://:***@host"),
        ("s3://bucket/a:b@c/d", "s3://bucket/a:b@c/d"),
        ("https://host/x?a=1&X-Amz-Signature=abc&X-Amz-Date=2", "https://host/x?a=1&X-Amz-Signature=***&X-Amz-Date=2"),
        ("at 'https://h/?sig=abc' and ?token=x", "at 'https://h/?sig=***' and ?token=***"),
        ("user@host 12:30", "user@host 12:30"),
    ],
)
def test_secrets_in_addresses_are_starred(text: str, found: str) -> None:
    assert redacted(text) == found


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(1)"])
def test_a_formula_becomes_text(text: str) -> None:
    assert as_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a;=cmd|' /C calc'!A0", "a;'=cmd|' /C calc'!A0"),
        ("a; +1;x;@y", "a;' +1;x;'@y"),
        ("a\n=1", "a\n'=1"),
        ("a\r\n-1+2", "a\r\n'-1+2"),
        ("a\t=1", "a\t'=1"),
        ("a\t\t=1", "a\t\t'=1"),
        (" =1", "' =1"),
        ("\u3000=1", "'\u3000=1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("\n=1", "'\n=1"),
        ("\tx", "'\tx"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("\uff0bcmd", "'\uff0bcmd"),
        ("\uff20SUM", "'\uff20SUM"),
        ("'=1", "''=1"),
        ("x;'=1", "x;''=1"),
    ],
)
def test_a_formula_becomes_text_wherever_a_spreadsheet_may_split_the_cell(text: str, cell: str) -> None:
    assert as_cell(text) == cell


def test_a_cell_is_read_back_by_removing_one_quote_at_each_place() -> None:
    sign = "[=+\\-@\uff1d\uff0b\uff0d\uff20\u2212]"
    added = re.compile(rf"^'([\s']*{sign}|'*[\t\r\n])|(?<=[;\t\r\n])'[ ']*{sign}")
    draw = random.Random(16)
    texts = ["".join(draw.choices("=;'\t\n\r a1-\uff1d,\"", k=draw.randint(0, 8))) for _ in range(20_000)]
    assert [added.sub(lambda match: match[0][1:], as_cell(text)) for text in texts] == texts
    rows = list(csv.reader(io.StringIO("".join(f"{csv_cell(text)},x\n" for text in texts), newline="")))
    assert rows == [[as_cell(text), "x"] for text in texts]


@pytest.mark.parametrize("text", ["a;b", "a,b", 'a"b', "a\nb", "a\rb", "a\tb", " a", "it's"])
def test_a_cell_with_a_delimiter_or_white_space_is_quoted(text: str) -> None:
    assert csv_cell(text) == '"' + text.replace('"', '""') + '"'


@pytest.mark.parametrize("text", ["cat", "-1", "+1.5", "-2e-3", "", "a=b", "p_=x", "1-2", "-.5"])
def test_what_is_no_formula_stays(text: str) -> None:
    assert as_cell(text) == text


@pytest.mark.parametrize(
    "name", [TITLE, CLEARS, "[link=https://evil]x[/link]", "[red]x[/]", "[/]", "a\rb", "gpj.\u202eexe"]
)
@pytest.mark.parametrize("colours", [False, True])
def test_a_terminal_shows_names_and_does_not_obey_them(name: str, colours: bool) -> None:
    written = io.StringIO()
    real = Terminal.open()
    console = type(real.out)(file=written, force_terminal=colours, width=200, color_system="truecolor", highlight=False)
    terminal = replace(real, out=console, err=console)
    trial = TrialChanged(1, "failed", 1, 2, None, None, None, 1, 2, {"model.name": name}, "none", name)
    for event in (Message(name, "warning"), trial, Restarted(1, name)):
        terminal.say(line(event))
    terminal.say(name)
    terminal.show(Text(name))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue())
    assert not STEERING.search(plain)
    assert "\x1b[2J" not in written.getvalue() and "\x1b]8" not in written.getvalue()
    assert plain.count("[/]") >= 5 if name == "[/]" else True


def test_a_live_terminal_still_moves_its_cursor() -> None:
    from rich.live import Live

    written = io.StringIO()
    console = type(Terminal.open().err)(file=written, force_terminal=True, width=80)
    with Live(Text("one\ntwo"), console=console, auto_refresh=False) as live:
        live.update(Text("three"), refresh=True)
    assert "\x1b[1A" in written.getvalue() or "\x1b[2K" in written.getvalue()
    assert isinstance(console, Console)


def test_an_error_about_a_hostile_name_steers_nothing(raytl: Raytl, tmp_path: Path) -> None:  # noqa: F811
    done = raytl("check", f"{CLEARS}[link=evil]x.yaml")
    assert done.code == 2
    assert not STEERING.search(done.err)
    assert "[link=evil]x.yaml" in done.err


def test_classes_and_files_of_hostile_names_are_looked_through(
    raytl: Raytl,  # noqa: F811
    make_photos: MakePhotos,
    tmp_path: Path,
) -> None:
    photos = make_photos(8, classes=(CLEARS, "[red]=1+1", "<script>alert(1)<"))
    (photos / CLEARS / f"{TITLE}.jpg").write_bytes(b"no image")
    (tmp_path / "e.yaml").write_text(
        "name: x\ndata: {uri: photos, on_bad_image: skip}\nmodel: {name: test_resnet, weights: none}\ncompute: {cluster: none, device: cpu}\n"
    )
    done = raytl("check", "e.yaml")
    assert done.code == 0, done.err
    assert not STEERING.search(done.out + done.err)
    assert "[red]=1+1" in done.out


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag, *(name for name, _ in attrs if name.startswith("on"))]


def _records() -> list[TrialRecord]:
    values = {"optim.name": SCRIPT, "transfer.unfreeze": 1}
    first = TrialRecord(0, "complete", values, (0.5,), 1, ((1, 0.5),), 1.0, 10, SCRIPT, "", SCRIPT)
    return [first, replace(first, number=1, state="failed", values=None, reason=SCRIPT), replace(first, number=2)]


@pytest.mark.thorough
def test_the_page_of_a_sweep_runs_no_script_but_its_own(tmp_path: Path) -> None:
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "d"}, "model": {"name": "m"}})
    space = space_of(experiment).resolved(5)
    ranking = replace(rank([Candidate(0, {}, 1, 1, (0.5, 0.4))], False), reason=SCRIPT)
    winner = Winner(_records()[0], ranking, 0.5, 0.5, SCRIPT, SCRIPT)
    texts = []
    for hostile in (SCRIPT, "x"):
        header = Header(hostile, hostile, hostile, {hostile: 1}, 2, 5, ("val/accuracy",), 1.0)
        write_report(tmp_path, header, _records(), space, {hostile: 1.0}, winner)
        texts.append((tmp_path / "report.html").read_text())
    seen = []
    for text in texts:
        tags = _Tags()
        tags.feed(re.sub(r"(?s)<script[^>]*>.*?</script>", "", text))
        seen.append(tags.found)
        assert not {"img", "script", "onerror", "iframe", "object"} & set(tags.found)
    assert seen[0] == seen[1]
    assert texts[0].count("<script") == texts[1].count("<script")
    assert "alert(1)</script>" not in texts[0]
    assert "&lt;script&gt;" in texts[0]


def test_markdown_shows_marks_and_tags_as_text() -> None:
    look = LedgerEntry(1, SCRIPT, f"{SCRIPT}\n# x", f"`{SCRIPT}`")
    text = as_markdown(
        evaluation_of_classes((SCRIPT, "![x](https://evil/x.png)", f"a|b\n{CLEARS}", "[x](javascript:1)"), look)
    )
    unescaped = re.sub(r"\\[\\`*_|<>\[\]#]", "", text)
    assert "<script" not in unescaped and "<img" not in unescaped
    assert "![x]" not in unescaped and "](javascript" not in unescaped
    assert not STEERING.search(text)
    assert "\n# x" not in text


@pytest.mark.filterwarnings("ignore:Glyph")
def test_charts_draw_names_as_they_are(tmp_path: Path) -> None:
    names = ["$\\frac{", "$x^{2}$", "\x1b[31m", SCRIPT]
    plots.confusion(np.eye(4, dtype=np.int64), names, tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 0


def test_a_table_of_predictions_holds_no_formula_and_its_paths_still_lead_to_the_files() -> None:
    paths = ("=1+1.jpg", "-x.jpg", "@a.jpg", "dir/=x.jpg", "+1")
    classes = ("=HYPERLINK(1)", "-1", "+cmd|x", "@x", "plain")
    found = Predictions(paths, classes, np.eye(5), (), "w")
    rows = list(csv.reader(io.StringIO(as_csv(found).decode())))
    assert [row[0] for row in rows[1:]] == ["./=1+1.jpg", "./-x.jpg", "./@a.jpg", "dir/=x.jpg", "+1"]
    assert [row[1] for row in rows[1:]] == ["'=HYPERLINK(1)", "-1", "'+cmd|x", "'@x", "plain"]
    assert not any(re.match(r"[=@]|[+-]\D", cell) for row in rows for cell in row)
    assert b"'=HYPERLINK" not in as_parquet(found)  # a program's format: as it is


def test_a_table_of_trials_holds_no_formula() -> None:
    formulas = TrialRecord(
        0, "failed", {"optim.name": "=1+1", "optim.lr": -0.5}, source="@x", reason="-2+3", folder="+x"
    )
    rows = list(csv.reader(io.StringIO(table([formulas], ["optim.name", "optim.lr"]))))
    assert rows[1][2:4] == ["'=1+1", "-0.5"]
    assert rows[1][-3:] == ["'@x", "'-2+3", "'+x"]


def test_no_table_holds_a_formula_behind_a_semicolon() -> None:
    name = "a;=cmd|' /C calc'!A0"
    found = Predictions((f"photos/{name}.jpg",), (name,), np.eye(1), (), "w")
    trials = table([TrialRecord(0, "failed", {"optim.name": name}, reason=name)], ["optim.name"])
    for text in (as_csv(found).decode(), trials):
        assert text.count(name) == 0 and text.count(name.replace(";", ";'")) >= 2
        assert not re.search(r"[;\t][\s\"]*[=+@]", text)


STEERING_IN_JSON = "\x7f\x80\x9b31m\x9f\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069"


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_is_the_same_and_steers_nothing(ascii_only: bool) -> None:
    value = {STEERING_IN_JSON: [f"gpj.{STEERING_IN_JSON}exe", "ü 漢 \u00a0", "\\u202e"]}
    said = encode(value, ascii_only=ascii_only).decode()
    assert json.loads(said) == value
    assert not set(said) & set(STEERING_IN_JSON.replace("31m", ""))
    assert ("ü" in said) is not ascii_only
    assert "\\u202e" in said and "\\u0080" in said


def test_json_for_programs_steers_no_terminal(raytl: Raytl) -> None:  # noqa: F811
    done = raytl("check", f"{STEERING_IN_JSON}.yaml", "--json")
    assert STEERING_IN_JSON in json.loads(done.out)["text"]
    assert not set(done.out) & set(STEERING_IN_JSON.replace("31m", ""))


def test_programs_get_names_as_they_are(raytl: Raytl, tmp_path: Path) -> None:  # noqa: F811
    done = raytl("check", f"{CLEARS}.yaml", "--json")
    assert CLEARS in json.loads(done.out)["text"]
    assert not STEERING.search(done.out)


def test_a_command_is_read_by_a_shell_as_the_words_that_it_was_made_of() -> None:
    words = ["raytl", "train", "it's; rm -rf $HOME/*.yaml", "--set", "data.uri=a b #2", "-x", "", "\n`id`"]
    assert shlex.split(command(*words)) == words
    assert command("raytl", "evaluate", Path("runs/tiny")) == "raytl evaluate runs/tiny"
