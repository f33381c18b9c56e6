"""`raytl cluster`: render the manifest of a cluster, and request GPUs from its autoscaler."""

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
from raytl.kube.cluster_spec import ClusterSpec
from raytl.kube.render import entrypoint, render, settings
from raytl.run.atomic import write_text

DEFAULTS = ClusterSpec()


class Target(StrEnum):
    """The launcher of the cluster."""

    KUBERAY = "kuberay"


class Kind(StrEnum):
    """A job with its own cluster, a cluster that jobs are submitted to, or scheduled retraining."""

    RAYJOB = "rayjob"
    RAYCLUSTER = "raycluster"
    CRONJOB = "cronjob"
    RAYCRONJOB = "raycronjob"


class Verb(StrEnum):
    """The command of a RayJob."""

    TRAIN = "train"
    TUNE = "tune"


def render_file(
    target: Annotated[Target, typer.Argument(help="The launcher of the cluster.", show_default=False)],
    kind: Annotated[
        Kind, typer.Option(help="A job with its own cluster, a cluster for jobs, or scheduled retraining.")
    ] = Kind.RAYJOB,
    gpus: Annotated[int, typer.Option(help="Total GPUs; the maximum for a raycluster.")] = DEFAULTS.gpus,
    gpus_per_node: Annotated[
        int, typer.Option(help="GPUs per machine; one worker pod uses all of them.")
    ] = DEFAULTS.gpus_per_node,
    cpus_per_gpu: Annotated[int, typer.Option(help="CPUs per GPU.")] = DEFAULTS.cpus_per_gpu,
    memory_per_gpu: Annotated[str, typer.Option(metavar="SIZE", help="Memory per GPU.")] = DEFAULTS.memory_per_gpu,
    cache: Annotated[str, typer.Option(metavar="SIZE", help="Local disk per pod.")] = DEFAULTS.cache,
    cache_class: Annotated[
        str, typer.Option(metavar="NAME", help="The storage class of that disk; default: the node's ephemeral storage.")
    ] = DEFAULTS.cache_class,
    spot: Annotated[bool, typer.Option("--spot/--on-demand", help="Run workers on spot or on-demand machines.")] = True,
    grace: Annotated[
        int, typer.Option(metavar="SECONDS", help="Seconds between the eviction notice of a worker and its end.")
    ] = DEFAULTS.grace_s,
    image: Annotated[str, typer.Option(help="The image that was built from clusters/Dockerfile.")] = DEFAULTS.image,
    name: Annotated[str, typer.Option(help="The name of all objects.")] = DEFAULTS.name,
    namespace: Annotated[str, typer.Option(help="The Kubernetes namespace.")] = DEFAULTS.namespace,
    bucket: Annotated[str, typer.Option(help="The bucket for data and runs.")] = DEFAULTS.bucket,
    runs_claim: Annotated[
        str, typer.Option(metavar="NAME", help="A ReadWriteMany PersistentVolumeClaim for runs, instead of the bucket.")
    ] = DEFAULTS.runs_claim,
    verb: Annotated[Verb, typer.Option(help="The command of a rayjob.")] = Verb.TRAIN,
    experiment: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An experiment to embed in the file; default: a ConfigMap.")
    ] = None,
    set_: Overrides = None,
    deadline: Annotated[int, typer.Option(metavar="SECONDS", help="Time limit of a rayjob.")] = DEFAULTS.deadline_s,
    schedule: Annotated[
        str, typer.Option(metavar="CRON", help="When a cronjob or raycronjob retrains (UTC).")
    ] = DEFAULTS.schedule,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to this file instead.")] = None,
    json: Json = False,
) -> None:
    """Render the Kubernetes manifest of a Ray cluster, with token, resource limits and network policy.

    The files in clusters/ are rendered from the defaults.
    """
    terminal = Terminal.open(json)
    with guarded(terminal):
        spec = ClusterSpec(
            kind=kind.value, name=name, namespace=namespace, image=image, gpus=gpus, gpus_per_node=gpus_per_node,
            cpus_per_gpu=cpus_per_gpu, memory_per_gpu=memory_per_gpu, cache=cache, cache_class=cache_class, bucket=bucket,
            runs_claim=runs_claim, spot=spot, verb=verb.value, overrides=tuple(set_ or ()), grace_s=grace,
            deadline_s=deadline, schedule=schedule,
        )  # fmt: skip
        if experiment is not None:
            spec = replace(spec, experiment=_resolved(experiment, spec))
        _write(terminal, spec, out, json)


def _write(terminal: Terminal, spec: ClusterSpec, out: Path | None, json: bool) -> None:
    """Write the rendered manifest to `out`, else to standard output."""
    text = render(spec)
    if out is not None:
        write_text(out, text)
        terminal.say(f"wrote {out}; see its first lines for usage")
    elif not json:
        sys.stdout.write(text)
    terminal.result({"cluster": asdict(spec), "entrypoint": entrypoint(spec), "out": out, "text": text})


def ask_for(
    gpus: Annotated[int, typer.Option(min=0, help="GPUs to request; 0 releases idle machines.", show_default=False)],
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Time limit for the GPUs to become available.")
    ] = 1800.0,
    json: Json = False,
) -> None:
    """Request GPUs from the autoscaler and wait for them; run this on the head.

    Training and sweeps are planned for the machines that exist. The request stays in force until the next one.
    """
    terminal = Terminal.open(json)
    with guarded(
        terminal, interrupted="interrupted; the request stays in force, cancel it with: raytl cluster ask --gpus 0"
    ):
        from raytl.cluster.autoscaler import request_gpus

        available = request_gpus(gpus, wait, terminal.say)
        terminal.show(f"{available} GPUs available")
        terminal.result({"requested": gpus, "gpus": available})


def _resolved(path: Path, cluster: ClusterSpec) -> str:
    """Return the text of the resolved experiment, to embed in the file."""
    experiment = load_experiment(path, settings(cluster))
    refuse_local(experiment, sends_table=False)
    if cluster.scheduled:
        registry_of(experiment)
    return to_yaml(experiment)
