"""The budget section of the search."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from raytl.config.section import Seconds, Section


class BudgetConfig(Section):
    """Limits of a sweep. A plan beyond them is rejected; a sweep that reaches one ends and picks its winner."""

    max_epochs: Annotated[int, Field(ge=1)] | None = None
    """Maximum epochs per trial. null = train.epochs. The winner is trained once more for search.refit_epochs."""
    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    """GPU-hours of all trials. null = no limit."""
    wall: Seconds | None = None
    """Wall time, such as '2 h'. null = no limit."""
