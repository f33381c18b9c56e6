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
