"""`predict` in parts: plan, skip what is finished, predict the rest in this process or with Ray Data, and put the summary last."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

from raytl.batch_inference.output import Output
from raytl.batch_inference.part import Job, Options, loaded
from raytl.batch_inference.places import PartOptions, check_seen_by_all, etag_of, output_uri, run_place
from raytl.batch_inference.plan import Plan, part_photos, plan
from raytl.batch_inference.record import Receipt, Summary
from raytl.batch_inference.result import (
    BatchPredictions,
    batch_predictions,
    is_summary_of,
    summary_of,
    unreadable_of,
    versions,
)
from raytl.batch_inference.run import BatchRun
from raytl.batch_inference.sizing import sizing
from raytl.cluster.machines import machines
from raytl.cluster.placement import Size
from raytl.cluster.session import STARTED_HERE, session
from raytl.config.machine import Machine
from raytl.config.predict import PredictOptions
from raytl.config.schema import ComputeConfig
from raytl.cpus import usable_cpus
from raytl.data.manifest import listed
from raytl.errors import DataError
from raytl.evaluation.inputs import photos_with_etags
from raytl.evaluation.predictor import batch_of, reporting_of, settings_of
from raytl.evaluation.settings import in_force
from raytl.events import OnEvent, ignore
from raytl.metrics.aim import texts
from raytl.models.forward import gpu_count, pick_device
from raytl.registry.reader import fixed
from raytl.registry.reference import is_reference
from raytl.store.lease import WriteToken, held
from raytl.store.s3_settings import S3Settings


@dataclass(frozen=True)
class Request:
    """A request as its process needs it: the place of the model, the photos with their etags, and the settings."""

    run: str
    etags: Mapping[str, str]
    left_out: Mapping[str, tuple[str, ...]]
    output: Output
    options: Options
    machine: Machine
    parts: PartOptions
    batch: int | None


def predict_in_parts(
    run: str | os.PathLike[str],
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None,
    parts: PartOptions,
    batch_size: int | None = None,
    device: str | None = None,
    machine: Machine | None = None,
    on_event: OnEvent = ignore,
    require: str | None = None,
    recall: Sequence[str] = (),
    uncertainty: bool = False,
    **options: Unpack[PredictOptions],
) -> BatchPredictions:
    """Predict the photos in `inputs` in `parts` and write them below `out`.

    The tables together are what `raytl.evaluation.predict.predict` writes for the same photos. Parts that an earlier call with
    the same photos, model and options finished are kept, unless `parts` says to start anew. `compute.cluster` of
    `machine` says where the actors run.

    Raises:
        RunError, ModelError, RegistryError: there is no model in `run`.
        DataError: an input does not exist or holds no photos, or no photo could be read.
        UserError: `out` overlaps an input, holds other objects, or was begun with other photos, another model or options.
        ConfigError: so many workers do not fit.
        StoreError: the photos or the output cannot be reached.
        WorkersLost: the actors got no resources, made no progress, or died too often.
    """
    sources = [os.fspath(each) for each in ([inputs] if isinstance(inputs, str | os.PathLike) else inputs)]
    settings = in_force(machine, device, workers=2)
    output = Output(output_uri(out, sources), S3Settings.of(settings.storage))
    given, name = Options(require, texts(recall), uncertainty, options), os.fspath(run)
    where = fixed(name, output.s3) if is_reference(name) else run_place(name)
    skipped: dict[str, dict[str, None]] = defaultdict(dict)
    listing = photos_with_etags(sources, lambda path, reason: skipped[reason].update({path: None}), output.s3)
    left_out = {reason: tuple(files) for reason, files in skipped.items()}
    etags = {path: etag or etag_of(path) for path, etag in listing.items()}
    request = Request(where, etags, left_out, output, given, settings, parts, batch_size)
    with _sizes(settings.compute) as sizes:
        if settings.compute.cluster not in (*STARTED_HERE, "none"):
            check_seen_by_all([*etags, where, output.uri], len(sizes), settings.compute.cluster)
        return _predicted(request, sizes, on_event)


def _predicted(request: Request, sizes: Sequence[Size], on_event: OnEvent) -> BatchPredictions:
    """Predict what is not finished, under the lease of the output, and put the summary."""
    compute, output = request.machine.compute, request.output
    wanted = sizing(compute, request.parts.workers, sizes, len(request.etags))
    device = "cuda" if wanted.gpus else "cpu"
    is_alone = compute.cluster == "none" or (compute.cluster == "local" and wanted.actors == 1)
    machine = _alone(request.machine, device if is_alone else "cpu")
    predictor = loaded(request.run, machine, request.options, on_event)
    reporting_of(predictor).check_output("part.parquet", "parquet")
    batch = batch_of(device, request.batch)
    settings = {**settings_of(predictor), "device": device, "batch_size": str(batch)}
    whole = plan(request.etags, settings, part_photos(request.parts.part_size, batch))
    with held(output.lease_store, on_event) as lease:
        batch_run = BatchRun(whole, output.finished(whole, request.parts.new), on_event)
        retained = len(batch_run.receipts)
        done = output.summary(whole) if not batch_run.todo else None
        if done is not None and not is_summary_of(done, whole, batch_run.receipts, predictor.weights):
            done = None
        if done is None:
            batch_run.tell_retained(output.uri)
            output.begin(whole.stored(request.run, versions()))
            job = Job(
                run=request.run,
                weights=predictor.weights,
                plan=whole.digest,
                machine=_alone(request.machine, device),
                options=request.options,
                batch=batch,
                output=output,
                token=WriteToken(output.lease_store.uri, lease.holder.token, lease.holder.generation),
            )
            if is_alone:
                batch_run.here(job, predictor)
            else:
                batch_run.with_ray(job, compute, request.parts.workers)
            lease.check()
            done = _finish(request, whole, batch_run.receipts, predictor.weights)
    unreadable = unreadable_of(whole, batch_run.receipts)
    return batch_predictions(output.uri, done, retained, unreadable, request.left_out)


def _finish(request: Request, whole: Plan, receipts: Mapping[int, Receipt], weights: str) -> Summary:
    """Put the list of unreadable photos and the summary.

    Raises:
        DataError: no photo could be read.
    """
    unreadable = unreadable_of(whole, receipts)
    request.output.put_unreadable(unreadable)
    if len(unreadable) == whole.photos:
        reasons = listed([f"{each.path!r}: {each.reason}" for each in unreadable])
        raise DataError(f"none of {whole.photos} photos could be read:\n{reasons}")
    summary = summary_of(whole, receipts, request.run, weights)
    request.output.put_summary(summary)
    return summary


def _alone(machine: Machine, device: str) -> Machine:
    """Return the settings of one process on `device`."""
    compute = machine.compute.model_copy(update={"device": device})
    return machine.model_copy(update={"compute": compute}).alone()


@contextlib.contextmanager
def _sizes(compute: ComputeConfig) -> Iterator[list[Size]]:
    """Yield the CPUs and GPUs of each machine: of a running cluster, which stays connected meanwhile, or of this one."""
    if compute.cluster in (*STARTED_HERE, "none"):
        cpus = float(usable_cpus())
        yield [(cpus, float(pick_device(compute.device).type == "cuda" and gpu_count()))]
        return
    with session(compute.cluster):
        yield [each.size for each in machines() if not each.draining]
