"""A heartbeat reports the worker's status."""

from __future__ import annotations

import threading

from raytl.cluster.heartbeat_sender import heartbeat_of
from raytl.world import World


def test_a_heartbeat_names_the_activity_its_duration_and_the_line_of_code() -> None:
    world = World(1, 2, 1)
    world.status.begin("all_reduce of the loss", in_collective=True)
    heartbeat = heartbeat_of(world, "10.0.0.2", "n", threading.get_ident())
    assert (heartbeat.rank, heartbeat.host, heartbeat.activity) == (1, "10.0.0.2", "all_reduce of the loss")
    assert heartbeat.in_collective
    assert heartbeat.location == "", "not looked up before it stalls"
    world.status.progressed_at -= 60
    late = heartbeat_of(world, "10.0.0.2", "n", threading.get_ident())
    assert late.stalled_s > 59
    assert "heartbeat_sender.py" in late.location
    world.status.progressed()
    assert heartbeat_of(world, "10.0.0.2", "n", threading.get_ident()).stalled_s < 1


def test_the_line_of_code_is_outside_the_standard_library() -> None:
    world, began, end = World.solo(), threading.Event(), threading.Event()
    world.status.progressed_at -= 60

    def wait() -> None:
        began.set()
        end.wait()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    assert began.wait(30)
    assert waiting.ident is not None
    assert "test_heartbeat_sender.py" in heartbeat_of(world, "10.0.0.2", "n", waiting.ident).location
    end.set()
    waiting.join()
