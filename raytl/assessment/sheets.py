"""Sheets of thumbnails, as the network sees the images, for `raytl report`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.pages.figures import Draw, chart_text, new_figure, small

LIMIT = 16
"""Thumbnails on one sheet."""
_EACH_IN = 1.15
_TEXT_IN = 0.34
_ENLARGED = 2
"""Pixels of a drawing for each of a thumbnail, so that the edges of pixels stay sharp where a browser smooths."""


def sheet(thumbnails: NDArray[np.uint8], notes: Sequence[str]) -> Draw:
    """Return a chart of the first thumbnails `(n, h, w, 3)`, each above its note."""
    pictures, texts = np.array(thumbnails[:LIMIT]), list(notes[:LIMIT])

    def draw(width: float) -> Any:
        columns = max(2, min(len(pictures), int(width / _EACH_IN)))
        rows = -(-len(pictures) // columns)
        figure = new_figure(width, max(1, rows) * (width / columns + _TEXT_IN))
        every = figure.subplots(max(1, rows), columns, squeeze=False).ravel()
        for axes in every:
            axes.axis("off")
        for axes, image, text in zip(every, pictures, texts, strict=False):
            axes.imshow(image.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1), interpolation="nearest")
            axes.set_title("\n".join(chart_text(line, 18) for line in text.split("\n")), **small())
        return figure

    return draw
