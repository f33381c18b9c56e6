"""Section: how do findings cope with noise, blur, light and dirt? Scores of corrupted validation photos, at three severities."""

from __future__ import annotations

from math import isnan

from raytl.assessment.corruption_plots import corruption_sheet, score_chart
from raytl.assessment.findings.evidence import FindingEvidence
from raytl.assessment.robustness import amount_text, broken_text, capital
from raytl.assessment.section import Figure, Options, Picture, SectionResult, Table
from raytl.assessment.texts import percent
from raytl.data.corruptions.suite import suite_named
from raytl.evaluation.robustness import Response, ScoreRobustness
from raytl.metrics.robustness import Scored, smallest_loss

_CHART = (
    "Mean {score} of {images} validation photos by severity (0 = unchanged), with 95 % bootstrap intervals over {units}, and the mean "
    "confidence of the {unit}s beside the fraction that is right. A cross marks the first severity at which {score} is lower by "
    "more than chance."
)
_SHEET = (
    "Photos of the validation split, unchanged and at the severities 1 to 3, in the resolution that the model sees. Above each "
    "are the severity and the amount, of which the table has the unit."
)


class FindingRobustnessSection:
    """See `raytl.assessment.section.Section`."""

    name = "robustness"
    needs_train = False

    def __call__(self, evidence: FindingEvidence, options: Options) -> SectionResult:
        """Return the score against severity, and what breaks the model first."""
        result, score = evidence.robustness, evidence.kind.score
        assert result is not None, "sections of NEEDS_PHOTOS get it"
        unit = evidence.kind.unit if evidence.val.findings.pixels is None else "pixel"
        names = {each.corruption for each in result.responses}
        suite = [each for each in suite_named(result.suite) if each.name in names]
        return SectionResult(
            title="Robustness: noise, blur, light and dirt",
            sentences=(*_sentences(result, score, evidence.kind.has_places), _overconfident(result)),
            tables=(_table(result, score),),
            figures=(
                Figure(
                    "robustness",
                    f"{score} by severity",
                    _CHART.format(score=score, images=result.images, unit=unit, units=_units(result)),
                    score_chart(result, score),
                ),
            ),
            pictures=(Picture("corruptions", "The severities", _SHEET, corruption_sheet(result.examples, suite)),),
            json=result.to_json(),
            warnings=_warnings(result, unit),
        )


SECTION = FindingRobustnessSection()


def _sentences(result: ScoreRobustness, score: str, has_places: bool) -> tuple[str, ...]:
    """Return what breaks the model first, the others by severity, and what was tested."""
    broken = sorted((each for each in result.responses if each.breaks_at), key=_order)
    clean = percent(result.clean.score.value)
    left_out = " Corruptions that move pixels are left out: annotations would not fit." if has_places else ""
    photos = f"{result.images} validation photos" + (f" of {result.groups} groups" if result.groups else "")
    note = (
        f"{photos}, whose {score} is {clean} on average unchanged; {3 * len(result.responses)} tests by random signs, "
        f"corrected for their number (Holm).{left_out}"
    )
    if not broken:
        return f"No corruption is shown to lower the {score}, up to severity 3 of {len(result.responses)} kinds.", note
    first = broken[0]
    answers = first.severities[(first.breaks_at or 1) - 1]
    return (
        f"{capital(first.corruption)} breaks the model first, at severity {first.breaks_at} ({amount_text(first)}): {score} "
        f"{clean} unchanged, {percent(answers.score.value)} then (corrected p {_p(answers.p)}).",
        broken_text(f"The {score}", broken, result.responses),
        note,
    )


def _warnings(result: ScoreRobustness, unit: str) -> tuple[str, ...]:
    if isnan(result.clean.confidence):
        return (f"The model reports no {unit} in the unchanged photos: nothing that it finds can be lost.",)
    needed = smallest_loss(sum(len(each.severities) for each in result.responses))
    there, units = result.groups or result.images, _units(result)
    if there >= needed:
        return ()
    return (
        f"The tests need {needed} {units}, and there are {there}: nothing can be shown to break the model. Use more validation "
        f"{units}.",
    )


def _units(result: ScoreRobustness) -> str:
    return "photos" if result.groups is None else "groups of photos"


def _order(response: Response[Scored]) -> tuple[int, float]:
    """Return the key that puts what breaks the model at the lowest severity, and there most, first."""
    severity = response.breaks_at or 4
    return severity, response.severities[severity - 1].score.value


def _table(result: ScoreRobustness, score: str) -> Table:
    rows = [
        (
            each.corruption,
            f"{', '.join(f'{amount:g}' for amount in each.amounts)} ({each.about})",
            *(percent(answers.score.value) + ("*" if answers.is_worse else "") for answers in each.severities),
            *(
                percent(answers.confidence - answers.correct) + ("*" if answers.is_overconfident else "")
                for answers in each.severities
            ),
            str(each.breaks_at or "–"),
        )
        for each in result.responses
    ]
    head = ("corruption", "at severity 1, 2, 3", f"{score} at 1", "2", "3", "overconfident at 1", "2", "3", "breaks at")
    title = f"Mean {score}, and confidence above what is right (* = worse than unchanged by more than chance)"
    return Table(title, head, tuple(rows), tuple(range(2, 9)))


def _overconfident(result: ScoreRobustness) -> str:
    """Return where confidence exceeds what is right by most, if it does by more than unchanged and more than chance."""
    cases = [
        (each.corruption, severity, answers)
        for each in result.responses
        for severity, answers in enumerate(each.severities, start=1)
        if answers.is_overconfident
    ]
    if not cases:
        return "No corruption is shown to make the model more overconfident."
    name, severity, answers = max(cases, key=lambda case: case[2].confidence - case[2].correct)
    return (
        f"Most overconfident under {name} at severity {severity}: {percent(answers.confidence)} confident, "
        f"{percent(answers.correct)} right (unchanged {percent(result.clean.confidence)} and {percent(result.clean.correct)})."
    )


def _p(value: float) -> str:
    return f"= {value:.3f}" if value >= 0.001 else "< 0.001"
