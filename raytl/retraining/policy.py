"""Is there reason to train? A pure function of earlier trainings, the changes, the clock and the policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from raytl.config.retrain import RetrainConfig
from raytl.feedback.monitor import Alarm
from raytl.retraining.changes import MIN_IMAGES, Changes
from raytl.score_names import p_text

_MAX_DRIFT_P = 0.05
"""The permutation p-value at which drift counts, beside its amount."""
_DAY_S, _TOLERATED, _TOLERANCE_S, _DAYS_TOLERANCE_S = 86400.0, 0.05, 600.0, 3600.0
"""A period of the policy is over up to 5 % early, but at most ten minutes, or an hour if it has a day or more."""


@dataclass(frozen=True)
class Skip:
    """Train nothing; with `attention`, ask for a decision by a person."""

    reasons: tuple[str, ...]
    attention: bool = False


@dataclass(frozen=True)
class Train:
    """Train a challenger, from version `start` (None: as the first version was)."""

    reasons: tuple[str, ...]
    start: int | None


@dataclass(frozen=True)
class Search:
    """Search the recipe again in `trials` trials; the winner is the challenger."""

    reasons: tuple[str, ...]
    start: int | None
    trials: int


Decision = Skip | Train | Search


@dataclass(frozen=True)
class TrainingHistory:
    """The champion, the time of the last training, the number of trainings since the last search, and the monitor's alarm.

    `is_misdated` says that the time of the last training is wrong: it counts as long ago.
    """

    champion: int | None = None
    last_trained: datetime | None = None
    since_search: int = 0
    alarm: Alarm | None = None
    is_misdated: bool = False

    @property
    def new_alarm(self) -> Alarm | None:
        """The alarm, unless a model was trained since."""
        if self.alarm is None or self.last_trained is None or self.is_misdated:
            return self.alarm
        return None if self.alarm.at <= self.last_trained else self.alarm

    def is_over(self, period_s: float, now: datetime) -> bool:
        """Return whether the period since the last training is over, less a tolerance: a daily tick may start a little earlier
        than the last one, and an hour earlier when the clocks change."""
        if self.last_trained is None or self.is_misdated:
            return True
        tolerance_s = min(_TOLERATED * period_s, _DAYS_TOLERANCE_S if period_s >= _DAY_S else _TOLERANCE_S)
        return (now - self.last_trained).total_seconds() >= period_s - tolerance_s

    def training_time(self, now: datetime) -> str:
        """Return the time of the last training in words: `was 6 h ago`."""
        if self.last_trained is None:
            return "was never"
        if self.is_misdated:
            return f"has the time {self.last_trained:%Y-%m-%d %H:%M}, which is still to come"
        return f"was {_span(max(0.0, (now - self.last_trained).total_seconds()))} ago"


def decide(history: TrainingHistory, changes: Changes, now: datetime, policy: RetrainConfig) -> Decision:
    """Return whether to train, search or skip, and why."""
    if history.last_trained is None:
        return _train_or_search(history, policy, ("no version yet",))
    if not changes.any:
        if policy.when.or_alarm and history.new_alarm is not None:
            advice = "but no image was added or relabelled; label images with `raytl collect`"
            return Skip((f"{_alarmed(history.new_alarm)}, {advice}",), attention=True)
        return Skip(("unchanged since the last training",))
    if changes.removed_classes and policy.how.removed_classes == "wait":
        names = ", ".join(map(repr, changes.removed_classes))
        return Skip(
            (
                f"no training images of {names}, which the champion knows; restore them, or set "
                "retrain.how.removed_classes to drop",
            ),
            attention=True,
        )
    reasons = _reasons(history, changes, now, policy)
    if not reasons:
        return Skip((_below_thresholds(changes, policy),))
    least = policy.when.at_most_every
    if least is not None and not history.is_over(least, now):
        ago = history.training_time(now)
        return Skip((f"{'; '.join(reasons)}; but the last training {ago} (at_most_every {_span(least)})",))
    return _train_or_search(history, policy, reasons)


def _reasons(history: TrainingHistory, changes: Changes, now: datetime, policy: RetrainConfig) -> tuple[str, ...]:
    when, reasons = policy.when, []
    if when.new_samples is not None and changes.new_samples >= when.new_samples:
        reasons.append(f"{changes.new_samples} new or relabelled images (threshold {when.new_samples})")
    for name in changes.new_classes:
        count = changes.added.get(name, 0)  # a rejected challenger was trained on the others
        if when.or_new_class is not None and count >= when.or_new_class:
            reasons.append(f"{count} images of the new class {name!r} (threshold {when.or_new_class})")
    drift = changes.drift
    far = (
        drift is not None
        and when.or_drift is not None
        and drift.amount >= when.or_drift
        and drift.auc_p <= _MAX_DRIFT_P
    )
    if drift is not None and far and changes.new_samples >= MIN_IMAGES:
        reasons.append(
            f"drift {drift.amount:.2f} of the new images (AUC {drift.auc:.2f}, {p_text(drift.auc_p)}, "
            f"threshold {when.or_drift:g})"
        )
    if when.or_alarm and history.new_alarm is not None:
        reasons.append(_alarmed(history.new_alarm))
    if when.or_every is not None and history.is_over(when.or_every, now):
        reasons.append(f"the last training {history.training_time(now)} (or_every {_span(when.or_every)})")
    return tuple(reasons)


def _train_or_search(history: TrainingHistory, policy: RetrainConfig, reasons: tuple[str, ...]) -> Decision:
    how = policy.how
    start = history.champion if how.start_from == "champion" else None
    again = how.search_again
    if again is not None and history.last_trained is not None and history.since_search + 1 >= again.every:
        due = f"{history.since_search} trainings since the last search (search_again.every {again.every})"
        return Search((*reasons, due), start, again.trials)
    return Train(reasons, start)


def _below_thresholds(changes: Changes, policy: RetrainConfig) -> str:
    parts = [f"{changes.new_samples} new or relabelled images"]
    if policy.when.new_samples is not None:
        parts[0] += f" (threshold {policy.when.new_samples})"
    if changes.removed_count:
        parts.append(f"{changes.removed_count} removed")
    if policy.when.or_drift is not None and changes.drift is not None:
        drift = changes.drift
        parts.append(f"drift {drift.amount:.2f} (p {drift.auc_p:.2f}, threshold {policy.when.or_drift:g})")
    return ", ".join(parts)


def _alarmed(alarm: Alarm) -> str:
    return (
        f"the monitor has an alarm since {alarm.at:%Y-%m-%d %H:%M} after {alarm.images:,} images "
        f"(evidence {min(alarm.evidence, 1e6):.3g}, needed {alarm.needed:g}; {', '.join(alarm.statistics)})"
    )


def _span(seconds: float) -> str:
    """`30 d`, `6 h`, `90 s`."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
