"""Print results to standard output and everything else to standard error, and turn errors into exit codes."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from raytl.disk import disk_error
from raytl.errors import RaytlError, first_line
from raytl.out_of_memory import memory_error
from raytl.run.plain import encode, for_people
from raytl.sanitize import printable, redacted, redactor
from raytl.store.cache import redirect_library_caches

_PIPED_WIDTH = 140
INTERRUPTED = 130


@dataclass(frozen=True)
class Terminal:
    """The two output streams of a command; with `json`, standard output is one JSON object without tables."""

    out: Console
    err: Console
    json: bool

    @classmethod
    def open(cls, json: bool = False) -> Terminal:
        """Return the streams of this process."""
        return cls(_console(stderr=False), _console(stderr=True), json)

    def show(self, *parts: RenderableType) -> None:
        """Print parts of the result, for people."""
        if not self.json:
            for part in parts:
                self.out.print(part, soft_wrap=isinstance(part, Text))  # a wrapped command cannot be pasted

    def result(self, value: Mapping[str, Any]) -> None:
        """Print the result for programs: one JSON object, on the last line of standard output."""
        if self.json:
            self._write(encode(for_people(value), ascii_only=self.out.options.ascii_only).decode() + "\n")

    def text(self, text: str) -> None:
        """Print text for people: no markup, no wrapping, without secrets and control characters."""
        if not self.json:
            self._write(printable(redacted(text)))

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def say(self, text: str | Text) -> None:
        """Print a line to standard error."""
        self.err.print(text, soft_wrap=True, markup=False, highlight=False)


@contextmanager
def guarded(terminal: Terminal, log: Path | None = None, interrupted: str = "interrupted") -> Iterator[None]:
    """Turn an error in the block into its text on standard error and an exit code; write a traceback to a log file.

    The traceback goes to `log` if its folder exists. `interrupted` is the message after Ctrl-C.
    """
    try:
        redirect_library_caches()
        yield
    except typer.Exit:
        raise
    except RaytlError as error:
        _fail(terminal, type(error).__name__, str(error), error.exit_code, error)
    except KeyboardInterrupt as error:
        terminal.say(Text(interrupted, style="yellow"))
        raise typer.Exit(INTERRUPTED) from error
    except BrokenPipeError as error:  # the reader of the output left, such as `head`
        raise typer.Exit(1) from error
    except Exception as error:
        if refused := disk_error(error) or memory_error(error):
            _fail(terminal, type(refused).__name__, str(refused), refused.exit_code, error)
        text = f"{type(error).__name__}: {first_line(error)[:300]}\nUnexpected error; {_traceback_note(log)}"
        _fail(terminal, "Unexpected", text, 1, error)


def error_text(text: str) -> Text:
    """Return an error's text with its first line in red and its advice in color."""
    lines = []
    for number, line in enumerate(text.splitlines()):
        if number == 0:
            lines.append(Text.assemble(("error: ", "bold red"), (line, "red")))
        elif line.lstrip().startswith("->"):
            lines.append(Text(line, style="cyan"))
        else:
            lines.append(Text(line))
    return Text("\n").join(lines)


class _Console(Console):
    """Prints names as they are: control characters are escaped and secrets masked."""

    _mask: Callable[[str], str] = staticmethod(redacted)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print `objects` without the secrets in the environment."""
        self._mask = redactor()
        super().print(*objects, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of `renderable` with printable text; rich's own control codes pass."""
        if isinstance(renderable, str):
            given = options or self.options
            renderable = self.render_str(renderable, highlight=given.highlight, markup=given.markup)
        if isinstance(renderable, Text) and (masked := self._mask(renderable.plain)) != renderable.plain:
            renderable = renderable.blank_copy(masked)  # before it is wrapped, as half of a secret is not recognized
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def _console(stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False, markup=False)
    return (
        console if console.is_terminal else _Console(stderr=stderr, highlight=False, markup=False, width=_PIPED_WIDTH)
    )


def _fail(terminal: Terminal, kind: str, text: str, code: int, cause: BaseException) -> NoReturn:
    terminal.say(error_text(text))
    terminal.result({"error": kind, "text": text})
    raise typer.Exit(code) from cause


def _traceback_note(log: Path | None) -> str:
    """Write the traceback; return where it is, or why it could not be written."""
    try:
        return f"see the full traceback in {_write_traceback(log)}"
    except OSError as error:
        return f"its traceback could not be written ({error})"


def _write_traceback(log: Path | None) -> Path:
    """Append the traceback to the log if its folder exists, else write it to a new temporary file; return the path."""
    text = redacted(traceback.format_exc())
    if log is not None and log.parent.is_dir():
        with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return log
    with tempfile.NamedTemporaryFile(
        "w", prefix="raytl-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as new:
        new.write(text)
    return Path(new.name)
