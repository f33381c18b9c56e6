"""The advice in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raytl.advice.result import Advice, CandidateFit
from raytl.metrics.intervals import Interval
from raytl.metrics.learning_curve import LearningCurve
from raytl.metrics.suspects import is_trusted
from raytl.models.group_gap import GroupGap


def sentences(advice: Advice) -> tuple[str, ...]:
    """Return the advice: weights, how to fine-tune them, more labels, labels to check."""
    return (
        weights_sentence(advice),
        transfer_sentence(advice),
        curve_sentence(advice.curve),
        suspects_sentence(advice),
        *map(domain_sentence, advice.domains),
    )


def weights_sentence(advice: Advice) -> str:
    """Return which weights to take, and how sure that is."""
    best, chosen = advice.best, advice.advised_fit
    accuracy = f"a linear probe is right on {percent(chosen.probe)} of the images"
    if len(advice.fits) == 1:
        return f"Weights: {chosen.candidate.label}, the only candidate; {accuracy}."
    if not advice.undecided:
        return f"Weights: {best.candidate.label}; {accuracy}, and each other candidate is worse beyond chance."
    others = ", ".join(_behind(fit) for fit in advice.undecided)
    why = "" if chosen == best else f" The advice takes {chosen.candidate.label}, the smallest of these networks."
    return f"Weights: cannot tell {best.candidate.label} from {others} on {advice.images:,} images.{why}"


def _behind(fit: CandidateFit) -> str:
    gain = fit.gain
    assert gain is not None, "the best candidate is behind none"
    low, high = (f"{100 * bound:.1f}" for bound in (gain.low, gain.high))
    return f"{fit.candidate.label} ({100 * gain.gain:.1f} points behind, {low} to {high})"


def transfer_sentence(advice: Advice) -> str:
    """Return whether to extract features or to fine-tune, and how deep: what the recipe chose."""
    depth = advice.experiment.transfer.unfreeze
    why = next((choice.why for choice in advice.recipe if choice.key == "transfer.unfreeze"), "The experiment says so")
    words = {0: "extract features, and train the head only", "all": "fine-tune every stage"}
    return f"Transfer: {words.get(depth, f'fine-tune the top {depth} stages')}. {why.rstrip('.')}."


def curve_sentence(curve: LearningCurve) -> str:
    """Return how many more labels halve the error of the probe."""
    if curve.halving is None:
        return f"More labels: cannot tell what they bring; {curve.why}."
    low, high = curve.halving.low, curve.halving.high
    return f"More labels: halving the error needs about {_times(curve.halving.value)} x the labels ({_times(low)} to {_times(high)})."


def suspects_sentence(advice: Advice) -> str:
    """Return how many labels to check."""
    count, accuracy = len(advice.suspects), advice.advised_fit.probe.value
    wrong = f"{100 * (1 - accuracy):.0f} %"
    if not is_trusted(accuracy, len(advice.classes)):
        return f"Labels: cannot tell which are wrong; the probe itself is wrong on {wrong} of the images."
    if not count:
        return f"Labels: none of {advice.images:,} is suspect."
    return f"Labels: {count:,} of {advice.images:,} are suspect, the most suspect first; the probe itself is wrong on {wrong}."


def domain_sentence(gap: GroupGap) -> str:
    """Return how well a probe tells the images of a group that it never saw, such as another camera."""
    worst = min(gap.groups, key=lambda group: group.held_out)
    measured = (
        f"Another {gap.column}: a probe that never saw it is right on {percent(gap.held_out)} of its images, and on "
        f"{percent(gap.random)} of those that it saw others of; worst on {worst.name!r} ({100 * worst.held_out:.0f} %)."
    )
    return f"{measured} See adapt.method." if gap.is_shown else measured


def always_unmeasured(images: int, train: int, left_out: Sequence[str]) -> Iterator[str]:
    """Yield what no advice measures, and what this one left out."""
    yield "fine-tuned accuracy: frozen features rank networks, and fine-tuning can change the order"
    yield "validation and test images, latency, and other image sizes"
    if images < train:
        yield f"{train - images:,} of {train:,} training images"
    if left_out:
        more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        yield f"classes with one training image: {', '.join(left_out[:5])}{more}"


def percent(interval: Interval) -> str:
    """Return an accuracy with its interval: `91.2 % (86.0 to 95.4)`."""
    return f"{100 * interval.value:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _times(factor: float) -> str:
    return f"{factor:.1f}" if factor < 10 else f"{factor:,.0f}"
