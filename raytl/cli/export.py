"""`raytl export`: a trained model as a bundle that runs without torch, once it is shown to answer as the model does."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import size
from raytl.cli.options import Json, Run, Settings
from raytl.cli.progress import watching
from raytl.cli.tables import facts, table, titled
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_machine
from raytl.events import Message
from raytl.gc_pause import importing
from raytl.sanitize import command
from raytl.score_names import is_fraction, title

if TYPE_CHECKING:
    from raytl.exporting.driver import Exported
    from raytl.exporting.parity import Parity


class Target(StrEnum):
    """A runtime of bundles."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TORCH = "torch"


class InputName(StrEnum):
    """The input of the graph of a bundle."""

    PHOTO = "photo"
    CROP = "crop"


class PrecisionName(StrEnum):
    """The precision of the arithmetic of a bundle."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


To = Annotated[Target, typer.Option("--to", help="The runtime: ONNX Runtime, OpenVINO, or torch.export.")]
Input = Annotated[
    InputName | None,
    typer.Option(
        "--input",
        help="What the graph takes: whole photos, or views that the client makes. Default: photo for onnx, else crop.",
        show_default=False,
    ),
]
Precision = Annotated[
    PrecisionName,
    typer.Option(help="The precision of the arithmetic; bf16 for openvino, int8 for openvino and onnx."),
]
MaxDrop = Annotated[
    float, typer.Option(metavar="POINTS", help="Of bf16 and int8: the loss on validation that must be excluded.")
]
Require = Annotated[
    str | None,
    typer.Option(
        metavar="accuracy>=X", help="Abstain where the report does not certify this accuracy.", show_default=False
    ),
]
Recall = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLASS>=X",
        help="Say whether a photo counts as the class for this recall; may be repeated.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,  # a path would lose a slash of s3://
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Folder to write. Default: bundles/ of the run or version.",
        show_default=False,
    ),
]


def export(
    run: Run,
    to: To = Target.ONNX,
    input_: Input = None,
    precision: Precision = PrecisionName.FP32,
    max_drop: MaxDrop = 0.5,
    require: Require = None,
    recall: Recall = None,
    out: Out = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing bundle.")] = False,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Write a trained model as a bundle: a graph with its preprocessing, a card, and a client without torch.

    Before anything is written, the bundle answers the validation images of the run: in fp32 its answers must be those of the
    trained model, in bf16 and int8 a loss of more than --max-drop must be excluded. Otherwise the comparison is printed, nothing
    is written, and the exit code is 1. Calibration images of int8 come from the training split.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted="interrupted; no bundle was written"):
        machine = load_machine(set_ or [])
        with watching(terminal.err) as on_event:
            with importing():
                from raytl.exporting.driver import ExportOptions, ParityFailed  # imports torch
                from raytl.exporting.driver import export as export_run

            options = ExportOptions(
                to.value,
                precision.value,
                None if input_ is None else input_.value,
                max_drop,
                require,
                tuple(recall or ()),
            )
            try:
                result = export_run(run, options, out=out, force=force, machine=machine, on_event=on_event)
            except ParityFailed as failed:
                terminal.show(parity_table(failed.parity))
                raise
            for text in result.warnings:
                on_event(Message(text, "warning"))
        terminal.show(*_tables(result))
        terminal.result(result.to_json())


def parity_table(parity: Parity) -> RenderableType:
    """Return the comparison of a bundle with the saved model, a row for each check."""
    grid = table(("check", "found", "expected", "result"))
    for each in parity.checks:
        result = Text("passed", style="green") if each.passed else Text("failed", style="red")
        grid.add_row(Text(each.name), Text(each.value), Text(each.allowed), result)
    return titled(f"{parity.precision} beside the saved model on {parity.images} validation images", grid)


def _tables(result: Exported) -> list[RenderableType]:
    parity, card = result.parity, result.card
    rows = [
        ("bundle", f"{result.out} ({size(result.bytes)})"),
        ("input", "photos of any size" if card.input == "photo" else "views, which the client makes"),
        (title(parity.metric), f"{_value(parity, parity.score)} (saved model {_value(parity, parity.reference)})"),
        ("agreement", f"{100 * parity.agreement:.2f} %"),
    ]
    if parity.difference is not None:
        rows.append(("difference", f"{parity.difference:.2g} of a probability at most"))
    if parity.log_loss is not None and parity.reference_log_loss is not None:
        rows.append(("log loss", f"{parity.log_loss:.4f} (saved model {parity.reference_log_loss:.4f})"))
    rows.append(("next", command("raytl", "bench", result.out)))
    return [parity_table(parity), facts(rows)]


def _value(parity: Parity, score: float) -> str:
    return f"{100 * score:.1f} %" if is_fraction(parity.metric) else f"{score:.3f}"
