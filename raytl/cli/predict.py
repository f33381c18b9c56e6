"""`raytl predict`: the answers of a model for any photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from raytl.batch_inference.places import PartOptions, is_parted
from raytl.cli.options import Device, Json, Run, Settings
from raytl.cli.progress import watching
from raytl.cli.tables import batch_tables, judged_counts, predictions_tables
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_machine
from raytl.events import Message
from raytl.gc_pause import importing

if TYPE_CHECKING:
    from raytl.batch_inference.result import BatchPredictions
    from raytl.tasks.reporting import TaskPredictions, Unreadable

_LISTED = 10
_FIRST = 3

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUTS...",
        help="Folders, manifests or photos, here or in a bucket (s3://...).",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="OUT",
        help="File or folder to write; a prefix in a bucket, or a folder with a slash at its end, gets parts.",
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="Format to write, such as csv; by default that of OUT's ending."),
]
BatchSize = Annotated[int | None, typer.Option(min=1, metavar="N", help="Photos per batch.")]
Score = Annotated[float | None, typer.Option(min=0, max=1, metavar="S", help="Of objects: the lowest score to report.")]
NmsIou = Annotated[
    float | None,
    typer.Option(
        "--nms-iou", min=0, max=1, metavar="IOU", help="Of objects: overlap above which the better one stays."
    ),
]
MaxDetections = Annotated[
    int | None, typer.Option("--max-detections", min=1, metavar="N", help="Of objects: the maximum per image.")
]
Require = Annotated[
    str | None,
    typer.Option(
        metavar="accuracy>=X",
        help="Add the column answered: abstain where the report does not certify this accuracy of the answers.",
        show_default=False,
    ),
]
Recall = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLASS>=X",
        help="Add the column is_CLASS: the photos that count as the class for this recall; may be repeated.",
        show_default=False,
    ),
]
Uncertainty = Annotated[
    bool,
    typer.Option("--uncertainty", help="Add prediction sets and unfamiliar photos, as --require and --recall do."),
]

Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Predict in parts with N actors of Ray; 1 = in this process. Default: what fits, where the output is in parts.",
        show_default=False,
    ),
]
PartSize = Annotated[
    int | None,
    typer.Option(
        "--part-size", min=1, metavar="N", help="Photos per part: whole batches. Default: 1024.", show_default=False
    ),
]
New = Annotated[bool, typer.Option("--new", help="Predict again what an earlier command left in parts.")]
_RESUME = "interrupted; finished parts are kept, and the same command resumes"


def predict(
    run: Run,
    inputs: Inputs,
    out: Out = None,
    format_: Format = None,
    score: Score = None,
    nms_iou: NmsIou = None,
    max_detections: MaxDetections = None,
    require: Require = None,
    recall: Recall = None,
    uncertainty: Uncertainty = False,
    batch_size: BatchSize = None,
    workers: Workers = None,
    part_size: PartSize = None,
    new: New = False,
    device: Device = None,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Predict photos: classes and probabilities, or what else the task of the model answers, in a file or on the terminal.

    Photos that cannot be read are listed and skipped; other files in folders are counted by reason.
    --require, --recall and --uncertainty apply what `raytl report` chose on validation, so they need its report.

    With a prefix as OUT, such as s3://bucket/predictions/, the photos are predicted in parts by actors of Ray Data: the same
    command resumes, and the tables together are those of one file.
    """
    terminal = Terminal.open(json)
    parts = PartOptions(workers, part_size, new)
    with guarded(terminal):
        machine = load_machine([*(set_ or []), *([f"compute.device={device}"] if device else [])])
        is_batch = is_parted(out, format_, parts, machine)
    with guarded(terminal, interrupted=_RESUME if is_batch else "interrupted"):
        with watching(terminal.err) as on_event:
            with importing():
                from raytl.batch_inference.predict import predict as predict_photos

            predictions: Any = predict_photos(
                run,
                inputs,
                out=out,
                format=format_,
                parts=parts,
                score=score,
                nms_iou=nms_iou,
                max_detections=max_detections,
                require=require,
                recall=recall or (),
                uncertainty=uncertainty,
                batch_size=batch_size,
                machine=machine,
                on_event=on_event,
            )
            for text in [*unreadable_lines(predictions), *left_out_lines(predictions)]:
                on_event(Message(text, "warning"))
        terminal.show(*(batch_tables(predictions) if is_batch else predictions_tables(predictions, out)))
        terminal.result(batch_json(predictions) if is_batch else predictions_json(predictions, out))


def batch_json(batch: BatchPredictions) -> dict[str, Any]:
    """Return the summary of predictions in parts."""
    return {
        "out": batch.out,
        "run": batch.run,
        "photos": batch.photos,
        "rows": batch.rows,
        "counts": dict(batch.counts),
        "unreadable": [{"path": each.path, "reason": each.reason} for each in batch.unreadable],
        "left_out": left_out_json(batch),
        "judged": dict(batch.judged),
        "weights": batch.weights,
        "parts": list(batch.parts),
        "retained": batch.retained,
    }


def left_out_json(predictions: Read) -> dict[str, Any]:
    """Return the number of files that were left out, and the first few, by reason."""
    return {
        reason: {"files": len(files), "first": list(files[:_FIRST])} for reason, files in predictions.left_out.items()
    }


def predictions_json(predictions: TaskPredictions, out: str | None) -> dict[str, Any]:
    """Return a summary, and the rows if they were not written to a file."""
    return {
        "out": out,
        "photos": len(predictions.paths),
        "counts": dict(predictions.counts),
        "unreadable": [{"path": each.path, "reason": each.reason} for each in predictions.unreadable],
        "left_out": left_out_json(predictions),
        "judged": judged_counts(predictions),
        "weights": predictions.weights,
    } | ({} if out else {"rows": predictions.rows})


class Read(Protocol):
    """A result for photos, with those that could not be read, and the files that are not photos by reason."""

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """The photos that could not be read."""
        ...

    @property
    def left_out(self) -> Mapping[str, tuple[str, ...]]:
        """The files in the input folders that are not photos, by reason."""
        ...


def unreadable_lines(predictions: Read) -> list[str]:
    """Return a line for each of the first photos that could not be read, and the number of the others."""
    lines = [f"could not read {each.path!r}: {each.reason}" for each in predictions.unreadable[:_LISTED]]
    more = len(predictions.unreadable) - _LISTED
    return [*lines, f"and {more} more could not be read"] if more > 0 else lines


def left_out_lines(predictions: Read) -> list[str]:
    """Return a line for each reason to skip files in the input folders, with the first few names."""
    from raytl.data.formats.skip_rules import reason_lines

    return reason_lines(predictions.left_out)
