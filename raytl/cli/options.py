"""The options that several verbs share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class DeviceName(StrEnum):
    """What the network can run on."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


ExperimentFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The experiment, a YAML file.", show_default=False)
]
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
    typer.Option("--set", metavar="A.B=VALUE", help="Override a key of the experiment; may be given again."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        help="Set how this machine reaches buckets and clusters (storage.*, compute.*, data.max_pixels); may be repeated.",
    ),
]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run: its folder, s3://..., or models:trash@champion", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print the results as one JSON object, on one line.")]
Device = Annotated[DeviceName | None, typer.Option(help="Where to compute; GPUs where there are some if left out.")]
