"""Remove versions that nothing needs: planned as a value first, then carried out, the record before the files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from raytl.errors import RegistryError
from raytl.registry.bundles import CARD
from raytl.registry.record import Move, Record
from raytl.registry.registry import BESIDE, FILES, Registry
from raytl.store.contract import ObjectStore
from raytl.store.retry import retried

_STAMP = "%Y%m%dT%H%M%SZ"
MIN_ORPHAN_AGE = timedelta(days=1)
"""Younger files without a record may belong to a version that is being published."""
_THREADS = 16
_MAX_NAMED = 10


@dataclass(frozen=True)
class CleanupPlan:
    """The versions to remove, the tokens of files that belong to no version, and the objects and bytes of both.

    `kept` has the reason for each version that stays. `leftovers` are the numbers of versions that were removed before, and of
    which bundles or reports remain.
    """

    removed: tuple[int, ...]
    orphans: tuple[str, ...]
    kept: Mapping[int, str]
    leftovers: tuple[int, ...] = ()
    objects: int = 0
    size_bytes: int = 0


def cleanup_plan(
    records: Sequence[Record],
    aliases: Mapping[str, int],
    history: Sequence[Move],
    needed: Mapping[int, str],
    keep: int,
    tokens: Collection[str],
    now: datetime,
    added: Collection[int] = (),
) -> CleanupPlan:
    """Return what can be removed: versions that no alias names, none of the last `keep` moves mentions, that are not among the
    newest `keep` and not in `needed` (version to reason); files of publications that failed more than a day ago; and what was
    `added` to versions before the newest one that are gone."""
    kept: dict[int, str] = {}
    for record in sorted(records, key=lambda record: -record.number)[: max(1, keep)]:
        kept[record.number] = f"one of the newest {max(1, keep)}"
    for move in history[-max(1, keep) :]:
        for alias, pair in move.moved.items():
            kept |= {number: f"{alias} was moved on {move.when[:10]}" for number in pair if number is not None}
    kept |= needed
    for alias, number in aliases.items():
        kept[number] = f"is {alias}"
    numbers = {record.number for record in records}
    tokens_in_use = {record.token for record in records}
    return CleanupPlan(
        removed=tuple(sorted(numbers - kept.keys())),
        orphans=tuple(sorted(token for token in tokens if token not in tokens_in_use and _is_old(token, now))),
        kept={number: kept[number] for number in sorted(numbers & kept.keys())},
        leftovers=tuple(sorted(set(added) & set(range(max(numbers, default=0))) - numbers - kept.keys())),
    )


def plan_cleanup(registry: Registry, keep: int, needed: Mapping[int, str], now: datetime | None = None) -> CleanupPlan:
    """Return the cleanup plan for a registry, with the objects and bytes that it frees.

    Raises:
        RegistryError: a record or a move is unreadable, so what it needs is unknown.
    """
    survey = registry.survey()
    if unread := survey.unread:
        raise RegistryError(
            f"{registry.uri}: {len(unread)} unreadable objects, and what they need is unknown; nothing was removed. "
            "Restore or delete them first:\n" + "\n".join(f"  {each.reason}" for each in unread[:_MAX_NAMED])
        )
    listed = retried(lambda: list(registry.store.list(FILES)))
    sizes: dict[str, list[int]] = {}
    for info in listed:
        sizes.setdefault(info.key.split("/")[1], []).append(info.size)
    records, added = survey.records, registry.added()
    plan = cleanup_plan(
        records, registry.state().aliases, survey.history, needed, keep, sizes.keys(), now or datetime.now(UTC), added
    )
    removed_tokens = [*plan.orphans, *(record.token for record in records if record.number in plan.removed)]
    freed = [size for token in removed_tokens for size in sizes.get(token, ())]
    freed += [info.size for number in (*plan.removed, *plan.leftovers) for info in added.get(number, ())]
    return replace(plan, objects=len(freed), size_bytes=sum(freed))


def clean(registry: Registry, plan: CleanupPlan) -> None:
    """Carry out `plan`; the record of a version is deleted first, so that no reader finds half of it.

    A version that an alias was moved to meanwhile is restored. A move reads the record after writing, and this reads the aliases
    after deleting the record, so that one of the two sees the other.
    """
    tokens = list(plan.orphans)
    for number in plan.removed:
        record = registry.record(number)
        registry.withdraw(record)
        if number in registry.newest_state().aliases.values():
            registry.restore(record)
        else:
            tokens.append(record.token)
            _remove_added(registry.store, number)
    for number in set(plan.leftovers).difference(registry.numbers()):
        _remove_added(registry.store, number)
    for token in tokens:
        keys = [info.key for info in retried(lambda token=token: list(registry.store.list(f"{FILES}{token}/")))]  # type: ignore[misc]
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda key: retried(lambda: registry.store.delete(key)), keys))


def _remove_added(store: ObjectStore, number: int) -> None:
    """Delete what was added to a version later, the cards of bundles first, so that a reader finds a whole one or none."""
    listed = [
        info
        for prefix in BESIDE
        for info in retried(lambda prefix=prefix: list(store.list(f"{prefix}{number:06d}/")))  # type: ignore[misc]
    ]
    for key in sorted((info.key for info in listed), key=lambda key: (not key.endswith(f"/{CARD}"), key)):
        retried(lambda key=key: store.delete(key))  # type: ignore[misc]


def _is_old(token: str, now: datetime) -> bool:
    try:
        created = datetime.strptime(token.partition("-")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return False  # not a token of raytl
    return now - created > MIN_ORPHAN_AGE
