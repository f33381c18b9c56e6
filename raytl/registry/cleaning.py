"""Which versions nobody needs: decided as a value first, then done, the record before the files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from raytl.errors import RegistryError
from raytl.registry.record import Move, Record
from raytl.registry.registry import FILES, Registry
from raytl.store.retry import retried

_STAMP = "%Y%m%dT%H%M%SZ"
YOUNG = timedelta(days=1)
"""Files without a record that are younger may be of a version that is being published."""
_THREADS = 16
_MAX_NAMED = 10


@dataclass(frozen=True)
class Cleaning:
    """What would be removed: versions, the tokens of files that no version has, and the objects and bytes of all of it.

    `kept` has the reason for every version that stays.
    """

    removed: tuple[int, ...]
    orphans: tuple[str, ...]
    kept: Mapping[int, str]
    objects: int = 0
    size_bytes: int = 0


def cleaning(
    records: Sequence[Record],
    aliases: Mapping[str, int],
    history: Sequence[Move],
    needed: Mapping[int, str],
    keep: int,
    tokens: Collection[str],
    now: datetime,
) -> Cleaning:
    """What can go: versions that no alias names, that the last `keep` moves do not speak of, that are not among the newest
    `keep`, and that nothing in `needed` (version to reason) asks for; and files of publications that died a day ago."""
    kept: dict[int, str] = {}
    for record in sorted(records, key=lambda record: -record.number)[: max(1, keep)]:
        kept[record.number] = f"one of the newest {max(1, keep)}"
    for move in history[-max(1, keep) :]:
        for alias, pair in move.moved.items():
            kept |= {number: f"{alias} moved on {move.when[:10]}" for number in pair if number is not None}
    kept |= needed
    for alias, number in aliases.items():
        kept[number] = f"is {alias}"
    there = {record.number for record in records}
    known = {record.token for record in records}
    return Cleaning(
        removed=tuple(sorted(there - kept.keys())),
        orphans=tuple(sorted(token for token in tokens if token not in known and _is_old(token, now))),
        kept={number: kept[number] for number in sorted(there & kept.keys())},
    )


def planned(registry: Registry, keep: int, needed: Mapping[int, str], now: datetime | None = None) -> Cleaning:
    """The cleaning of a registry as it is now, with what it would free.

    Raises:
        RegistryError: a record or a move cannot be read, so that what it needs is not known.
    """
    survey = registry.survey()
    if unread := survey.unread:
        raise RegistryError(
            f"{registry.uri}: {len(unread)} objects cannot be read, and what they need is not known; nothing was removed. "
            "Restore or delete them first:\n" + "\n".join(f"  {each.reason}" for each in unread[:_MAX_NAMED])
        )
    listed = retried(lambda: list(registry.store.list(FILES)))
    sizes: dict[str, list[int]] = {}
    for info in listed:
        sizes.setdefault(info.key.split("/")[1], []).append(info.size)
    records = survey.records
    found = cleaning(
        records, registry.state().aliases, survey.history, needed, keep, sizes.keys(), now or datetime.now(UTC)
    )
    gone = [*found.orphans, *(record.token for record in records if record.number in found.removed)]
    return Cleaning(
        found.removed,
        found.orphans,
        found.kept,
        objects=sum(len(sizes.get(token, ())) for token in gone),
        size_bytes=sum(sum(sizes.get(token, ())) for token in gone),
    )


def clean(registry: Registry, found: Cleaning) -> None:
    """Removes what `found` says; a version's record goes first, so that no reader finds half of it.

    A version that an alias was moved to meanwhile stays: a move looks at the record after it was made, this at the aliases
    after the record is gone, so that one of the two sees the other.
    """
    tokens = list(found.orphans)
    for number in found.removed:
        record = registry.record(number)
        registry.withdraw(record)
        if number in registry.newest_state().aliases.values():
            registry.restore(record)
        else:
            tokens.append(record.token)
    for token in tokens:
        keys = [info.key for info in retried(lambda token=token: list(registry.store.list(f"{FILES}{token}/")))]  # type: ignore[misc]
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda key: retried(lambda: registry.store.delete(key)), keys))


def _is_old(token: str, now: datetime) -> bool:
    try:
        begun = datetime.strptime(token.partition("-")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return False  # not one of ours
    return now - begun > YOUNG
