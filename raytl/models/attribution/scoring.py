"""The contract between a method and a task: the score of a class in the network's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from raytl.models.backbone import Backbone

Scores = Callable[[Any, Tensor], Tensor]
"""From the network's output for n images and the place of a class for each, `(n,)`, to the score of that class, `(n,)`."""

Method = Callable[[Backbone, Tensor, Tensor, Scores], Tensor]
"""From a network in evaluation mode, its normalized inputs `(b, 3, h, w)`, places `(b,)` and scores to maps `(b, rows, columns)`."""
