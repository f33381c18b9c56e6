"""`raytl schema`: the JSON Schema of the experiment file, with which editors complete and check it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from raytl.cli.options import Json
from raytl.cli.terminal import Terminal, guarded
from raytl.config.shape import editor_schema
from raytl.run.atomic import write_json


def schema(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to this file instead of standard output.")
    ] = None,
    json_: Json = False,
) -> None:
    """Print the JSON Schema of the experiment file.

    Editors with a YAML language server complete and check a file whose first line is:
    # yaml-language-server: $schema=raytl.schema.json
    """
    terminal = Terminal.open(json_)
    with guarded(terminal):
        if out is not None:
            write_json(out, editor_schema())
            terminal.say(f"Wrote {out}. Start your experiment files with: # yaml-language-server: $schema={out}")
            terminal.result({"out": out})
        else:
            terminal.text(json.dumps(editor_schema(), indent=2) + "\n")
            terminal.result(editor_schema())
