"""The options that several verbs share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from raytl.cli.completion import experiment_keys, machine_keys, run_folders


class DeviceName(StrEnum):
    """A device to compute on."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


ExperimentFile = Annotated[Path, typer.Argument(metavar="FILE", help="The experiment file (YAML).", show_default=False)]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="An experiment file (.yaml), or images: a folder, an s3:// URI, an archive or a manifest.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="The backbone: a timm name or torchvision:NAME. Replaces model.name."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        help="Override a key of the experiment; may be repeated.",
        autocompletion=experiment_keys,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        help="Set how this machine connects to buckets and clusters (storage.*, compute.*, data.max_pixels); may be repeated.",
        autocompletion=machine_keys,
    ),
]
RUN_HELP = "A run: its folder, an s3:// URI, or a version such as models:trash@champion."
Run = Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=False, autocompletion=run_folders)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on one line.")]
Device = Annotated[DeviceName | None, typer.Option(help="Device to compute on. Default: GPUs if there are any.")]
