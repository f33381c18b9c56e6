"""The source domain: letters and signs (no digits) rendered from fonts, distorted, and scanned at low quality.

Its role is that of ImageNet for photos: many free labelled images, related to the target domain (strokes on paper, often at
a resolution of about 8 pixels) but without any image of it.
"""

from __future__ import annotations

import string
from concurrent.futures import Executor, Future
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

PX = 32
"""Width of the images."""

LATIN = string.ascii_uppercase + "abdefghnqrty"  # lowercase letters that differ from capitals in more than size
SIGNS = "&@#$%?!+=<>/*{}[]§"
GREEK = "ΓΔΘΛΞΠΣΦΨΩαβγδεζηλμξπτφψω"
CYRILLIC = "БДЖИЛЦШЩЪЫЭЮЯджф"
GLYPHS = LATIN + SIGNS + GREEK + CYRILLIC
"""The classes: letters of three scripts, and signs. No digits."""

DEJAVU = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
)
MONO = ("DejaVuSansMono", "DejaVuSansMono-Oblique")
STIX = ("STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol")
TEX = ("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10")

CANVAS = 96
FONT_SIZE = 64

Rng = np.random.Generator


def begin(pool: Executor, root: Path, per_class: dict[str, int], seed: int = 0) -> list[Future[None]]:
    """Start to write `per_class[split]` images of every glyph on `pool`, as `root/<split>/<glyph>/<number>.png`."""
    return [pool.submit(write_glyph, root, per_class, seed, glyph) for glyph in GLYPHS]


def write_glyph(root: Path, per_class: dict[str, int], seed: int, glyph: str) -> None:
    """Write the images of one glyph; they depend only on the seed and the glyph."""
    draw = np.random.default_rng([seed, ord(glyph)])
    for split, count in per_class.items():
        folder = root / split / class_name(glyph)
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture(glyph, draw).save(folder / f"{number:04d}.png")


def class_name(glyph: str) -> str:
    """Return a folder name for `glyph` that is valid on every file system: U+0041 for A."""
    return f"U+{ord(glyph):04X}"


def picture(glyph: str, draw: Rng) -> Image.Image:
    """Return one gray image of `glyph`, `PX` pixels square, with random font, shape, resolution, contrast and noise."""
    ink = fitted(bent(stroke(typeset(glyph, draw), draw), draw), draw)
    return scanned(ink, draw)


def typeset(glyph: str, draw: Rng) -> Image.Image:
    """Return white ink of `glyph` on black, in one of the fonts that contain it."""
    fonts = fonts_of(glyph)
    name = fonts[draw.integers(len(fonts))]
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", FONT_SIZE)
    image = Image.new("L", (CANVAS, CANVAS))
    ImageDraw.Draw(image).text((CANVAS / 2, CANVAS / 2), glyph, fill=255, font=font, anchor="mm")
    return image


def fonts_of(glyph: str) -> tuple[str, ...]:
    """Return the fonts that contain `glyph`."""
    if glyph in LATIN:
        return DEJAVU + MONO + STIX + TEX
    return DEJAVU + MONO + STIX


def stroke(ink: Image.Image, draw: Rng) -> Image.Image:
    """Return the ink with thinner or thicker strokes."""
    width = int(draw.choice([-3, 0, 0, 3, 5]))
    if width == 0:
        return ink
    changed = ink.filter(ImageFilter.MaxFilter(width) if width > 0 else ImageFilter.MinFilter(-width))
    return changed if changed.getbbox() else ink


def bent(ink: Image.Image, draw: Rng, cells: int = 3) -> Image.Image:
    """Rotate, shear and warp the ink on a coarse mesh, like handwriting."""
    angle, shear = np.radians(draw.uniform(-15, 15)), draw.uniform(-0.3, 0.3)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ [[1, shear], [0, 1]]
    ticks = np.linspace(0, CANVAS, cells + 1)
    places = np.stack(np.meshgrid(ticks, ticks), axis=-1)  # (cells+1, cells+1, xy)
    corners = (places - CANVAS / 2) @ turn.T + CANVAS / 2 + draw.normal(0, 0.04 * CANVAS, places.shape)
    mesh = []
    for row in range(cells):
        for column in range(cells):
            box = (*places[row, column], *places[row + 1, column + 1])
            order = [(row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1)]
            mesh.append((tuple(int(v) for v in box), tuple(float(v) for at in order for v in corners[at])))
    return ink.transform(ink.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def fitted(ink: Image.Image, draw: Rng) -> Image.Image:
    """Crop the ink and place it slightly off center, filling most of the square."""
    box = ink.getbbox() or (0, 0, CANVAS, CANVAS)
    cropped = ink.crop(box)
    height = draw.uniform(0.72, 1.0) * CANVAS
    width = np.clip(height * cropped.width / max(cropped.height, 1) * draw.uniform(0.75, 1.25), 0.2 * CANVAS, CANVAS)
    cropped = cropped.resize((max(1, round(width)), max(1, round(height))), Image.Resampling.BILINEAR)
    page = Image.new("L", (CANVAS, CANVAS))
    free = (CANVAS - cropped.width, CANVAS - cropped.height)
    page.paste(cropped, tuple(round(space * draw.uniform(0.3, 0.7)) for space in free))
    return page


def scanned(ink: Image.Image, draw: Rng) -> Image.Image:
    """Return dark ink on light paper (sometimes inverted), often at 8 to 12 pixels, with blur, low contrast and noise."""
    side = int(draw.choice([8, 8, 8, 10, 12, PX]))
    small = ink.resize((side, side), Image.Resampling.BOX)
    if side < PX:
        gain = draw.uniform(1.0, 1.6)
        small = small.point([min(255, round(v * gain)) for v in range(256)])
    image = small.resize((PX, PX), Image.Resampling.BICUBIC)
    if draw.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(draw.uniform(0.3, 1.0)))
    if draw.random() > 0.15:
        image = ImageChops.invert(image)
    pixels = np.asarray(image, dtype=np.float32)
    pixels = (pixels - 128) * draw.uniform(0.7, 1.0) + 128 + draw.uniform(-20, 20)
    pixels += draw.normal(0, draw.uniform(0, 8), pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
