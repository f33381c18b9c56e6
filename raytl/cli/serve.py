"""`raytl serve`: a bundle behind HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from raytl.cli.options import Json, Settings
from raytl.cli.progress import watching
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_machine
from raytl.gc_pause import importing
from raytl.serving.options import Limits, Replicas, ServeOptions, required_token
from raytl.serving.recording import feedback_options
from raytl.store.s3_settings import S3Settings

_DEFAULTS = Limits()


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A bundle of `raytl export`, a run that has one, either in a bucket (s3://...), or models:trash@champion.",
        show_default=False,
    ),
]
BundleName = Annotated[
    str | None, typer.Option("--bundle", metavar="NAME", help="The bundle of a run or version that has several.")
]
ModelName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="The model's name for clients. Default: MODEL's end.")
]
Host = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Address to listen on. Any but this machine's own needs a token.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port; 0 = a free one.")]
Threads = Annotated[
    int, typer.Option(min=0, max=1024, metavar="N", help="Threads for each photo; 0 = one for each core.")
]
Workers = Annotated[
    int, typer.Option(min=0, max=1024, metavar="N", help="Photos computed at once; 0 = cores / threads.")
]
TokenEnv = Annotated[
    str | None,
    typer.Option(
        "--token-env",
        metavar="NAME",
        help="Variable with the token that clients send. Default: RAYTL_SERVE_TOKEN.",
    ),
]
OpenMetrics = Annotated[
    bool, typer.Option("--open-metrics", help="Answer /metrics and the health endpoints without a token.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="s3://BUCKET/PREFIX",
        help="Requests may name objects below it; may be repeated.",
        show_default=False,
    ),
]
MaxBytes = Annotated[int, typer.Option("--max-bytes", min=1024, metavar="N", help="The largest body of a request.")]
QueueSize = Annotated[int, typer.Option(min=0, metavar="N", help="Photos that may wait.")]
Poll = Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time between looks at an alias or a bucket.")]
OnRay = Annotated[bool, typer.Option("--ray", help="Serve on Ray Serve, with replicas.")]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="With --ray: the cluster, auto or host:port. Default: a Ray of its own.",
        show_default=False,
    ),
]
ReplicaRange = Annotated[
    str | None,
    typer.Option(metavar="MIN[:MAX]", help="With --ray: replicas, added under load. Default: 1.", show_default=False),
]

FeedbackUri = Annotated[
    str | None,
    typer.Option(
        metavar="URI", help="Record a sample of the answered photos below it, for `raytl collect`.", show_default=False
    ),
]
FeedbackImages = Annotated[
    int | None,
    typer.Option(
        "--feedback-images",
        metavar="N",
        help="Recorded each window: random, uncertain and unfamiliar ones. Default: 40 of each.",
    ),
]
FeedbackWindow = Annotated[
    float | None,
    typer.Option(
        "--feedback-window", metavar="SECONDS", help="Time after which what was recorded is stored. Default: 3600."
    ),
]
FeedbackGb = Annotated[
    float | None,
    typer.Option("--feedback-gb", metavar="N", help="Delete the oldest recorded photos beyond. Default: 10."),
]
FeedbackDays = Annotated[
    float | None,
    typer.Option("--feedback-days", metavar="N", help="Delete recorded photos after. Default: 30."),
]
RedactCommand = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="Changes each recorded photo first, from standard input to output. Default: RAYTL_REDACT.",
        show_default=False,
    ),
]


def serve(
    model: Model,
    bundle: BundleName = None,
    name: ModelName = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    threads: Threads = 1,
    workers: Workers = 0,
    token_env: TokenEnv = None,
    open_metrics: OpenMetrics = False,
    allow: Allow = None,
    max_bytes: MaxBytes = _DEFAULTS.max_bytes,
    queue: QueueSize = _DEFAULTS.queue,
    poll: Poll = 30.0,
    ray: OnRay = False,
    address: Address = None,
    replicas: ReplicaRange = None,
    feedback: FeedbackUri = None,
    feedback_images: FeedbackImages = None,
    feedback_window: FeedbackWindow = None,
    feedback_days: FeedbackDays = None,
    feedback_gb: FeedbackGb = None,
    redact: RedactCommand = None,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Serve a bundle over HTTP: /predict, the Open Inference Protocol, health and metrics; see /docs of the server.

    An alias that moves to another version swaps the model without a failed request. Ctrl-C or SIGTERM lets requests that have
    begun finish.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted="stopped"):
        machine = load_machine(set_ or [])
        recorded = feedback_options(
            feedback,
            images=feedback_images,
            window_s=feedback_window,
            days=feedback_days,
            max_gb=feedback_gb,
            redact=redact,
        )
        options = ServeOptions(
            model, bundle=bundle, name=name, host=host, port=port, threads=threads, workers=workers, poll_s=poll,
            token=required_token(token_env, host), open_metrics=open_metrics, allow=tuple(allow or ()), feedback=recorded,
            limits=Limits.of(max_bytes, machine.max_pixels, queue),
            ray=Replicas.chosen(ray, replicas, address, token_env), s3=S3Settings.of(machine.storage),
        )  # fmt: skip
        with watching(terminal.err) as on_event:
            with importing():
                from raytl.serving.driver import serve as serve_model

            serve_model(options, on_event, lambda uri: terminal.result({"uri": uri, "model": model}))
