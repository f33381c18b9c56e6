"""The `raytl` command: all verbs. Nothing heavy is imported before a verb has checked its input."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from raytl.cli import models
from raytl.cli.advise import advise
from raytl.cli.bench import bench
from raytl.cli.check import check
from raytl.cli.cluster import ask_for, render_file
from raytl.cli.collect import collect
from raytl.cli.compare import compare
from raytl.cli.compress import compress
from raytl.cli.doctor import doctor
from raytl.cli.encoding import never_fail
from raytl.cli.evaluate import evaluate
from raytl.cli.explain import explain
from raytl.cli.export import export
from raytl.cli.init import init
from raytl.cli.jobs import jobs, logs, status, stop
from raytl.cli.labels import labels
from raytl.cli.next import next_
from raytl.cli.options import with_s3_options
from raytl.cli.predict import predict
from raytl.cli.report import report
from raytl.cli.retrain import retrain
from raytl.cli.runs import runs
from raytl.cli.schema import schema
from raytl.cli.serve import serve
from raytl.cli.submit import submit
from raytl.cli.sync import sync
from raytl.cli.train import train
from raytl.cli.tune import tune
from raytl.eager import defer_compiler
from raytl.run.provenance import version
from raytl.sanitize import printable, redacted


class _PlainHelp:
    """Show flags without a value in the help, and wrap each paragraph to the width of the terminal."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.help: str | None = _unwrapped(self.help)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters; flags have an empty placeholder instead of `<bool>`."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class _Command(_PlainHelp, TyperCommand):
    """A verb."""


class _Group(_PlainHelp, TyperGroup):
    """Run the verbs; show usage errors without secrets and control characters."""

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """Parse the command line up to the verb."""
        with _sanitized():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Parse the rest of the command line, and run the verb."""
        with _sanitized():
            return super().invoke(ctx)


def _unwrapped(text: str | None) -> str | None:
    """Return the text with each paragraph on one line."""
    return text and "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


@contextmanager
def _sanitized() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # an error of click, of which typer bundles a copy
            vars(error)["message"] = printable(redacted(str(vars(error)["message"])))
        raise


app = typer.Typer(
    name="raytl",
    cls=_Group,
    help="Fine-tune a pretrained vision model on your own images, on Ray.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: raytl init photos/ --out experiment.yaml",
)
EXAMPLES = {
    "init": "raytl init photos/ --model resnet18.a1_in1k --out trash.yaml",
    "advise": "raytl advise photos/ --weights mobilenetv2_100,resnet18,vit.safetensors --out trash.yaml",
    "check": "raytl check experiments/trash.yaml --set transfer.unfreeze=3",
    "train": "raytl train photos/ --model mobilenetv2_100 --set transfer.unfreeze=2",
    "tune": "raytl tune experiments/trash.yaml --set search.trials=32 --dry-run",
    "evaluate": "raytl evaluate runs/trash",
    "report": "raytl report runs/trash --require 'accuracy>=0.95' --recall 'trash>=0.9'",
    "predict": "raytl predict runs/trash photos/ --out predictions.csv",
    "serve": "raytl serve models:trash@champion --port 8000",
    "export": "raytl export runs/trash --to onnx",
    "compress": "raytl compress runs/trash --target-ms 5 --max-drop 0.5",
    "bench": "raytl bench exported/trash --threads 1",
    "explain": "raytl explain runs/trash --mistakes --out explanations",
    "next": "raytl next experiments/trash.yaml -n 35 --out to_label.csv",
    "collect": "raytl collect s3://bucket/feedback --budget 200 --model models:trash@champion",
    "labels": "raytl labels experiments/trash.yaml --weights vit_tiny_patch16_224",
    "runs": "raytl runs s3://bucket/runs",
    "compare": "raytl compare runs/trash runs/trash-winner",
    "retrain": "raytl retrain experiments/trash.yaml --dry-run",
    "models list": "raytl models list s3://bucket/models/trash",
    "models show": "raytl models show s3://bucket/models/trash champion",
    "models diff": "raytl models diff s3://bucket/models/trash previous champion",
    "models promote": "raytl models promote s3://bucket/models/trash 7 --why 'requested by the night shift'",
    "models rollback": "raytl models rollback s3://bucket/models/trash --why 'misses wet cardboard'",
    "models gc": "raytl models gc s3://bucket/models/trash --keep 5 --dry-run",
    "sync": "raytl sync s3://bucket/trash/",
    "doctor": "raytl doctor experiments/trash.yaml --address auto",
    "schema": "raytl schema --out raytl.schema.json",
    "submit": "raytl submit tune experiments/trash.yaml --address http://head:8265 --set storage.uri=s3://bucket/runs",
    "jobs": "raytl jobs --address http://head:8265",
    "status": "raytl status raytl-tune-trash-0a1b2c3d4e-1",
    "logs": "raytl logs raytl-tune-trash-0a1b2c3d4e-1 --follow",
    "stop": "raytl stop raytl-tune-trash-0a1b2c3d4e-1",
    "cluster render": "raytl cluster render kuberay --gpus 16 --gpus-per-node 8 --bucket photos --out cluster.yaml",
    "cluster ask": "raytl cluster ask --gpus 8",
}
VERBS: dict[str, Callable[..., None]] = {
    "init": init,
    "advise": advise,
    "check": check,
    "train": train,
    "tune": tune,
    "evaluate": evaluate,
    "report": report,
    "predict": predict,
    "serve": serve,
    "export": export,
    "compress": compress,
    "bench": bench,
    "explain": explain,
    "next": next_,
    "collect": collect,
    "labels": labels,
    "runs": runs,
    "compare": compare,
    "retrain": retrain,
    "models list": models.list_,
    "models show": models.show,
    "models diff": models.diff,
    "models promote": models.promote,
    "models rollback": models.rollback,
    "models gc": models.gc,
    "sync": sync,
    "doctor": doctor,
    "schema": schema,
    "submit": submit,
    "jobs": jobs,
    "status": status,
    "logs": logs,
    "stop": stop,
    "cluster render": render_file,
    "cluster ask": ask_for,
}
groups = {
    "cluster": typer.Typer(
        cls=_Group, no_args_is_help=True, help="Write configuration files for clusters; request machines."
    ),
    "models": typer.Typer(
        cls=_Group, no_args_is_help=True, help="Published versions: list, show, diff, promote, rollback, gc."
    ),
}
for _name, _verb in VERBS.items():
    _group, _, _own = _name.rpartition(" ")
    groups.get(_group, app).command(_own, cls=_Command, epilog=f"Example: [bold]{EXAMPLES[_name]}[/bold]")(
        with_s3_options(_verb)
    )
for _name, _group_app in groups.items():
    app.add_typer(_group_app, name=_name)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"raytl {version('raytl') or '(not installed)'}")
        raise typer.Exit


@app.callback()
def _raytl(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fine-tune a pretrained vision model on your own images, on Ray."""


def main() -> None:
    """Run the command line. The exit code is 0 for success, 2 for wrong input, 130 after Ctrl-C, else 1."""
    never_fail()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; why: raytl.cluster.session
    defer_compiler()
    app(prog_name="raytl")
