"""Section: how does the model cope with noise, blur, light and dirt? Validation photos, corrupted at three severities."""

from __future__ import annotations

import math
from collections.abc import Sequence

from raytl.assessment.corruption_plots import corruption_sheet, response_chart
from raytl.assessment.section import Evidence, Figure, Options, Picture, SectionResult, Table
from raytl.data.corruptions.suite import suite_named
from raytl.evaluation.robustness import A, Response, Robustness
from raytl.metrics.robustness import Answered

_CHART = (
    "Accuracy on {images} validation photos by severity (0 = unchanged), with {intervals}, and the mean confidence "
    "of the model. Confidence above accuracy is overconfidence. A cross marks the first severity at which accuracy is lower "
    "by more than chance."
)
_SHEET = (
    "Photos of the validation split, unchanged and at the severities 1 to 3, in the resolution that the model sees. Above each "
    "are the severity and the amount, of which the table has the unit."
)


class RobustnessSection:
    """See `raytl.assessment.section.Section`."""

    name = "robustness"
    needs_train = False

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return accuracy and calibration against severity, and what breaks the model first."""
        result = evidence.robustness
        assert result is not None, "sections of NEEDS_PHOTOS get it"
        return SectionResult(
            title="Robustness: noise, blur, light and dirt",
            sentences=(*_verdict(result), *_overconfident(result)),
            tables=(_table(result),),
            figures=(
                Figure(
                    "robustness",
                    "Accuracy and confidence by severity",
                    _CHART.format(
                        images=result.images,
                        intervals="exact 95 % intervals" if result.groups is None else "95 % intervals over groups",
                    ),
                    response_chart(result),
                ),
            ),
            pictures=(
                Picture(
                    "corruptions",
                    "The severities",
                    _SHEET,
                    corruption_sheet(result.examples, suite_named(result.suite)),
                ),
            ),
            json=result.to_json(),
            warnings=_warnings(result),
        )


SECTION = RobustnessSection()


def _verdict(result: Robustness) -> tuple[str, ...]:
    """Return what breaks the model first, the others by severity, and what the tests could not have seen."""
    broken = sorted((each for each in result.responses if each.breaks_at), key=_order)
    clean, tests = _percent(result.clean.accuracy.value), 3 * len(result.responses)
    photos, lost = f"{result.images} validation photos", f"{result.smallest_loss} photos or more"
    if result.groups is not None:
        photos, lost = f"{photos} of {result.groups} groups", f"photos in {result.smallest_loss} groups or more"
    note = (
        f"{photos}, {clean} right unchanged; {tests} exact tests, corrected for their number (Holm). "
        f"They can confirm a loss of {lost}."
    )
    if not broken:
        return f"No corruption is shown to lower accuracy, up to severity 3 of {len(result.responses)} kinds.", note
    first = broken[0]
    answers = first.severities[(first.breaks_at or 1) - 1]
    return (
        f"{capital(first.corruption)} breaks the model first, at severity {first.breaks_at} ({amount_text(first)}): {clean} "
        f"right unchanged, {_percent(answers.accuracy.value)} then (corrected p {_p(answers.p)}).",
        broken_text("Accuracy", broken, result.responses),
        note,
    )


def broken_text(what: str, broken: Sequence[Response[A]], responses: Sequence[Response[A]]) -> str:
    """Return at which severities `what` falls under the `broken` of all responses."""
    parts = []
    for severity in (1, 2, 3):
        names = [each.corruption for each in broken if each.breaks_at == severity]
        if names:
            parts.append(f"at severity {severity}: {', '.join(names)}")
    others = [each.corruption for each in responses if each.breaks_at is None]
    rest = f" No loss is shown for {', '.join(others)}." if others else ""
    return f"{what} falls by more than chance {'; '.join(parts)}.{rest}"


def _order(response: Response[Answered]) -> tuple[int, float, float]:
    """Return the key that puts what breaks the model at the lowest severity, and there most, first."""
    severity = response.breaks_at or 4
    answers = response.severities[severity - 1]
    return severity, answers.accuracy.value, answers.p


def _overconfident(result: Robustness) -> tuple[str, ...]:
    """Return where the model is overconfident by most, if the calibration error is more than chance."""
    cases = [
        (each.corruption, severity, answers)
        for each in result.responses
        for severity, answers in enumerate(each.severities, start=1)
        if answers.ece.is_evidence and _excess(answers) > 0
    ]
    if not cases:
        return ("No corruption makes the model overconfident by more than chance.",)
    name, severity, answers = max(cases, key=lambda case: _excess(case[2]))
    return (
        f"Most overconfident under {name} at severity {severity}: {_percent(answers.confidence)} confident, "
        f"{_percent(answers.accuracy.value)} right.",
    )


def _excess(answers: Answered) -> float:
    return answers.confidence - answers.accuracy.value


def _table(result: Robustness) -> Table:
    head = ("corruption", "at severity 1, 2, 3", "right at 1", "2", "3", "ECE at 1", "2", "3", "breaks at")
    rows = [
        (
            each.corruption,
            f"{', '.join(f'{amount:g}' for amount in each.amounts)} ({each.about})",
            *(_percent(answers.accuracy.value) + ("*" if answers.is_worse else "") for answers in each.severities),
            *(_percent(answers.ece.value) + ("*" if answers.ece.is_evidence else "") for answers in each.severities),
            str(each.breaks_at or "–"),
        )
        for each in result.responses
    ]
    return Table("Accuracy and calibration error (* = more than chance)", head, tuple(rows), tuple(range(2, 9)))


def _warnings(result: Robustness) -> tuple[str, ...]:
    intact = round(result.clean.accuracy.value * result.images)
    if result.groups is not None and result.groups < result.smallest_loss:
        return (
            f"The tests need a loss in {result.smallest_loss} groups, and the photos are of {result.groups}: nothing can be shown "
            "to break the model. Use photos of more groups.",
        )
    if intact >= result.smallest_loss:
        return ()
    return (
        f"{intact} photos are right unchanged, and the tests need a loss of {result.smallest_loss}: nothing can be shown to "
        "break the model. Use more validation photos.",
    )


def amount_text(response: Response[A]) -> str:
    """Return the amount at which the corruption breaks the model, with its unit."""
    return f"{response.about}: {response.amounts[(response.breaks_at or 1) - 1]:g}"


def capital(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}".removesuffix(".0") + " %"


def _p(value: float) -> str:
    return f"= {value:.3f}" if value >= 0.001 else "< 0.001"
