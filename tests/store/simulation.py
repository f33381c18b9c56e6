"""Simulate one store, several machines and any number of processes with simulated time: the same seed gives the same
schedule.

Tasks run the real code in threads, of which exactly one runs at a time: a task that waits (for a response of the store, or
some seconds) yields to the next one. A request may be executed after its sender's timeout; requests and responses may be
lost; processes are paused and killed at any step; clocks jump.
"""

from __future__ import annotations

import _thread
import heapq
import itertools
import random
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from raytl.errors import Conflict, NotFound, Unavailable
from raytl.store.contract import ABSENT, ObjectInfo
from raytl.store.holder import Process

TIMEOUT_S = 20.0
"""Seconds that a client waits for a response."""


class Killed(BaseException):
    """The process of this task was killed."""


class _Runner:
    """A thread that runs one task after another."""

    idle: ClassVar[list[_Runner]] = []

    def __init__(self) -> None:
        self.turn = _thread.allocate_lock()
        self.turn.acquire()
        self.body: Callable[[], None] = lambda: None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.turn.acquire()
            self.body()

    @classmethod
    def get(cls) -> _Runner:
        return cls.idle.pop() if cls.idle else cls()


class Task:
    """An activity of a simulated process."""

    def __init__(self, world: World, process: SimProcess, body: Callable[[], None]) -> None:
        self.world, self.process, self._body = world, process, body
        self.runner, self.ended, self.killed, self.waits = _Runner.get(), False, False, 0
        self.runner.body = self._run

    def _run(self) -> None:
        try:
            self._body()
        except Killed:
            pass
        except BaseException as error:
            self.world.errors.append(error)
        self.ended = True
        _Runner.idle.append(self.runner)
        self.world.turn.release()

    def wait(self) -> None:
        """Yield until this task is woken."""
        if not self.killed:
            self.world.turn.release()
            self.runner.turn.acquire()
        if self.killed:
            raise Killed


class Machine:
    """A machine with a monotonic clock, whose rate deviates a little, and a wall clock, which jumps."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.boot = world, name, f"{name}-1"
        self.rate, self._offset = world.random.uniform(0.98, 1.02), world.random.uniform(0, 1e6)
        self.wall_offset, self.frozen_s = 1.8e9, 0.0

    def own(self) -> float:
        """Return the monotonic clock; it does not count the time for which the whole machine was frozen."""
        return self._offset + self.rate * (self.world.now - self.frozen_s)

    def wall(self) -> float:
        """Return the wall clock."""
        return self.wall_offset + self.world.now


class SimProcess:
    """A process on a machine, and its current faults."""

    def __init__(self, world: World, machine: Machine) -> None:
        self.world, self.machine, self.alive = world, machine, True
        self.identity = Process(machine.name, next(world.pids), machine.boot, 0)
        self.paused_until = self.cut_off_until = self.disturbed_until = -1.0
        world.processes[self.identity.pid] = self

    def is_alive(self, other: Process) -> bool | None:
        """Return whether a process is alive; None if it belongs to another machine."""
        return self.world.processes[other.pid].alive if other.boot == self.machine.boot else None

    def sleep(self, seconds: float) -> None:
        """Wait, by this machine's clock."""
        task = self.world.current
        self.world.wake_at(self.world.now + seconds / self.machine.rate, task)
        task.wait()

    def pause(self, seconds: float) -> None:
        """Pause all tasks of this process."""
        self.paused_until = max(self.paused_until, self.world.now + seconds)
        self.disturb(seconds)

    def cut_off(self, seconds: float) -> None:
        """Lose every request and response."""
        self.cut_off_until = max(self.cut_off_until, self.world.now + seconds)
        self.disturb(seconds)

    def disturb(self, seconds: float) -> None:
        self.disturbed_until = max(self.disturbed_until, self.world.now + seconds)


class World:
    """Time, tasks and the store's objects; `watch` receives each executed put."""

    def __init__(self, seed: int, watch: Callable[[str, bytes], None] = lambda key, content: None) -> None:
        self.random, self.now, self.is_calm, self._watch = random.Random(seed), 0.0, False, watch
        self.turn = _thread.allocate_lock()
        self.turn.acquire()
        self.pids, self._order, self._etags = itertools.count(1), itertools.count(), itertools.count(1)
        self.processes: dict[int, SimProcess] = {}
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.errors: list[BaseException] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._tasks: list[Task] = []
        self.current: Task

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Run the action at that time."""
        heapq.heappush(self._queue, (max(when, self.now), next(self._order), action))

    def start(self, process: SimProcess, body: Callable[[], None]) -> Task:
        """Start a task in the process."""
        task = Task(self, process, body)
        self._tasks.append(task)
        self.wake_at(self.now, task)
        return task

    def wake_at(self, when: float, task: Task) -> None:
        """Resume the task at that time, unless something else wakes it before."""
        waits = task.waits
        self.at(when, lambda: self._wake(task, waits))

    def _wake(self, task: Task, waits: int) -> None:
        process = task.process
        if task.ended or waits != task.waits or not process.alive:
            return
        if self.now < process.paused_until:
            self.at(process.paused_until, lambda: self._wake(task, waits))
            return
        task.waits += 1
        self._run(task)

    def _run(self, task: Task) -> None:
        self.current = task
        task.runner.turn.release()
        self.turn.acquire()
        if self.errors:
            raise self.errors[0]

    def run(self, until: float) -> None:
        """Advance the time."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = until

    def close(self) -> None:
        """End every task."""
        for task in self._tasks:
            task.killed = True
            while not task.ended:
                self._run(task)

    def request(self, process: SimProcess, action: Callable[[], Any]) -> Any:
        """Return the store's response, which may be late or lost."""
        task, draw = self.current, self.random
        if task.killed:
            raise Killed
        if not self.is_calm and draw.random() < 0.01:  # the process pauses right here
            process.pause(draw.choice((1.0, 30.0, 70.0, 150.0)))
            self.wake_at(self.now, task)
            task.wait()
        answers: list[Any] = []
        there, back, lost = self._way(process)
        waits = task.waits

        def arrive() -> None:
            if self.now < process.cut_off_until or lost == "request":
                return
            answers.append(_answered(action))
            if lost != "answer":
                self.at(self.now + back, lambda: self._deliver(process, task, waits))

        self.at(self.now + there, arrive)
        deadline = self.now + TIMEOUT_S
        self.wake_at(deadline, task)
        task.wait()
        if self.now >= deadline or not answers:
            raise Unavailable("no answer")
        kind, value = answers[0]
        if kind == "error":
            raise value
        return value

    def _deliver(self, process: SimProcess, task: Task, waits: int) -> None:
        if self.now >= process.cut_off_until:
            self._wake(task, waits)

    def _way(self, process: SimProcess) -> tuple[float, float, str]:
        """Return the latencies of the request and of its response, and which of them is lost."""
        draw = self.random
        there, back = draw.uniform(0.01, 0.3), draw.uniform(0.01, 0.3)
        if self.is_calm or draw.random() > 0.05:
            return there, back, ""
        process.disturb(TIMEOUT_S)
        kind = draw.choice(("late", "late", "request", "answer"))
        return (draw.choice((5.0, 40.0, 90.0, 200.0)), back, "") if kind == "late" else (there, back, kind)

    def get(self, key: str) -> tuple[bytes, str]:
        """Return an object and its etag."""
        if key not in self.objects:
            raise NotFound(key)
        return self.objects[key]

    def put(self, key: str, content: bytes, expected: str | None) -> ObjectInfo:
        """Compare and replace an object, atomically."""
        if expected not in (None, self.objects.get(key, (b"", ABSENT))[1]):
            raise Conflict(f"{key!r} does not match")
        self.objects[key] = content, str(next(self._etags))
        self._watch(key, content)
        return ObjectInfo(key, len(content), self.objects[key][1])


class SimStore:
    """The store, accessed by one process."""

    uri = "sim://store"

    def __init__(self, process: SimProcess) -> None:
        self._process, self._world = process, process.world

    def stat(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, 0, self._world.request(self._process, lambda: self._world.get(key))[1])

    def get_bytes(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        content: bytes = self._world.request(self._process, lambda: self._world.get(key))[0]
        return content

    def put_bytes(self, key: str, content: bytes, expected: str | None = None) -> ObjectInfo:
        done: ObjectInfo = self._world.request(self._process, lambda: self._world.put(key, content, expected))
        return done

    def guards(self, key: str, content: bytes) -> bool:
        return True


def _answered(action: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "value", action()
    except (Conflict, NotFound) as error:
        return "error", error
