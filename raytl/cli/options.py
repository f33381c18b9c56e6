"""The options that several verbs share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from raytl.cli.completion import experiment_keys, machine_keys, run_folders
from raytl.config.load import load_machine
from raytl.config.machine import assignment
from raytl.config.override import assignments
from raytl.errors import ConfigError
from raytl.store.s3_settings import S3Settings


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
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url", metavar="URL", help="The S3 endpoint of s3:// URIs; short for --set storage.endpoint_url."
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile", metavar="NAME", help="The AWS profile with the credentials; short for --set storage.profile."
    ),
]
Anonymous = Annotated[
    bool,
    typer.Option("--anonymous", help="Send unsigned requests, for public buckets; short for --set storage.anonymous."),
]
_S3_OPTIONS = {"endpoint_url": EndpointUrl, "profile": Profile, "anonymous": Anonymous}


def with_s3_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Return `verb` with --endpoint-url, --profile and --anonymous, passed on as `--set storage.*`; a verb without `--set` is
    returned unchanged."""
    signature = inspect.signature(verb, eval_str=True)
    if "set_" not in signature.parameters:
        return verb

    @functools.wraps(verb)
    def run(**options: Any) -> None:
        given = {key: value for key in _S3_OPTIONS if (value := options.pop(key, None))}
        options["set_"] = [*(options["set_"] or []), *_assignments(given, options["set_"] or [])]
        verb(**options)

    defaults = [
        inspect.Parameter(
            key, inspect.Parameter.KEYWORD_ONLY, default=None if key != "anonymous" else False, annotation=kind
        )
        for key, kind in _S3_OPTIONS.items()
    ]
    keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]
    place = list(signature.parameters).index("set_") + 1
    run.__signature__ = signature.replace(parameters=[*keywords[:place], *defaults, *keywords[place:]])  # type: ignore[attr-defined]
    return run


def s3_settings(overrides: list[str] | None) -> S3Settings:
    """Return the S3 settings of a verb that takes a URI and no experiment file.

    Raises:
        ConfigError: a wrong key, or one that cannot take effect without an experiment.
    """
    idle = [key for key in assignments(overrides or []) if not key.startswith("storage.")]
    if idle:
        raise ConfigError(f"--set {idle[0]}: expected storage.*, or an experiment file as the argument to set others")
    return S3Settings.of(load_machine(overrides or []).storage)


def _assignments(given: dict[str, Any], overrides: list[str]) -> list[str]:
    """Return the options as `--set` assignments.

    Raises:
        typer.BadParameter: `--set` sets one of them too.
    """
    keys = {text.partition("=")[0].strip() for text in overrides}
    for option in given:
        if f"storage.{option}" in keys:
            name = f"--{option.replace('_', '-')}"
            raise typer.BadParameter(f"--set storage.{option} is given too; remove one of them", param_hint=name)
    return [assignment(f"storage.{option}", value) for option, value in given.items()]
