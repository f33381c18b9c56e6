"""The made images that join the real ones in training (`data.synthetic`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from raytl.config.section import Section


class SyntheticConfig(Section):
    """Made images with labels, a fixed share of each training batch. They are never validation or test."""

    uri: str | None = None
    """Where the made images are, in any layout of data.uri; all are training images. Each class must have real images too. Copies of test images are an error."""
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Their share of each batch; the real images have the rest, and decide the number of steps of an epoch. 0 = none, so that a sweep can compare: `search.space: {data.synthetic.share: {choice: [0, 0.25, 0.5]}}`."""
