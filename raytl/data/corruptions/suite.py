"""The suites of corruptions. Amounts are chosen so that a person sees each severity, and can still name most objects at the third."""

from __future__ import annotations

from raytl.data.corruptions import blur, damage, geometry, light, noise, weather
from raytl.data.corruptions.corruption import Corruption
from raytl.errors import UserError

CAMERA = (
    Corruption("read noise", "standard deviation, fraction of full scale", (0.03, 0.08, 0.2), noise.read_noise),
    Corruption("shot noise", "photons of white", (100, 30, 8), noise.shot_noise),
    Corruption("defocus", "radius, fraction of the shorter side", (0.01, 0.02, 0.04), blur.defocus),
    Corruption("motion blur", "length, fraction of the shorter side", (0.04, 0.08, 0.16), blur.motion),
    Corruption("dark", "exposure in stops", (-1.5, -3, -4.5), light.exposure),
    Corruption("bright", "exposure in stops", (0.75, 1.5, 2.5), light.exposure),
    Corruption("low contrast", "factor", (0.5, 0.3, 0.15), light.contrast),
    Corruption("color cast", "red over blue or blue over red, in stops", (0.75, 1.5, 2.5), light.color_cast),
    Corruption("vignette", "loss of the corners in stops", (1.5, 3, 5), light.vignette),
    Corruption("JPEG", "quality", (30, 12, 5), damage.jpeg),
    Corruption("low resolution", "pixels that become one, along each side", (2, 4, 8), damage.low_resolution),
    Corruption("rotation", "degrees", (10, 25, 45), geometry.rotation, moves=True),
    Corruption("dirt", "spots on the lens", (6, 14, 32), damage.dirt),
)
"""What happens to photos of a product, a plant or a part: sensor, optics, light, files, and a dirty or tilted camera."""

IMAGENET_C = (
    Corruption("impulse noise", "fraction of the values", (0.02, 0.06, 0.15), noise.impulse_noise),
    Corruption("glass blur", "distance, fraction of the shorter side", (0.004, 0.008, 0.016), blur.glass),
    Corruption("zoom blur", "zoom while the shutter is open", (0.06, 0.15, 0.3), blur.zoom),
    Corruption("snow", "fraction of flakes", (0.04, 0.12, 0.3), weather.snow),
    Corruption("fog", "density", (0.35, 0.65, 0.9), weather.fog),
    Corruption("elastic", "distance, fraction of the shorter side", (0.015, 0.03, 0.06), geometry.elastic, moves=True),
    Corruption("pixelate", "pixels that become one, along each side", (3, 6, 12), damage.pixelate),
    Corruption("pale", "saturation", (0.5, 0.2, 0), light.saturation),
)
"""The rest of ImageNet-C (Hendrycks and Dietterich 2019), beside what `CAMERA` has, with amounts of our own.

Frost and spatter are left out: frost needs the photos of others, and dirt stands for spatter.
"""

SUITES = {"camera": CAMERA, "imagenet-c": IMAGENET_C}


def suite_named(name: str, has_places: bool = False) -> tuple[Corruption, ...]:
    """Return the corruptions of a suite; if truths have places, those that move no pixels.

    Raises:
        UserError: there is no such suite.
    """
    if name not in SUITES:
        raise UserError(f"suite {name!r}: there is no such suite; expected one of {', '.join(SUITES)}")
    return tuple(each for each in SUITES[name] if not (has_places and each.moves))
