"""`index.html`: all maps on one page that needs no other file."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from raytl.evaluation.explanation.record import Explanations
from raytl.pages import Html, render

FILE = "index.html"
MAX_EMBEDDED = 400
"""Pictures in the page itself; of others it has the text and a link."""
_WIDTH_PX = 640
_TITLES = {"cam": "Grad-CAM", "rollout": "Attention rollout", "ig": "Integrated gradients", "occlusion": "Occlusion"}
_MEANING = {
    "cam": "Bright cells raise the score of the class.",
    "rollout": "Bright patches are those that the network reads, whatever class it answers.",
    "ig": "Bright cells raise the score of the class, compared with an image of the mean color.",
    "occlusion": "The score of the class falls where bright cells are covered.",
}


def title_of(method: str) -> str:
    """Return the name of a method for people."""
    return _TITLES[method]


def thumbnail(picture: Path) -> Html:
    """Return a picture at the size of the page, as a `data:` URI; nothing if it was not drawn."""
    if not picture.is_file():
        return Html()
    stream = io.BytesIO()
    with Image.open(picture) as small:
        small.thumbnail((_WIDTH_PX, _WIDTH_PX), Image.Resampling.LANCZOS)
        small.save(stream, "JPEG", quality=82)
    return Html("data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode())


def page(result: Explanations, folder: Path) -> str:
    """Return the page of all maps, whose pictures lie below `folder`."""
    embedded = [thumbnail(folder / each.picture) for each in result.explanations[:MAX_EMBEDDED]]
    embedded += [Html()] * (len(result.explanations) - len(embedded))
    return render(
        "raytl.evaluation.explanation",
        "explanations.html.j2",
        result=result,
        rows=list(zip(result.explanations, embedded, strict=True)),
        known=any(each.correct is not None for each in result.explanations),
        title=title_of(result.method),
        meaning=_MEANING[result.method],
    )
