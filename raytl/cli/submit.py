"""`raytl submit`: the same words, done by a cluster."""

from __future__ import annotations

from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.jobs import Address, attached, followed, job_facts
from raytl.cli.numbers import size
from raytl.cli.options import ExperimentFile, Json, Overrides
from raytl.cli.tables import facts
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_experiment
from raytl.config.schema import Experiment
from raytl.run.provenance import git_state, installed_from_folder, user, version

if TYPE_CHECKING:
    from raytl.jobs.pack import Pack
    from raytl.jobs.spec import JobSpec


class Verb(StrEnum):
    """What a cluster can be told to do."""

    TRAIN = "train"
    TUNE = "tune"
    EVALUATE = "evaluate"
    RETRAIN = "retrain"


class Supply(StrEnum):
    """Where the cluster's raytl comes from."""

    AUTO = "auto"
    IMAGE = "image"
    PIP = "pip"
    CODE = "code"


def submit(
    verb: Annotated[Verb, typer.Argument(help="What to do with the experiment.", show_default=False)],
    file: ExperimentFile,
    set_: Overrides = None,
    address: Address = None,
    code: Annotated[
        Supply,
        typer.Option(
            help="Where the cluster's raytl comes from: its image; pip, at this version; the code of this checkout; "
            "auto = code where raytl is a checkout here, else pip."
        ),
    ] = Supply.AUTO,
    cpus: Annotated[
        float, typer.Option(min=0, help="CPUs that the job's own process reserves; 0 = on the head.")
    ] = 0.0,
    new: Annotated[bool, typer.Option("--new", help="Another job though one is there; the run starts over.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job, and end with its exit code.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be submitted, and submit nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Submit a verb to a Ray cluster.

    The same submission again attaches to the job that runs or has succeeded, or goes on with the run of one that failed or
    was stopped; a tick of retraining is attached to only while it runs.
    The experiment and, from a checkout, raytl's code travel with the job; data and runs are read and written where the
    experiment says, with the cluster's own credentials.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted="left; the job goes on: raytl jobs"):
        experiment = load_experiment(file, set_ or [])
        spec, packed = specified(verb, experiment, code, cpus, new)
        if dry_run:
            terminal.show(*spec_tables(spec, packed))
            terminal.result(asdict(spec))
            return
        from raytl.jobs.client import JobState, next_attempt

        jobs = attached(address)
        decided = next_attempt(spec, jobs.attempts(spec.id.rpartition("-")[0]), new)
        if isinstance(decided, JobState):
            terminal.say(f"{decided.id} is there already, {decided.status.lower()}; --new makes another")
            state = decided
        else:
            terminal.say(f"uploading {size(len(packed.content))}: {len(packed.sizes)} files")
            state = jobs.submit(replace(decided), packed)
        if wait:
            state = followed(terminal, jobs, state.id)
        terminal.show(*job_facts(state))
        terminal.result(asdict(state))
        if wait and state.status != "SUCCEEDED":
            raise typer.Exit(state.exit_code or 1)


def specified(verb: Verb, experiment: Experiment, supply: Supply, cpus: float, new: bool) -> tuple[JobSpec, Pack]:
    """The job, first attempt, and what travels with it."""
    from raytl.jobs.pack import pack
    from raytl.jobs.spec import job_spec

    if supply == Supply.AUTO:
        supply = Supply.CODE if installed_from_folder("raytl") else Supply.PIP
    code = Path(__file__).resolve().parents[1] if supply == Supply.CODE else None
    packed, experiment = pack(experiment, code)
    git = git_state(Path.cwd())
    return (
        job_spec(
            verb.value,
            experiment,
            packed,
            supply=supply.value,  # type: ignore[arg-type]  # auto was resolved
            version=version("raytl") or "unknown",
            user=user(),
            commit="" if git is None else str(git["commit"]) + ("+" if git["dirty"] else ""),
            new=new,
            cpus=cpus,
        ),
        packed,
    )


def spec_tables(spec: JobSpec, packed: Pack) -> list[RenderableType]:
    """The job for people."""
    rows = [("job", spec.id), ("runs", spec.entrypoint)]
    rows += [(key, value) for key, value in spec.metadata.items() if value]
    rows += [("environment", ", ".join(f"{key} {value}" for key, value in spec.runtime_env.items()))]
    largest = ", ".join(f"{name} {size(count)}" for name, count in packed.largest)
    rows += [("travels", f"{size(len(packed.content))} in {len(packed.sizes)} files; the largest: {largest}")]
    return [facts(rows), Text("nothing was submitted")]
