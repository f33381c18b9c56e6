"""Attention rollout (Abnar & Zuidema 2020): the attention of all blocks multiplied, half of each block being its residual.

It shows which patches the answer reads, whatever the answer is: it does not depend on the class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raytl.models.attribution.attention import Tokens, attention_of
from raytl.models.backbone import Backbone


@torch.no_grad()
def rollout(backbone: Backbone, tokens: Tokens, inputs: Tensor) -> Tensor:
    """Return the share of each patch, `(b, side, side)`."""
    with attention_of(backbone.module) as maps:
        backbone.module(inputs)
    joint = torch.eye(maps[0].shape[-1], device=inputs.device).expand(len(inputs), -1, -1)
    for attention in maps:
        joint = 0.5 * (attention.float().mean(dim=1) @ joint + joint)
    patches = joint[:, tokens.read, tokens.prefix :].mean(dim=1)
    return patches.reshape(len(inputs), tokens.side, tokens.side)
