"""Is there reason to train? A pure function of the registry, what changed, the clock and the policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from raytl.config.retrain import RetrainConfig
from raytl.retrain.changes import LEAST, Changes

_SURE = 0.05
"""The permutation p-value that drift has to have, beside its size."""


@dataclass(frozen=True)
class Skip:
    """Nothing is trained; with `attention`, somebody should look."""

    reasons: tuple[str, ...]
    attention: bool = False


@dataclass(frozen=True)
class Train:
    """A challenger is trained, from version `start` (None: as the first one)."""

    reasons: tuple[str, ...]
    start: int | None


@dataclass(frozen=True)
class Search:
    """The recipe is searched anew in `trials` trials; its winner is the challenger."""

    reasons: tuple[str, ...]
    start: int | None
    trials: int


Decision = Skip | Train | Search


@dataclass(frozen=True)
class Known:
    """What the registry tells: the champion, when the last version was trained, and how many since the last search."""

    champion: int | None = None
    last_trained: datetime | None = None
    since_search: int = 0


def decide(known: Known, changes: Changes, now: datetime, policy: RetrainConfig) -> Decision:
    """Whether to train or to search, and why."""
    if known.last_trained is None:
        return _how(known, policy, ("there is no version yet",))
    if not changes.any:
        return Skip(("nothing changed since the last training",))
    if changes.removed_classes and policy.how.removed_classes == "wait":
        names = ", ".join(map(repr, changes.removed_classes))
        return Skip(
            (
                f"no training images are left of {names}, which the champion knows; put them back, or set "
                "retrain.how.removed_classes to drop",
            ),
            attention=True,
        )
    reasons = _reasons(known, changes, now, policy)
    if not reasons:
        return Skip((_short_of(changes, policy),))
    least = policy.when.at_most_every
    if least is not None and now - known.last_trained < timedelta(seconds=least):
        return Skip((f"{'; '.join(reasons)}; but the last training was {_ago(known.last_trained, now)} ago, and there is at "
                     f"most one in {_span(least)}",))  # fmt: skip
    return _how(known, policy, reasons)


def _reasons(known: Known, changes: Changes, now: datetime, policy: RetrainConfig) -> tuple[str, ...]:
    when, found = policy.when, []
    if when.new_samples is not None and changes.new_samples >= when.new_samples:
        found.append(f"{changes.new_samples} new or relabelled images, {when.new_samples} are enough")
    for name in changes.new_classes:
        count = changes.added.get(name, 0)  # those that a rejected challenger has learnt from are no new reason
        if when.or_new_class is not None and count >= when.or_new_class:
            found.append(f"{count} images of the new class {name!r}, {when.or_new_class} are enough")
    drift = changes.drift
    far = drift is not None and when.or_drift is not None and drift.amount >= when.or_drift and drift.auc_p <= _SURE
    if drift is not None and far and changes.new_samples >= LEAST:
        found.append(
            f"the new images have drifted by {drift.amount:.2f} (AUC {drift.auc:.2f}, p {drift.auc_p:.3f}), "
            f"{when.or_drift:g} is enough"
        )
    last = known.last_trained
    if when.or_every is not None and last is not None and now - last >= timedelta(seconds=when.or_every):
        found.append(f"the last training was {_ago(last, now)} ago, and {_span(when.or_every)} is the longest")
    return tuple(found)


def _how(known: Known, policy: RetrainConfig, reasons: tuple[str, ...]) -> Decision:
    how = policy.how
    start = known.champion if how.start_from == "champion" else None
    again = how.search_again
    if again is not None and known.last_trained is not None and known.since_search + 1 >= again.every:
        said = f"{known.since_search} trainings since the last search, and every {again.every}th is one"
        return Search((*reasons, said), start, again.trials)
    return Train(reasons, start)


def _short_of(changes: Changes, policy: RetrainConfig) -> str:
    told = [f"{changes.new_samples} new or relabelled images"]
    if policy.when.new_samples is not None:
        told[0] += f" of the {policy.when.new_samples} that are enough"
    if changes.removed_count:
        told.append(f"{changes.removed_count} removed")
    if policy.when.or_drift is not None and changes.drift is not None:
        told.append(f"drift {changes.drift.amount:.2f} (p {changes.drift.auc_p:.2f}) of {policy.when.or_drift:g}")
    return ", ".join(told)


def _ago(then: datetime, now: datetime) -> str:
    return _span((now - then).total_seconds())


def _span(seconds: float) -> str:
    """`30 d`, `6 h`, `90 s`."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
