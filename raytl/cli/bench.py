"""`raytl bench`: the latency, start-up, size and memory of an exported model on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from raytl.cli.numbers import size
from raytl.cli.options import Json
from raytl.cli.tables import facts, table, titled
from raytl.cli.terminal import Terminal, guarded
from raytl.errors import UserError

if TYPE_CHECKING:
    from raytl.bundle.latency import Latency

Bundle = Annotated[
    Path,
    typer.Argument(metavar="BUNDLE", help="An exported model: the folder that raytl export wrote.", show_default=False),
]


def bench(
    bundle: Bundle,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Threads of the runtime, on as many CPUs.")] = 1,
    batch: Annotated[str, typer.Option(metavar="N,N", help="The numbers of photos of a call.")] = "1,32",
    seconds: Annotated[float, typer.Option(metavar="S", help="The time to measure each batch size.")] = 5.0,
    photos: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Photos to measure with. Default: noise, 640 x 480.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Measure an exported model on this machine: the time of a call, start-up, size and memory. Needs no torch.

    Run it on the machine that will answer. A call takes decoded photos and includes their resizing. The threads run on CPUs of
    their own; the first calls are not counted.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        from raytl.bundle.latency import bench as measured

        latency = measured(bundle, threads=threads, batches=_numbers(batch), seconds=seconds, photos=photos)
        terminal.show(*latency_tables(latency))
        terminal.result(latency.to_json())


def latency_tables(latency: Latency) -> list[RenderableType]:
    """Return the times of calls by batch size, and start-up, memory and size."""
    columns = ("batch", "median", "99 %", "network alone", "images/s", "calls")
    times = table(columns, right_aligned=columns)
    for each in latency.timings:
        alone = "–" if each.network_ms is None else f"{each.network_ms:.2f} ms"
        times.add_row(
            f"{each.batch}", f"{each.median_ms:.2f} ms", f"{each.p99_ms:.2f} ms", alone, f"{each.images_per_s:,.1f}",
            f"{each.calls:,}",
        )  # fmt: skip
    width, height = latency.photo_px
    where = f"CPU {', '.join(map(str, latency.cpus))}" if latency.cpus else "not pinned"
    processor = latency.processor
    rows = [
        ("start-up", f"{latency.start_s:.2f} s from a new process to its first answer"),
        ("memory", size(latency.memory_bytes)),
        ("size", size(latency.bytes)),
        ("measured", f"photos of {width} x {height} px, threads {latency.threads} ({where})"),
        ("processor", f"{processor.name} ({', '.join(processor.flags) or 'unknown features'})"),
    ]
    title = f"{latency.bundle}: {latency.model}, {latency.runtime} {latency.precision}, input {latency.input}"
    return [titled(title, times), facts(rows)]


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers in a list with commas.

    Raises:
        UserError: a part is no number.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--batch {text}: expected whole numbers with commas, such as 1,32") from None
