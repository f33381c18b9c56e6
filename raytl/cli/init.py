"""`raytl init`: a short experiment file for a folder of images, with the reason for each key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raytl.cli.options import Json, Model, Settings, s3_settings
from raytl.cli.progress import watching
from raytl.cli.terminal import Terminal, guarded
from raytl.errors import ConfigError
from raytl.run.atomic import write_text
from raytl.sanitize import command
from raytl.starter import draft_from


def init(
    images: Annotated[
        str,
        typer.Argument(metavar="IMAGES", help="A folder, an s3:// URI, an archive or a manifest.", show_default=False),
    ],
    model: Model = None,
    set_: Settings = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write to this file instead of standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE if it exists.")] = False,
    json: Json = False,
) -> None:
    """Write an experiment file for your images.

    Reads the layout and up to 96 training images. The file has only the keys that matter for this data, and a comment
    with the reason for each.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        check_out(out, force)
        s3_settings(set_)  # other keys cannot take effect
        with watching(terminal.err) as on_event:
            draft = draft_from(images, model, set_ or (), on_event)
        if out is None:
            terminal.text(draft.text())
        else:
            write_text(out, draft.text())
            terminal.say(f"Wrote {out}. Next: {command('raytl', 'check', out)}")
        terminal.result({"out": out, "experiment": draft.values(), "notes": draft.notes})


def check_out(out: Path | None, force: bool) -> None:
    """Raise a ConfigError if the file exists and may not be overwritten, or is no experiment file by its ending."""
    if out is None and force:
        raise ConfigError("--force: cannot take effect without --out; leave it out")
    if out is None:
        return
    if out.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"{out}: found the ending {out.suffix!r}, expected .yaml or .yml")
    if out.exists() and not force:
        raise ConfigError(f"{out}: exists already; pass --force to overwrite it, or name another file")
