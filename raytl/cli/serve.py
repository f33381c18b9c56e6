"""`raytl serve`: a bundle behind HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from raytl.cli.options import Json, Settings
from raytl.cli.progress import watching
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_machine
from raytl.feedback.opening import feedback_options, open_recorder
from raytl.serving.options import Limits, Replicas, ServeOptions, required_token
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
Feedback = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="Keep a sample of the answers, and uncertain and unfamiliar images, in this folder or s3:// prefix.",
        show_default=False,
    ),
]
FeedbackImages = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Images feedback_settings in each window for each reason. Default: 40.", show_default=False
    ),
]
FeedbackWindow = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Length of a window. Default: 3600.", show_default=False)
]
FeedbackDays = Annotated[
    float | None, typer.Option(metavar="DAYS", help="Delete windows that are older. Default: 30.", show_default=False)
]
FeedbackGb = Annotated[
    float | None,
    typer.Option(
        metavar="GB", help="Delete the oldest windows above this size of all. Default: 10.", show_default=False
    ),
]
Redact = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="A program that gets a photo on its input and writes the redacted one. Default: RAYTL_REDACT, if it is set.",
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
    feedback: Feedback = None,
    feedback_images: FeedbackImages = None,
    feedback_window: FeedbackWindow = None,
    feedback_days: FeedbackDays = None,
    feedback_gb: FeedbackGb = None,
    redact: Redact = None,
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
        options = ServeOptions(
            model=model,
            bundle=bundle,
            name=name,
            host=host,
            port=port,
            threads=threads,
            workers=workers,
            token=required_token(token_env, host),
            allow=tuple(allow or ()),
            poll_s=poll,
            open_metrics=open_metrics,
            limits=Limits(max_bytes=max_bytes, max_pixels=machine.max_pixels, queue=queue),
            ray=Replicas.chosen(ray, replicas, address, token_env),
            s3=S3Settings.of(machine.storage),
        )
        feedback_settings = feedback_options(
            feedback, feedback_images, feedback_window, feedback_days, feedback_gb, redact
        )
        with watching(terminal.err) as on_event:
            from raytl.serving.driver import serve as serve_model

            observer = (
                {}
                if feedback_settings is None
                else {"observer": open_recorder(feedback_settings, options.s3, on_event)}
            )
            serve_model(options, on_event, lambda uri: terminal.result({"uri": uri, "model": model}), **observer)
