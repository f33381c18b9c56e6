"""Write a saved model as an fp32 bundle: the graph, the card, the client, and what the answers are judged by."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from raytl.bundle import client
from raytl.bundle.card import BundleCard, Input, Origin, Thresholds, Unfamiliar, View, entry_of
from raytl.bundle.processor import this_processor
from raytl.evaluation.limits import limits as reported_limits
from raytl.evaluation.trust import TrustOptions, trust_of
from raytl.events import Message, OnEvent
from raytl.exporting.graph import export_graph, export_torch, exporting_for
from raytl.exporting.trained_run import TrainedRun
from raytl.run.atomic import write_json, write_text
from raytl.run.operating import Features, read_operating
from raytl.run.provenance import version
from raytl.sanitize import command
from raytl.tasks.objects import Limits
from raytl.tasks.saved import Saved, load_saved

CLIENT, REFERENCE, README = "client.py", "reference.npy", "README.md"


@dataclass(frozen=True, eq=False)
class Operating:
    """The operating points that a bundle applies, and the features `(m, d) float16` of unfamiliar photos' reference."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    reference: Features | None = None


def operating_of(run: TrainedRun, require: str | None, recall: Sequence[str], on_event: OnEvent) -> Operating:
    """Return the operating points of the report of a run: its sets and the limit of unfamiliar photos, and the thresholds of the
    aims `require` and `recall`. Without a report, only what the model itself has.

    Raises:
        RunError: aims are given, and the run has no report of this model.
        UserError: an aim cannot be read, or the report does not show that the model meets it.
    """
    own = _own_thresholds(run)
    folder, options = run.run_store.folder, TrustOptions(require, tuple(recall), uncertainty=True)
    if not (require or recall) and ("sets" not in run.saved.task.sections or not _has_points(run)):
        if "sets" in run.saved.task.sections:
            on_event(
                Message(
                    "no operating points: the bundle says neither prediction sets nor unfamiliar photos. "
                    f"`{command('raytl', 'report', run.run_store.uri)}` measures them; export again after it"
                )
            )
        return Operating(own)
    trust = trust_of(folder, run.run_store.uri, load_saved(folder.best), options)  # of its own: it watches the network
    assert trust is not None, "uncertainty is on"
    limit = trust.limit
    thresholds = Thresholds(
        answer=trust.answer,
        recall=dict(trust.recalls),
        member=trust.member,
        labels=own.labels,
        score=own.score,
        unfamiliar=None if limit is None else Unfamiliar(REFERENCE, limit.neighbors, limit.distance),
    )
    return Operating(thresholds, trust.reference)


def graph_limits(run: TrainedRun) -> Limits:
    """Return the limits of the objects that the graph returns: those of scores, with the overlap and the number of the run."""
    scored, keep = run.saved.task.limits or Limits(), reported_limits(run.recipe.predict, run.card)
    return Limits(min(scored.score, keep.score), keep.nms_iou, keep.max_detections)


def write_base(
    run: TrainedRun,
    saved: Saved,
    out: Path,
    input: Input = "crop",
    *,
    runtime: Literal["onnx", "torch"] = "onnx",
    operating: Operating | None = None,
) -> BundleCard:
    """Write the bundle of `saved` in fp32 into the folder `out`, and return its card.

    Raises:
        ModelError: the network cannot be exported.
        DiskError: the disk is full.
    """
    limits = graph_limits(run)
    graph = export_torch(saved, out, limits) if runtime == "torch" else export_graph(saved, input, out, limits)
    shutil.copyfile(client.__file__, out / CLIENT)
    points = operating or Operating(_own_thresholds(run))
    names = sorted([*(path.name for path in out.iterdir() if path.name.startswith(graph.name)), CLIENT, README])
    if points.reference is not None:
        np.save(out / REFERENCE, points.reference)
        names.append(REFERENCE)
    write_text(out / README, _readme(run, saved))
    processor, card, exporting = this_processor(), saved.card, exporting_for(saved)
    bundle = BundleCard(
        format=1,
        task=card.task,
        kind=exporting.kind,
        model=card.model,
        classes=card.classes,
        runtime=runtime,
        precision="fp32",
        input=input,
        graph=graph.name,
        outputs=exporting.outputs,
        view=view_of(saved),
        thresholds=points.thresholds,
        origin=Origin(
            run=run.run_store.name,
            weights=card.digest,
            raytl=version("raytl") or "",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            snapshot=run.snapshot,
            machine=processor.name,
            cpu_flags=processor.flags,
        ),
        files={name: entry_of(out / name) for name in names},
    )
    write_json(out / client.MODEL_JSON, bundle.to_json())
    return bundle


def view_of(saved: Saved) -> View:
    """Return the steps from a photo to a view of a saved model."""
    preprocess = saved.card.preprocess
    return View(
        image_px=preprocess.image_px,
        resize_px=preprocess.resize_px,
        crop_mode=preprocess.crop_mode,
        interpolation=preprocess.interpolation,  # type: ignore[arg-type]  # its bound has the same names
        bits=preprocess.bit_depth.bits,
        bits_fixed=preprocess.bit_depth.fixed,
        frame=preprocess.frame,
        pad=tuple(int(value) for value in preprocess.mean_color),
    )


def _own_thresholds(run: TrainedRun) -> Thresholds:
    exporting, keep = exporting_for(run.saved), reported_limits(run.recipe.predict, run.card)
    return Thresholds(
        labels=exporting.label_thresholds(run.saved), score=keep.score if exporting.kind == "objects" else None
    )


def _has_points(run: TrainedRun) -> bool:
    points, card = read_operating(run.run_store.folder.evaluation), run.card
    return points is not None and points.is_of(card.digest, card.classes, card.temperature)


def _readme(run: TrainedRun, saved: Saved) -> str:
    return (
        f"{saved.card.model}, trained by raytl for {saved.card.task}: the run {run.run_store.name}.\n"
        "`python client.py photo.jpg` prints the answer; it needs numpy, Pillow and the runtime in model.json, and not raytl.\n"
        "parity.json shows that it answers as the trained model does; `raytl serve` and `raytl bench` take this folder.\n"
    )
