"""Write a saved model as an fp32 ONNX bundle whose client makes the views."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from raytl.bundle import client
from raytl.bundle.card import BundleCard, Origin, Thresholds, View, entry_of
from raytl.bundle.processor import this_processor
from raytl.export.trained_run import TrainedRun
from raytl.export.graph import export_graph, exporting_for
from raytl.run.atomic import write_json
from raytl.run.provenance import version
from raytl.tasks.saved import Saved


def write_base(run: TrainedRun, saved: Saved, out: Path) -> None:
    """Write the bundle of `saved` into the folder `out`.

    Raises:
        ModelError: the network cannot be exported.
    """
    graph = export_graph(saved, "crop", out)
    shutil.copyfile(client.__file__, out / "client.py")
    processor, card, exporting = this_processor(), saved.card, exporting_for(saved)
    bundle = BundleCard(
        format=1,
        task=card.task,
        kind=exporting.kind,
        model=card.model,
        classes=card.classes,
        runtime="onnx",
        precision="fp32",
        input="crop",
        graph=graph.name,
        outputs=exporting.outputs,
        view=view_of(saved),
        thresholds=Thresholds(labels=exporting.label_thresholds(saved)),
        origin=Origin(
            run=run.run_store.name,
            weights=card.digest,
            raytl=version("raytl") or "",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            snapshot=run.snapshot,
            machine=processor.name,
            cpu_flags=processor.flags,
        ),
        files={name: entry_of(out / name) for name in (graph.name, "client.py")},
    )
    write_json(out / client.MODEL_JSON, bundle.to_json())


def view_of(saved: Saved) -> View:
    """Return the steps from a photo to a view of a saved model."""
    preprocess = saved.card.preprocess
    return View(
        image_px=preprocess.image_px,
        resize_px=preprocess.resize_px,
        crop_mode=preprocess.crop_mode,
        interpolation=preprocess.interpolation,
        bits=preprocess.bit_depth.bits,
        bits_fixed=preprocess.bit_depth.fixed,
        frame=preprocess.frame,
        pad=tuple(int(value) for value in preprocess.mean_color),
    )
