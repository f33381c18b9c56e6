"""The replicates section of the search: the best settings again with other seeds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from raytl.config.section import Section


class ReplicatesConfig(Section):
    """Repeats of the best trials with other seeds, so that the winner is not picked by luck."""

    top: Annotated[int, Field(ge=0)] = 3
    """Number of trials to repeat. 0 = none."""
    seeds: Annotated[int, Field(ge=1)] = 3
    """Seeds per trial, including its own."""
