"""Documents that are altered in their bytes and in their structure, and what has to come of each."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytl.errors import RaytlError
from tests.security.stored_document import Stored

MAX_CHANGES = 3


class Hole(AssertionError):
    """A document ended in something else than a value or an error that names the object."""


@dataclass(frozen=True)
class Pairs:
    """An object as it is written: a key may be there twice."""

    members: tuple[tuple[str, Any], ...]


class Raw(str):
    """Text that is put into the document as it is."""


ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, "", "x", "/etc/passwd", "../../x", "a\0b", "\ud800", "\udcff", "\u202e",
    [], [None], {}, {"a": 1}, [[]], "x" * 70_000, ["x"] * 2000, "2026-01-01", "nan", "1", "format",
    Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("1e999"), Raw("-0"), Raw("1E2"), Raw("9" * 21), Raw("9" * 5000),
    Raw("1" + "0" * 300), Raw("1.0"), Raw("0x10"), Raw("'x'"), Raw("[" * 5000), Raw("[" * 40 + "]" * 40), Raw('{"a":' * 5000),
    Raw(str(2**31)), Raw(str(2**63)), Raw(str(2**64)), Raw(""), Raw("//"), Raw('"\\ud83d"'), Raw('"\\x00"'),
)  # fmt: skip
"""Values that readers of JSON stumble over."""


def outcome(kind: Stored, content: bytes, folder: Path) -> str:
    """Return whether the document was read or refused.

    Raises:
        Hole: another exception came, or an error that does not name the object.
    """
    try:
        kind.read(content, folder)
    except RaytlError as error:
        if kind.names.format(folder=folder) not in str(error):
            raise Hole(f"{kind.name}: the error does not name {kind.names}: {error}") from error
        return "refused"
    except Exception as error:
        raise Hole(f"{kind.name}: {type(error).__name__}: {error} of {content[:300]!r}") from error
    return "read"


def altered(valid: bytes, choose: random.Random) -> bytes:
    """Return the document with a few changes of its structure, its bytes, or both."""
    content = valid
    for _ in range(choose.choice((1, 1, 1, 2, MAX_CHANGES))):
        content = choose.choice((_restructured, _restructured, _restructured, _scarred))(content, choose)
    return content


def _restructured(content: bytes, choose: random.Random) -> bytes:
    """Change one place of the JSON, or of one of its lines."""
    rows = content.split(b"\n")
    places = [place for place, row in enumerate(rows) if row.strip()]
    whole = _parsed(content)
    try:
        if whole is not None or not places:
            return _written(_changed(whole, choose)).encode("utf-8", "surrogatepass")
        place = choose.choice(places)
        rows[place] = _written(_changed(_parsed(rows[place]), choose)).encode("utf-8", "surrogatepass")
    except RecursionError:  # it was made too deep by an earlier change
        return content
    return b"\n".join(rows)


def _parsed(content: bytes) -> Any:
    """The value with its objects as pairs; None where it is no JSON any more."""
    try:
        return json.loads(content, object_pairs_hook=lambda pairs: Pairs(tuple(pairs)))
    except (ValueError, RecursionError):
        return None


def _changed(value: Any, choose: random.Random) -> Any:
    """Walk down to a random place, and change what is there."""
    inside = value.members if isinstance(value, Pairs) else value if isinstance(value, list) else ()
    if not inside or choose.random() < 0.15:
        alike = [odd for odd in ODD if type(odd) is type(value)]
        return choose.choice(alike if alike and choose.random() < 0.5 else ODD)
    place = choose.randrange(len(inside))
    if choose.random() < 0.4:
        return _rearranged(value, place, choose)
    if isinstance(value, Pairs):
        key, member = value.members[place]
        return Pairs((*value.members[:place], (key, _changed(member, choose)), *value.members[place + 1 :]))
    return [*value[:place], _changed(value[place], choose), *value[place + 1 :]]


def _rearranged(value: Any, place: int, choose: random.Random) -> Any:
    """Delete, rename, repeat, exchange or add a member."""
    members = list(value.members if isinstance(value, Pairs) else value)
    other = choose.randrange(len(members))
    change = choose.choice(("delete", "repeat", "exchange", "rename", "add"))
    if change == "delete":
        del members[place]
    elif change == "repeat":
        members.append(members[place])
    elif change == "exchange":
        members[place], members[other] = members[other], members[place]
    elif not isinstance(value, Pairs):
        members.insert(place, choose.choice(ODD))
    elif change == "rename":
        members[place] = (choose.choice(("", "x" * 5000, "a\0", "\ud800", members[other][0])), members[place][1])
    else:
        members.append((choose.choice(("new", "format", "kind", "__class__")), choose.choice(ODD)))
    return Pairs(tuple(members)) if isinstance(value, Pairs) else members


def _written(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return _written(Pairs(tuple(value.items())))
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}: {_written(member)}" for key, member in value.members) + "}"
    return "[" + ", ".join(map(_written, value)) + "]" if isinstance(value, list) else json.dumps(value)


def _scarred(content: bytes, choose: random.Random) -> bytes:
    """Cut, flip, insert or repeat bytes."""
    place = choose.randrange(len(content) + 1)
    scars: tuple[Callable[[], bytes], ...] = (
        lambda: content[:place],
        lambda: content[place:],
        lambda: content[:place] + choose.randbytes(choose.randint(1, 8)) + content[place:],
        lambda: (
            content[:place] + choose.choice((b"\n", b"\0", b",", b"}", b'"', b"\\", b"\xef\xbb\xbf")) + content[place:]
        ),
        lambda: (
            content[:place]
            + bytes(b ^ (1 << choose.randrange(8)) for b in content[place : place + 1])
            + content[place + 1 :]
        ),
        lambda: content + content,
    )
    return choose.choice(scars)()
