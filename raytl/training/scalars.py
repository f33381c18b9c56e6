"""Write the scores of each epoch for TensorBoard, one small file per epoch, atomically.

torch's SummaryWriter writes from its own thread, which prints a traceback if the disk is full.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from raytl.run.atomic import write_bytes


def write_scalars(folder: Path, scores: Mapping[str, float], epoch: int) -> None:
    """Write the scores of `epoch` as an event file in `folder`; they replace those of this and later epochs.

    Raises:
        DiskError: the write failed.
    """
    name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{epoch:06d}"
    write_bytes(folder / name, encoded(scores, epoch, time.time()))


def encoded(scores: Mapping[str, float], epoch: int, now: float) -> bytes:
    """Return the event file: its version, the step from which it replaces older files, and the scores."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    values = [Summary.Value(tag=name, simple_value=value) for name, value in scores.items()]
    file = io.BytesIO()
    records = RecordWriter(file)
    for event in (
        Event(wall_time=now, file_version="brain.Event:2"),
        Event(wall_time=now, step=epoch, session_log=SessionLog(status=SessionLog.START)),
        Event(wall_time=now, step=epoch, summary=Summary(value=values)),
    ):
        records.write(event.SerializeToString())
    return file.getvalue()
