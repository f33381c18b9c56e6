"""Stand-ins for streams, events and pinned memory that record the order of calls: the paths of a GPU, run on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch


class Calls:
    """The calls so far, in order, each with the stream on which it was made."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.current = "main"
        self.streams = 0

    def add(self, call: str) -> None:
        self.made.append(f"{self.current}: {call}")


class FakeStream:
    """A stream by its name."""

    def __init__(self, calls: Calls, name: str) -> None:
        self.calls, self.name = calls, name

    def wait_stream(self, other: FakeStream) -> None:
        self.calls.add(f"{self.name} waits for {other.name}")


class FakeEvent:
    """An event on a stream."""

    def __init__(self, calls: Calls, **options: bool) -> None:
        self.calls, self.options = calls, options

    def record(self, stream: FakeStream) -> None:
        self.calls.add(f"record an event on {stream.name}, {self.options}")

    def synchronize(self) -> None:
        self.calls.add("the host waits for the event")


class Value:
    """A tensor, or targets, by name."""

    def __init__(self, calls: Calls, name: str) -> None:
        self.calls, self.name = calls, name

    def pin_memory(self) -> Value:
        self.calls.add(f"pin {self.name}")
        return self

    def to(self, device: Any, non_blocking: bool = False) -> Value:
        assert non_blocking, "the host waits for this copy"
        self.calls.add(f"copy {self.name}")
        return Value(self.calls, f"{self.name} on the GPU")

    def record_stream(self, stream: FakeStream) -> None:
        self.calls.add(f"keep {self.name} for {stream.name}")


@contextlib.contextmanager
def faked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Replace torch.cuda's streams and events while inside."""
    calls = Calls()

    def new_stream(device: Any) -> FakeStream:
        calls.streams += 1
        return FakeStream(calls, f"side {calls.streams}")

    @contextlib.contextmanager
    def on(stream: FakeStream) -> Iterator[None]:
        before, calls.current = calls.current, stream.name
        yield
        calls.current = before

    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "Stream", new_stream)
        patch.setattr(torch.cuda, "stream", on)
        patch.setattr(torch.cuda, "current_stream", lambda device: FakeStream(calls, calls.current))
        patch.setattr(torch.cuda, "Event", lambda **options: FakeEvent(calls, **options))
        yield calls
