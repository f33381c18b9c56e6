"""`raytl compress`: smaller and faster variants of a trained model, each shown to be as good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.numbers import plural, size
from raytl.cli.options import Device, Json, Run, Settings
from raytl.cli.progress import watching
from raytl.cli.tables import facts, table, titled
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_machine
from raytl.events import Message
from raytl.gc_pause import importing
from raytl.score_names import title

if TYPE_CHECKING:
    from raytl.exporting.compress.outcome import Compression, Outcome

Methods = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="What to try: onnx-fp32 (always), openvino-fp32, openvino-bf16, openvino-int8, onnx-int8, and distill and prune, which train. "
        "Default: all that train nothing.",
        show_default=False,
    ),
]
Teacher = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RUN2", help="For distill and prune: a run that teaches; may be repeated for an ensemble. Default: RUN itself.",
        show_default=False,
    ),
]  # fmt: skip
Student = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=WEIGHTS",
        help="For distill: the smaller backbone and its weights. Default: RUN's own network, which needs a --teacher.",
        show_default=False,
    ),
]
Unlabelled = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="For distill and prune: photos without labels, which the teacher labels.",
        show_default=False,
    ),
]

TargetMs = Annotated[
    float | None,
    typer.Option(
        metavar="MS", help="The time of a call with one photo. Default: as fast as possible.", show_default=False
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="For distill and prune: epochs. Default: those of RUN.", show_default=False),
]
PruneFraction = Annotated[
    list[float] | None,
    typer.Option(
        metavar="F",
        help="For prune: the fraction of the channels of each layer to remove; may be repeated, to try several. Default: 0.3.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,  # a path would lose a slash of s3://
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="The bundle to write; candidates go to DIR-search. Default: compressed/NAME.",
        show_default=False,
    ),
]


def compress(
    run: Run,
    target_ms: TargetMs = None,
    max_drop: Annotated[
        float, typer.Option(metavar="POINTS", help="The loss of accuracy that must be excluded.")
    ] = 0.5,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Threads of the runtime, on as many CPUs.")] = 1,
    methods: Methods = None,
    teacher: Teacher = None,
    student: Student = None,
    unlabelled: Unlabelled = None,
    epochs: Epochs = None,
    prune_fraction: PruneFraction = None,
    out: Out = None,
    device: Device = None,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Search for a smaller and faster variant of a trained model, and keep the best one as a bundle.

    Each candidate is compared with the trained model on validation, and measured on this machine beside ONNX Runtime in fp32:
    one that may lose more than --max-drop, or is not faster, is rejected with the reason. Candidates that train nothing are the
    default; distill and prune run if --methods names them. Run the same command again to resume an interrupted search. Exit code 1 if no
    candidate meets --target-ms.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted="interrupted; candidates that are done are kept, and the same command resumes"):
        machine = load_machine([*(set_ or []), *([f"compute.device={device}"] if device else [])])
        with watching(terminal.err) as on_event:
            with importing():
                from raytl.exporting.compress.driver import compress as search

            result = search(
                run,
                target_ms=target_ms,
                max_drop=max_drop,
                threads=threads,
                methods=tuple(name.strip() for name in methods.split(",")) if methods else (),
                teachers=tuple(teacher or ()),
                student=student,
                unlabelled=unlabelled,
                epochs=epochs,
                prune_fractions=tuple(prune_fraction or ()),
                out=out,
                machine=machine,
                on_event=on_event,
            )
            for text in result.warnings:
                on_event(Message(text, "warning"))
        terminal.show(*compression_tables(result))
        terminal.result(result.to_json())
    if result.best is None:
        raise typer.Exit(1)


def compression_tables(result: Compression) -> list[RenderableType]:
    """Return the candidates with their measurements, and the best, or how close the search came."""
    metric = next((title(each.verdict.metric) for each in result.outcomes if each.verdict is not None), "score")
    numbers = ("median", "99 %", "32 photos", "faster", metric, "may lose", "size")
    grid = table(("candidate", *numbers, "result"), right_aligned=numbers)
    for each in result.outcomes:
        mark = "best" if each.name == result.best else each.status
        grid.add_row(Text(each.name), *_numbers(each), Text(f"{mark}: {each.reason}" if each.reason else mark))
    rows = [
        ("frontier", ", ".join(result.frontier) or "none"),
        ("measured", f"{plural(result.threads, 'thread')} of {result.processor} ({', '.join(result.cpu_flags)})"),
    ]
    if result.best is not None:
        rows.append(("bundle", f"{result.out}: {result.best}"))
    rows.append(("others", result.search))
    parts: list[RenderableType] = [titled(f"{result.run}: candidates", grid), facts(rows)]
    if result.shortfall:
        target = f"no candidate meets {result.target_ms:g} ms" if result.target_ms is not None else "no candidate"
        parts.append(Text(f"{target}: {result.shortfall}", style="yellow"))
    return parts


def _numbers(outcome: Outcome) -> list[str]:
    speed, verdict = outcome.speed, outcome.verdict
    times = ["–"] * 4
    if speed is not None:
        each = (speed.median_ms, speed.p99_ms, speed.batch_ms)
        times = [*(f"{ms:.2f} ms" for ms in each), f"{speed.ratio:.2f} x"]
    scores = ["–"] * 2
    if verdict is not None:
        scores = [f"{100 * verdict.score:.1f} %", f"{max(0.0, -100 * verdict.least):.1f}"]
    return [*times, *scores, size(outcome.bytes) if outcome.bytes else "–"]
