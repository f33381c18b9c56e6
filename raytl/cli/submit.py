"""`raytl submit`: run a command as a job of a Ray cluster."""

from __future__ import annotations

from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from raytl.cli.jobs import Address, connect, follow, job_facts
from raytl.cli.numbers import plural, size
from raytl.cli.options import ExperimentFile, Json, Overrides
from raytl.cli.progress import PlainWatcher
from raytl.cli.renamed import renamed
from raytl.cli.tables import facts
from raytl.cli.terminal import Terminal, guarded
from raytl.config.load import load_experiment
from raytl.config.schema import Experiment
from raytl.run.provenance import git_state, installed_from_folder, user, version
from raytl.store.s3_settings import S3Settings
from raytl.uris import is_table_name

if TYPE_CHECKING:
    from raytl.jobs.client import JobState
    from raytl.jobs.pack import Pack
    from raytl.jobs.spec import JobSpec


class Verb(StrEnum):
    """The commands that can run as a job."""

    TRAIN = "train"
    TUNE = "tune"
    EVALUATE = "evaluate"
    RETRAIN = "retrain"


class Code(StrEnum):
    """The source of the cluster's raytl."""

    AUTO = "auto"
    IMAGE = "image"
    PIP = "pip"
    CHECKOUT = "checkout"


def submit(
    verb: Annotated[Verb, typer.Argument(help="The command to run.", show_default=False)],
    file: ExperimentFile,
    set_: Overrides = None,
    address: Address = None,
    code: Annotated[
        Code,
        typer.Option(
            help="Source of the cluster's raytl: its image, pip (this version), or this checkout. "
            "auto = checkout if raytl runs from one, else pip."
        ),
    ] = Code.AUTO,
    cpus: Annotated[
        float, typer.Option(min=0, help="CPUs to reserve for the job's driver; 0 = run it on the head.")
    ] = 0.0,
    new: Annotated[
        bool, typer.Option("--new", help="Submit another job even if one exists; the run starts over.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job and exit with its exit code.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the job without submitting it.")] = False,
    json: Json = False,
    raytl: Annotated[str | None, renamed("--raytl", "--code", {"code": "checkout"})] = None,
) -> None:
    """Run a command as a job of a Ray cluster.

    Submitting the same job again attaches to it if it runs or has succeeded, and resumes its run if it failed or was stopped.
    A retraining tick is attached to only while it runs.
    The experiment and, from a checkout, raytl's code are uploaded. Data and runs stay where the experiment says.
    The cluster uses its own credentials.
    """
    terminal = Terminal.open(json)
    with guarded(terminal, interrupted="interrupted; nothing was submitted"):
        experiment = load_experiment(file, set_ or [])
        spec, packed = described(verb, experiment, code, cpus, new)
        _refuse_local_rows(experiment, terminal)
        if dry_run:
            terminal.show(*spec_tables(spec, packed))
            terminal.result(asdict(spec))
            return
    with guarded(terminal, interrupted="detached; a job that was submitted continues: raytl jobs"):
        state = _submit(terminal, spec, packed, address, new, wait)
        terminal.show(*job_facts(state))
        terminal.result(asdict(state))
        if wait and state.status != "SUCCEEDED":
            raise typer.Exit(state.exit_code or 1)


def _refuse_local_rows(experiment: Experiment, terminal: Terminal) -> None:
    if is_table_name(experiment.data.uri):  # else the libraries that read data are not needed
        from raytl.data.formats.cluster_rows import refuse_local_rows

        s3 = S3Settings.of(experiment.storage)
        refuse_local_rows(experiment.data.uri, experiment.annotations, s3, PlainWatcher(terminal.err))


def _submit(terminal: Terminal, spec: JobSpec, packed: Pack, address: str | None, new: bool, wait: bool) -> JobState:
    """Submit the job or attach to the existing one; return its state, with `wait` its final one."""
    from raytl.jobs.client import JobState, next_attempt

    jobs = connect(address)
    decision = next_attempt(spec, jobs.attempts(spec.id.rpartition("-")[0]), new)
    if isinstance(decision, JobState):
        verb = "is already" if decision.active else "has already"
        terminal.say(f"{decision.id} {verb} {decision.status.lower()}; submit another with --new")
        state = decision
    else:
        terminal.say(f"uploading {size(len(packed.content))} ({plural(len(packed.sizes), 'file')})")
        state = jobs.submit(replace(decision), packed)
    return follow(terminal, jobs, state.id) if wait else state


def described(verb: Verb, experiment: Experiment, code: Code, cpus: float, new: bool) -> tuple[JobSpec, Pack]:
    """Return the job's first attempt and its package."""
    from raytl.jobs.pack import pack
    from raytl.jobs.spec import job_spec

    if code == Code.AUTO:
        code = Code.CHECKOUT if installed_from_folder("raytl") else Code.PIP
    folder = Path(__file__).resolve().parents[1] if code == Code.CHECKOUT else None
    packed, experiment = pack(experiment, folder)
    git = git_state(Path.cwd())
    return (
        job_spec(
            verb.value,
            experiment,
            packed,
            code_source=code.value,  # type: ignore[arg-type]  # auto was resolved
            version=version("raytl") or "unknown",
            user=user(),
            commit="" if git is None else str(git["commit"]) + ("+" if git["dirty"] else ""),
            new=new,
            cpus=cpus,
        ),
        packed,
    )


def spec_tables(spec: JobSpec, packed: Pack) -> list[RenderableType]:
    """Return the job as a table."""
    rows = [("job", spec.id), ("entrypoint", spec.entrypoint)]
    rows += [(key, value) for key, value in spec.metadata.items() if value]
    rows += [("runtime env", ", ".join(f"{key} {value}" for key, value in spec.runtime_env.items()))]
    largest = ", ".join(f"{name} {size(count)}" for name, count in packed.largest)
    rows += [("package", f"{size(len(packed.content))} in {plural(len(packed.sizes), 'file')}; largest: {largest}")]
    return [facts(rows), Text("dry run: nothing was submitted")]
