"""Select the method for a network: the one that was asked for if it is valid, or the default with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from raytl.errors import ModelError
from raytl.models.attribution.attention import tokens_of
from raytl.models.attribution.cam import grad_cam
from raytl.models.attribution.gradients import STEPS, summed_gradients
from raytl.models.attribution.layer import FEWEST_CELLS, map_layer
from raytl.models.attribution.occlusion import CELLS, occlusion
from raytl.models.attribution.rollout import rollout
from raytl.models.attribution.scoring import Scores
from raytl.models.backbone import Backbone

AUTO = "auto"
METHODS = ("cam", "rollout", "ig", "occlusion")


@dataclass(frozen=True)
class Attribution:
    """A method for one network: its `name`, the reason in words, whether its maps depend on the class, and `maps`, from
    normalized inputs, places and scores to maps `(b, rows, columns)`."""

    name: str
    why: str
    by_class: bool
    maps: Callable[[Tensor, Tensor, Scores], Tensor]


def attribution(backbone: Backbone, method: str = AUTO, by_class: bool = False) -> Attribution:
    """Return `method` for `backbone`, which is in evaluation mode on its device.

    `auto` is Grad-CAM where the stages end in a map, attention rollout for plain ViTs, and occlusion elsewhere. With
    `by_class`, the maps must depend on the class.

    Raises:
        ModelError: there is no such method, or it is not valid for this network.
    """
    if method == AUTO:
        valid = (_cam(backbone), None if by_class else _rollout(backbone))
        return next((each for each in valid if each), None) or _fallback(backbone, by_class)
    if method not in METHODS:
        raise ModelError(f"method: found {method!r}; expected {AUTO}, {', '.join(METHODS)}")
    if method == "rollout" and by_class:
        raise ModelError(
            "method: attention rollout is the same for every class; expected a method that depends on the class. "
            "Use ig or occlusion"
        )
    chosen = _BY_NAME[method](backbone)
    if chosen is None:
        raise ModelError(f"method: {method} is not valid for {backbone.name}: {_REFUSED[method]}. Use ig or occlusion")
    return chosen


def _cam(backbone: Backbone) -> Attribution | None:
    layer = map_layer(backbone)
    if layer is None:
        return None
    why = f"the stages end in a map of {layer.size[0]} x {layer.size[1]} cells ({layer.name}), and every answer passes through it"
    return Attribution("cam", why, True, partial(grad_cam, backbone, layer))


def _rollout(backbone: Backbone) -> Attribution | None:
    tokens = tokens_of(backbone)
    if tokens is None:
        return None
    why = f"each of {tokens.blocks} blocks attends over {tokens.side} x {tokens.side} patches; the map is the same for every class"
    return Attribution("rollout", why, False, lambda inputs, places, scores: rollout(backbone, tokens, inputs))


def _ig(backbone: Backbone) -> Attribution:
    why = f"gradients at {STEPS} steps from the mean color to the image, summed in cells"
    return Attribution("ig", why, True, partial(summed_gradients, backbone, steps=STEPS))


def _occlusion(backbone: Backbone) -> Attribution:
    why = f"the loss of score with squares of the mean color, on {CELLS} x {CELLS} cells"
    return Attribution("occlusion", why, True, partial(occlusion, backbone, cells=CELLS))


def _fallback(backbone: Backbone, by_class: bool) -> Attribution:
    """Return occlusion, which needs nothing of the network, with the reason for it."""
    lacking = f"the stages do not end in a map of {FEWEST_CELLS} x {FEWEST_CELLS} or more cells that every answer passes through"
    other = "rollout does not depend on the class" if by_class else "it is not a plain ViT"
    chosen = _occlusion(backbone)
    return Attribution(chosen.name, f"{lacking}, and {other}: {chosen.why}", chosen.by_class, chosen.maps)


_BY_NAME: dict[str, Callable[[Backbone], Attribution | None]] = {
    "cam": _cam,
    "rollout": _rollout,
    "ig": _ig,
    "occlusion": _occlusion,
}
_REFUSED = {
    "cam": f"its stages do not end in a map of {FEWEST_CELLS} x {FEWEST_CELLS} or more cells that every answer passes through",
    "rollout": "it is not a plain ViT, in which each block attends over all patches",
}
