"""`report.html`: one self-contained page; it makes no request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raytl.pages import jpeg, render
from raytl.pages.figures import inline
from raytl.score_names import title

if TYPE_CHECKING:
    from raytl.assessment.report import Assessment


def page(result: Assessment) -> str:
    """Return the page of a report."""
    return render(
        "raytl.assessment",
        "report.html.j2",
        result=result,
        look=result.look,
        scores=[(title(name), name, each) for name, each in result.scores.items()],
        sections=[
            (
                name,
                section,
                [
                    (figure, inline(figure.file, figure.title, figure.caption, figure.draw))
                    for figure in section.figures
                ],
                [(picture, jpeg(picture.image)) for picture in section.pictures],
            )
            for name, section in result.sections.items()
        ],
    )
