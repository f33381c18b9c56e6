"""`raytl cluster`: the files that clusters are started from, and machines for them."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from raytl.cli.options import Json, Overrides
from raytl.cli.terminal import Terminal, guarded
from raytl.config.dump import to_yaml
from raytl.config.load import load_experiment
from raytl.jobs.pack import refuse_local
from raytl.jobs.spec import registry_of
from raytl.kube.needs import Needs
from raytl.kube.render import entrypoint, render, settings
from raytl.run.atomic import write_text

DEFAULTS = Needs()


class Target(StrEnum):
    """What starts the cluster."""

    KUBERAY = "kuberay"


class Kind(StrEnum):
    """One job with a cluster of its own, a cluster that jobs are submitted to, or a tick of retraining by a schedule."""

    RAYJOB = "rayjob"
    RAYCLUSTER = "raycluster"
    CRONJOB = "cronjob"
    RAYCRONJOB = "raycronjob"


class Verb(StrEnum):
    """What a RayJob does."""

    TRAIN = "train"
    TUNE = "tune"


def render_file(
    target: Annotated[Target, typer.Argument(help="What starts the cluster.", show_default=False)],
    kind: Annotated[
        Kind, typer.Option(help="A job with a cluster of its own, a cluster for jobs, or retraining on a schedule.")
    ] = Kind.RAYJOB,
    gpus: Annotated[int, typer.Option(help="GPUs in all; of a raycluster, at most.")] = DEFAULTS.gpus,
    gpus_per_node: Annotated[
        int, typer.Option(help="GPUs of one machine; a worker's pod has all.")
    ] = DEFAULTS.gpus_per_node,
    cpus_per_gpu: Annotated[int, typer.Option(help="CPUs for each GPU.")] = DEFAULTS.cpus_per_gpu,
    memory_per_gpu: Annotated[str, typer.Option(metavar="SIZE", help="Memory for each GPU.")] = DEFAULTS.memory_per_gpu,
    cache: Annotated[str, typer.Option(metavar="SIZE", help="Local disk of each pod.")] = DEFAULTS.cache,
    cache_class: Annotated[
        str, typer.Option(metavar="NAME", help="The storage class of that disk; the node's own where left out.")
    ] = DEFAULTS.cache_class,
    spot: Annotated[bool, typer.Option("--spot/--on-demand", help="Whether workers may lie on spot machines.")] = True,
    grace: Annotated[
        int, typer.Option(metavar="SECONDS", help="From the notice that a worker goes until it is killed.")
    ] = DEFAULTS.grace_s,
    image: Annotated[str, typer.Option(help="The image of clusters/Dockerfile, as it was pushed.")] = DEFAULTS.image,
    name: Annotated[str, typer.Option(help="The name of it all.")] = DEFAULTS.name,
    namespace: Annotated[str, typer.Option(help="The Kubernetes namespace.")] = DEFAULTS.namespace,
    bucket: Annotated[str, typer.Option(help="The bucket of data and runs.")] = DEFAULTS.bucket,
    runs_claim: Annotated[
        str, typer.Option(metavar="NAME", help="A ReadWriteMany claim to keep runs in, instead of the bucket.")
    ] = DEFAULTS.runs_claim,
    verb: Annotated[Verb, typer.Option(help="What a rayjob does.")] = Verb.TRAIN,
    experiment: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The rayjob's experiment; it then travels in the file.")
    ] = None,
    set_: Overrides = None,
    deadline: Annotated[int, typer.Option(metavar="SECONDS", help="A rayjob's longest life.")] = DEFAULTS.deadline_s,
    schedule: Annotated[
        str, typer.Option(metavar="CRON", help="When a cronjob or raycronjob retrains, in UTC.")
    ] = DEFAULTS.schedule,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a file instead.")] = None,
    json: Json = False,
) -> None:
    """Write the file that starts a Ray cluster for given needs, with its token, limits and network policy.

    The files in clusters/ are what this prints with the defaults.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        needs = Needs(
            kind=kind.value, name=name, namespace=namespace, image=image, gpus=gpus, gpus_per_node=gpus_per_node,
            cpus_per_gpu=cpus_per_gpu, memory_per_gpu=memory_per_gpu, cache=cache, cache_class=cache_class, bucket=bucket,
            runs_claim=runs_claim, spot=spot, verb=verb.value, overrides=tuple(set_ or ()), grace_s=grace,
            deadline_s=deadline, schedule=schedule,
        )  # fmt: skip
        if experiment is not None:
            needs = replace(needs, experiment=_resolved(experiment, needs))
        text = render(needs)
        if out is not None:
            write_text(out, text)
            terminal.say(f"written to {out}; its first lines say how to use it")
        elif not json:
            sys.stdout.write(text)
        terminal.result({"needs": asdict(needs), "entrypoint": entrypoint(needs), "out": out, "text": text})


def ask_for(
    gpus: Annotated[int, typer.Option(min=0, help="GPUs to be there; 0 lets idle machines go.", show_default=False)],
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for them.")] = 1800.0,
    json: Json = False,
) -> None:
    """Ask a growing cluster for GPUs, on its head, and wait for them.

    Training is planned for the machines that are there; what is asked for stays until something else is.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted="left; what was asked for still is: raytl cluster ask --gpus 0"):
        from raytl.cluster.autoscaler import request_gpus

        found = request_gpus(gpus, wait, terminal.say)
        terminal.show(f"{found} GPUs are there")
        terminal.result({"asked": gpus, "gpus": found})


def _resolved(path: Path, needs: Needs) -> str:
    """The experiment's text as it is to travel."""
    experiment = load_experiment(path, settings(needs))
    refuse_local(experiment)
    if needs.scheduled:
        registry_of(experiment)
    return to_yaml(experiment)
