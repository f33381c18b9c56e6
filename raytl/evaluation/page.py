"""A report as HTML for notebooks: scores with intervals, the classes, the confusion matrix and the worst mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raytl.evaluation.score_text import interval_text, score_text, title
from raytl.template import embedded, render

if TYPE_CHECKING:
    from raytl.evaluation.report import Report

_MAX_CLASSES = 50

_PAGE = """
<div class="raytl"><style>{{ style }}</style>
<h3>{{ report.subject.run }}: {{ report.subject.split }} split{{ ", look %d" % report.look if is_again }}</h3>
<p class="soft">{{ report.images }} images, {{ report.subject.model }}, weights {{ report.subject.weights[:12] }}</p>
{% if is_again %}
<p><b>Look {{ report.look }}.</b> This test split was evaluated before, so these numbers may be optimistic.</p>
{% endif %}
<table><tr><th>score</th><th>value</th><th>95 % interval</th></tr>
{% for name, value, interval in scores %}
<tr><td>{{ name }}</td><td>{{ value }}</td><td>{{ interval }}</td></tr>
{% endfor %}
</table>
<table><tr><th>class</th><th>images</th><th>precision</th><th>recall</th><th>F1</th></tr>
{% for name, images, precision, recall, f1 in classes %}
<tr><td>{{ name }}</td><td>{{ images }}</td><td>{{ precision }}</td><td>{{ recall }}</td><td>{{ f1 }}</td></tr>
{% endfor %}
</table>
{% if hidden %}<p class="soft">The {{ classes | length }} classes with the lowest F1; {{ hidden }} more.</p>{% endif %}
{% if confusion %}<img alt="Confusion matrix" src="{{ confusion }}">{% endif %}
{% if worst %}<img alt="Worst mistakes" src="{{ worst }}">{% endif %}
</div>
"""


def as_html(report: Report) -> str:
    """Return the report as one HTML element that needs nothing else: pictures are embedded, names escaped."""
    estimates, folder = report.estimates, Path(report.folder)
    f1 = np.array([each.value for each in estimates.f1])
    order = sorted(np.argsort(f1, kind="stable")[:_MAX_CLASSES].tolist())
    return render(
        _PAGE,
        report=report,
        is_again=report.is_again,
        scores=[(title(n), score_text(n, each.value), interval_text(n, each)) for n, each in estimates.overall.items()],
        classes=[
            (
                report.classes[i],
                estimates.support[i],
                *(score_text("f1", part[i].value) for part in (estimates.precision, estimates.recall, estimates.f1)),
            )
            for i in order
        ],
        hidden=len(report.classes) - len(order),
        confusion=embedded(folder / "confusion.png"),
        worst=embedded(folder / "worst.png"),
    )
