"""The neck section of the model: the feature pyramid of a dense task."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from raytl.config.section import Section


class NeckConfig(Section):
    """The feature pyramid between the backbone and the head of a dense task."""

    channels: Annotated[int, Field(ge=32, le=1024, multiple_of=32)] | None = None
    """Channels of its maps, a multiple of 32. null = the default of the task."""
