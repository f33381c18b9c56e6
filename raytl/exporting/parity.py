"""Does a bundle answer as the saved model does? A pure function of the answers of both to the same validation images.

In fp32, the answers must be the same but for rounding. bf16 and int8 are other networks: a loss of more than `max_drop` points must
be excluded at 95 % confidence, by the paired test that compares models everywhere in raytl.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.bundle.card import Precision
from raytl.errors import ModelError
from raytl.metrics.calibration import decision_losses
from raytl.metrics.miscalibration import CalibrationError, calibration_errors
from raytl.metrics.multiple import holm
from raytl.metrics.paired import Paired
from raytl.metrics.sign_flips import flipped, net_changes
from raytl.score_names import is_fraction, p_text, title
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, Score, at_most
from raytl.tasks.reporting import Slice

AGREEMENT, CORRUPTED_AGREEMENT = 0.999, 0.98
"""The least fraction of the answers that an fp32 bundle shares with the saved model, on photos and on corrupted ones."""
DIFFERENCE = 1e-3
"""The largest difference of a probability or score in fp32."""
LOSS_RISE = 0.05
"""The largest rise of the mean log loss in bf16 and int8, after the temperature is fitted again."""
CLASS_DROP, CORRUPTED_DROP = 0.05, 0.02
"""The largest drop of the score of a class, and of the accuracy on corrupted photos, that may be more than noise."""
_CHANCE = 0.05
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: what was found, what is allowed, and whether it passed."""

    name: Name
    value: Name
    allowed: Name
    passed: bool


@dataclass(frozen=True, slots=True)
class Parity:
    """The comparison of a bundle with the saved model on `images` validation images.

    `agreement` is the fraction of the same answers, `difference` the largest of a probability (None if answers have none).
    `score` and `reference` are those of bundle and saved model by `metric`, and `least` the lower bound of their difference at 95 %
    confidence: a larger loss is excluded. `log_loss` and `ece` are None if answers are not calibrated. `temperature_factor`
    multiplied the temperature of the graph.
    """

    format: Literal[1]
    precision: Precision
    images: Count
    agreement: Score
    difference: Score | None
    metric: Name
    score: Score
    reference: Score
    least: Score
    log_loss: Score | None
    reference_log_loss: Score | None
    ece: Score | None
    reference_ece: Score | None
    worst_class: Name
    corrupted_images: Count
    corrupted_agreement: Score | None
    max_drop: Score
    checks: Annotated[tuple[Check, ...], at_most(100, "checks")]
    temperature_factor: Score = 1.0
    unread: Count = 0

    @property
    def passed(self) -> bool:
        """True if the bundle may be written."""
        return all(each.passed for each in self.checks)

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each check that failed."""
        return tuple(
            f"{each.name}: found {each.value}; expected {each.allowed}" for each in self.checks if not each.passed
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"passed": self.passed}


PARITY_FORMAT = Format[Parity](
    Parity, "the parity of an exported model", "Export the model again with `raytl export`.", ModelError
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of the answers to n images: the number `same` and the largest `difference` of a probability; `ties` are images
    whose answers differ where the saved model itself is undecided. Both may be fractions of an image. `objects` is the number of
    those that the models report together, None for other answers."""

    images: int
    same: float
    difference: float | None
    ties: float = 0
    objects: int | None = None

    @property
    def fraction(self) -> float:
        """The fraction of the same answers; ties count as the same."""
        return min(1.0, (self.same + self.ties) / self.images) if self.images else 1.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """The mean log loss of decisions and their calibration error beside that of calibrated models."""

    log_loss: float
    ece: CalibrationError


@dataclass(frozen=True, slots=True)
class Corrupted:
    """The answers to corrupted photos: their agreement, how many only the saved model (`lost`) or only the bundle (`gained`)
    has right, and the p-value of the loss; no loss if an answer is not right or wrong as a whole."""

    agreement: Agreement
    lost: int = 0
    gained: int = 0
    p_worse: float = 1.0


def class_agreement(reference: ArrayLike, answers: ArrayLike) -> Agreement:
    """Return the agreement of probabilities `(n, classes)`: of the most probable class."""
    old, new = np.asarray(reference, np.float64), np.asarray(answers, np.float64)
    difference = np.abs(old - new).max(axis=1)
    same = old.argmax(axis=1) == new.argmax(axis=1)
    top = np.sort(old, axis=1)[:, -2:]
    is_tie = ~same & (top[:, -1] - top[:, 0] <= 2 * DIFFERENCE) & (difference <= DIFFERENCE)
    return Agreement(len(old), float(same.sum()), float(difference.max(initial=0)), int(is_tie.sum()))


def label_agreement(reference: ArrayLike, answers: ArrayLike, thresholds: ArrayLike) -> Agreement:
    """Return the agreement of probabilities `(n, labels)`: of every label, present or absent by its threshold `(labels,)`."""
    old, new = np.asarray(reference, np.float64), np.asarray(answers, np.float64)
    least = np.asarray(thresholds, np.float64)
    differs = (old >= least) != (new >= least)
    is_tie = differs & (np.abs(old - least) <= DIFFERENCE)
    size = max(1, old.shape[1])
    return Agreement(
        len(old),
        len(old) - float(differs.sum()) / size,
        float(np.abs(old - new).max(initial=0)),
        float(is_tie.sum()) / size,
    )


def calibration_of(targets: NDArray[np.int64], logits: NDArray[Any]) -> Calibration:
    """Return the calibration of decisions with logits `(m, k)`."""
    return Calibration(float(decision_losses(targets, logits).mean()), calibration_errors(targets, logits)["ece"])


def corrupted_of(
    agreement: Agreement, before: NDArray[np.bool_], after: NDArray[np.bool_], groups: NDArray[np.int64]
) -> Corrupted:
    """Return the comparison of answers that are right or wrong, `(m,)` of the saved model and of the bundle.

    Answers of one of `groups` `(m,)` err together: a photo at the border of two classes is lost under many corruptions at once.
    """
    gained, lost = ~before & after, before & ~after
    p_worse = flipped(net_changes(gained, lost, groups))[1]
    return Corrupted(agreement, int(lost.sum()), int(gained.sum()), p_worse)


def parity_of(
    precision: Precision,
    agreement: Agreement,
    pair: Paired,
    slices: Sequence[Slice],
    calibration: tuple[Calibration, Calibration] | None,
    corrupted: Corrupted | None,
    max_drop: float,
    *,
    factor: float = 1.0,
    unread: int = 0,
    groups: int | None = None,
) -> Parity:
    """Return the judgement of a bundle; `calibration` has that of the saved model and of the bundle. `groups` is the number of
    groups of the images, None if each is its own."""
    worst = _worst_class(slices)
    old, new = calibration or (None, None)
    checks = (
        [*_same(agreement, corrupted)] if precision == "fp32" else [_as_good(pair, max_drop, agreement.images, groups)]
    )
    if precision != "fp32":
        checks += _noise(worst, old, new, corrupted, max_drop)
    if agreement.objects == 0:
        checks.append(Check("objects", "none that either model reports", "at least one, or nothing is compared", False))
    return Parity(
        format=1,
        precision=precision,
        images=agreement.images,
        agreement=agreement.fraction,
        difference=agreement.difference,
        metric=pair.metric,
        score=pair.after,
        reference=pair.before,
        least=pair.least,
        log_loss=None if new is None else new.log_loss,
        reference_log_loss=None if old is None else old.log_loss,
        ece=None if new is None else new.ece.value,
        reference_ece=None if old is None else old.ece.value,
        worst_class="" if worst is None else worst.text,
        corrupted_images=0 if corrupted is None else corrupted.agreement.images,
        corrupted_agreement=None if corrupted is None else corrupted.agreement.fraction,
        max_drop=max_drop,
        checks=tuple(checks),
        temperature_factor=factor,
        unread=unread,
    )


def _worst_class(slices: Sequence[Slice]) -> Slice | None:
    """Return the class whose loss is least likely to be chance, of those that lost too much, or else the one that lost most; None
    without classes. Its p-value is corrected for their number."""
    classes = [each for each in slices if each.is_class]
    corrected = holm([each.p_worse for each in classes]).tolist()
    classes = [replace(each, p_worse=p) for each, p in zip(classes, corrected, strict=True)]
    lost = [each for each in classes if each.drop > CLASS_DROP]
    if lost:
        return min(lost, key=lambda each: (each.p_worse, -each.drop))
    return max(classes, key=lambda each: each.drop, default=None)


def _same(agreement: Agreement, corrupted: Corrupted | None) -> list[Check]:
    """Return the checks of fp32."""
    fraction, difference = agreement.fraction, agreement.difference
    checks = [
        Check("agreement", f"{100 * fraction:.2f} %", f"at least {100 * AGREEMENT:.1f} %", fraction >= AGREEMENT),
    ]
    if difference is not None:
        checks.append(
            Check("probabilities", f"{difference:.2g}", f"at most {DIFFERENCE:g} apart", difference <= DIFFERENCE)
        )
    if corrupted is not None:
        fraction = corrupted.agreement.fraction
        checks.append(
            Check(
                "agreement on corrupted photos",
                f"{100 * fraction:.1f} %",
                f"at least {100 * CORRUPTED_AGREEMENT:.0f} %",
                fraction >= CORRUPTED_AGREEMENT,
            )
        )
    return checks


def _as_good(pair: Paired, max_drop: float, images: int, groups: int | None) -> Check:
    """Return the check of the paired test. Where no image changed, resamples do not either: they exclude any loss, on few images too,
    so the text has the exact bound of the images, or groups, that may change."""
    unit = 100.0 if is_fraction(pair.metric) else 1.0
    least = unit * pair.least
    value = f"{unit * pair.gain:+.1f} points, and {images} images exclude a loss of more than {max(0.0, -least):.1f}"
    allowed = f"a loss of more than {max_drop:g} points excluded"
    if pair.gained == pair.lost == pair.gain == pair.least == 0:
        bound = 100 * (1 - _CHANCE ** (1 / max(1, groups or images)))
        units = (f"{images} images", "all") if groups is None else (f"{images} images of {groups} groups", "all groups")
        value = f"no change on {units[0]}, so at 95 % confidence on at most {bound:.1f} % of {units[1]}"
        allowed = f"no change on any image, or {allowed}"
    return Check(f"loss of {title(pair.metric)}", value, allowed, least >= -max_drop - _ROUNDING)


def _noise(
    worst: Slice | None, old: Calibration | None, new: Calibration | None, corrupted: Corrupted | None, max_drop: float
) -> list[Check]:
    """Return the checks of what an average hides: classes, calibration, and corrupted photos."""
    checks = []
    if worst is not None:
        is_noise = worst.drop <= CLASS_DROP or worst.p_worse > _CHANCE
        checks.append(
            Check(
                "worst class",
                f"{worst.text} ({p_text(worst.p_worse)})",
                f"no drop above {100 * CLASS_DROP:g} points beyond noise",
                is_noise,
            )
        )
    if old is not None and new is not None:
        rise = new.log_loss - old.log_loss
        checks.append(Check("log loss", f"{rise:+.3f}", f"at most {LOSS_RISE:+g}", rise <= LOSS_RISE))
        is_worse = new.ece.is_evidence and new.ece.value - old.ece.value > new.ece.high - new.ece.mean
        checks.append(
            Check(
                "calibration error",
                f"{100 * new.ece.value:.1f} % (saved model {100 * old.ece.value:.1f} %)",
                f"no more than the saved model beyond chance, or at most {100 * new.ece.high:.1f} %",
                not is_worse,
            )
        )
    if corrupted is not None and corrupted.lost + corrupted.gained:
        drop = (corrupted.lost - corrupted.gained) / corrupted.agreement.images
        allowed, p_worse = max(CORRUPTED_DROP, max_drop / 100), corrupted.p_worse
        checks.append(
            Check(
                "corrupted photos",
                f"{-100 * drop:+.1f} points ({p_text(p_worse)})",
                f"no drop above {100 * allowed:g} points beyond noise",
                drop <= allowed or p_worse > _CHANCE,
            )
        )
    return checks
