"""Export a challenger before it is published, so that the version has a bundle from its first moment."""

from __future__ import annotations

from raytl.config.machine import Machine
from raytl.config.schema import Experiment
from raytl.events import OnEvent
from raytl.run.run_store import RunStore


def export_challenger(experiment: Experiment, run: RunStore, on_event: OnEvent) -> str:
    """Write the bundle that `retrain.export` asks for into the folder of the run; return why it was refused, or nothing.

    Raises:
        ModelError: the network cannot be exported, or a runtime is not installed.
    """
    wanted = experiment.retrain.export
    if wanted is None:
        return ""
    from raytl.exporting.driver import ExportOptions, ParityFailed, export  # the exporter is slow to import

    options = ExportOptions(wanted.to, wanted.precision, wanted.input, wanted.max_drop)
    try:
        export(run.uri, options, force=True, machine=Machine.of(experiment).alone(), on_event=on_event)
    except ParityFailed as refused:
        return f"its {options.name} bundle fails: {'; '.join(refused.parity.failures)}"
    return ""
