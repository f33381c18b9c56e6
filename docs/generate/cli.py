"""The command line as Markdown, by Typer's own documentation command."""

from __future__ import annotations

import re
import subprocess
import sys

_EXAMPLE = re.compile(r"^Example: \[bold\](.+)\[/bold\]$", re.MULTILINE)


def markdown() -> str:
    """Return the usage, arguments, options and example of every command."""
    command = [sys.executable, "-m", "typer", "raytl.cli.main", "utils", "docs", "--name", "raytl"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, _, body = done.stdout.partition("\n")  # the page has a title of its own
    return _EXAMPLE.sub(r"**Example**:\n\n```console\n$ \1\n```", body)
