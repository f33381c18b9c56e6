"""The output of a batch below a URI: the tables of parts, and beside them, with names that readers of tables skip, its records.

part-00000.parquet        the table of a part, put whole
_parts/part-00000.json    its receipt, put after it: the part is finished
_unreadable.parquet       the photos that could not be read
_plan.json                what the batch is of; put first
_SUCCESS                  the summary, put last: the output is whole
_lease/lease.json         the process that writes here
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from raytl.batch_inference.plan import Part, Plan, differences, problem
from raytl.batch_inference.record import (
    PLAN_FORMAT,
    RECEIPT_FORMAT,
    SUMMARY_FORMAT,
    Receipt,
    StoredPlan,
    Summary,
    encoded_plan,
)
from raytl.data.manifest import listed
from raytl.errors import NotFound, UserError
from raytl.store.contract import MAX_BYTES, ObjectInfo, ObjectStore
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import S3Settings
from raytl.tasks.reporting import Unreadable
from raytl.tasks.table import as_parquet

PLAN, SUCCESS, UNREADABLE, LEASE = "_plan.json", "_SUCCESS", "_unreadable.parquet", "_lease"
_OWN = re.compile(r"part-\d{5,6}\.parquet|_parts/part-\d{5,6}\.json|_plan\.json|_SUCCESS|_unreadable\.parquet")
_THREADS = 16


def table_key(name: str) -> str:
    """Return the key of the table of a part."""
    return f"{name}.parquet"


def receipt_key(name: str) -> str:
    """Return the key of the receipt of a part."""
    return f"_parts/{name}.json"


@dataclass(frozen=True)
class Output:
    """The objects below `uri`."""

    uri: str
    s3: S3Settings

    @property
    def store(self) -> ObjectStore:
        """The store of the output."""
        return open_store(self.uri, self.s3)

    @property
    def lease_store(self) -> ObjectStore:
        """The store of the lease: apart, as readers of a folder of tables skip names that begin with `_`."""
        return open_store(f"{self.uri}/{LEASE}", self.s3)

    def finished(self, plan: Plan, new: bool) -> dict[int, Receipt]:
        """Return the receipts of the parts that are finished; with `new`, remove what is there and return none.

        Raises:
            UserError: there are other objects, or those of another plan.
            RunError: the plan that is there cannot be read.
        """
        there = {info.key: info for info in self._listing() if not info.key.startswith(f"{LEASE}/")}
        if foreign := [key for key in there if not _OWN.fullmatch(key)]:
            raise UserError(
                f"{self.uri}: found {len(foreign):,} other objects, expected nothing, or the output of an earlier `raytl predict` "
                f"with this --out:\n{listed(foreign)}\nName another --out"
            )
        if new:
            self._remove(list(there))
            return {}
        if not there:
            return {}
        if PLAN not in there:
            raise UserError(
                f"{self.uri}: found parts without {PLAN}, expected nothing, or both. Start anew there with --new"
            )
        if lines := differences(plan, self._plan()):
            raise UserError(problem(self.uri, lines))
        if strange := [key for key in there if not _is_in(plan, key)]:
            raise UserError(
                f"{self.uri}: found {len(strange):,} parts that this batch does not have, expected its {len(plan.parts):,}:\n"
                f"{listed(strange)}\nDelete them, or start anew there with --new"
            )
        with ThreadPoolExecutor(_THREADS) as pool:
            receipts = pool.map(lambda part: self._receipt(plan, part, there), plan.parts)
            return {number: receipt for number, receipt in enumerate(receipts) if receipt is not None}

    def summary(self, plan: Plan) -> Summary | None:
        """Return the summary of a whole output of `plan`; None if it is not finished."""
        try:
            retried(lambda: self.store.stat(UNREADABLE))
            content = self._bytes(SUCCESS, SUMMARY_FORMAT.max_bytes)
        except NotFound:
            return None
        summary = SUMMARY_FORMAT.read(content, f"{self.uri}/{SUCCESS}")
        return summary if summary.plan == plan.digest else None

    def begin(self, stored: StoredPlan) -> None:
        """Store the plan, and delete the summary of an output that is no longer whole."""
        with suppress(NotFound):
            retried(lambda: self.store.stat(SUCCESS))
            retried(lambda: self.store.delete(SUCCESS))
        self._put(PLAN, encoded_plan(stored))

    def put_table(self, name: str, content: bytes) -> ObjectInfo:
        """Store the table of a part."""
        return self._put(table_key(name), content)

    def delete_table(self, name: str) -> None:
        """Delete the table of a part that has none, in case an earlier process left one."""
        retried(lambda: self.store.delete(table_key(name)))

    def put_receipt(self, name: str, receipt: Receipt) -> None:
        """Store the receipt of a part; it is finished then."""
        self._put(receipt_key(name), receipt.encoded())

    def put_unreadable(self, unreadable: Sequence[Unreadable]) -> None:
        """Store the table of photos that could not be read, with the reasons; also if there are none."""
        rows = {"path": [each.path for each in unreadable], "reason": [each.reason for each in unreadable]}
        self._put(UNREADABLE, as_parquet(rows))

    def put_summary(self, summary: Summary) -> None:
        """Store the summary; the output is whole then."""
        self._put(SUCCESS, summary.encoded())

    def _listing(self) -> list[ObjectInfo]:
        return retried(lambda: list(self.store.list()))

    def _plan(self) -> StoredPlan:
        return PLAN_FORMAT.read(self._bytes(PLAN, PLAN_FORMAT.max_bytes), f"{self.uri}/{PLAN}")

    def _receipt(self, plan: Plan, part: Part, there: dict[str, ObjectInfo]) -> Receipt | None:
        """Return the receipt of a finished part; None if the part has to be predicted."""
        key = receipt_key(part.name)
        if key not in there:
            return None
        receipt = RECEIPT_FORMAT.read(self._bytes(key, RECEIPT_FORMAT.max_bytes), f"{self.uri}/{key}")
        table = there.get(table_key(part.name))
        is_there = (table.size, table.etag) == (receipt.size, receipt.etag) if table else receipt.size == 0
        return receipt if is_there and is_of(receipt, plan, part) else None

    def _remove(self, keys: Sequence[str]) -> None:
        """Delete this output's objects: the summary and the plan first, so that no half of it looks whole."""
        for key in sorted(keys, key=lambda key: (key != SUCCESS, key != PLAN)):
            retried(lambda key=key: self.store.delete(key))  # type: ignore[misc]

    def _bytes(self, key: str, max_bytes: int) -> bytes:
        return retried(lambda: self.store.get_bytes(key, max_bytes=min(max_bytes, MAX_BYTES)))

    def _put(self, key: str, content: bytes) -> ObjectInfo:
        return retried(lambda: self.store.put_bytes(key, content))


def _is_in(plan: Plan, key: str) -> bool:
    """Return whether an object of an output may be one of this plan: parts that it does not have would be read with its own."""
    number = re.search(r"part-(\d+)", key)
    return number is None or int(number[1]) < len(plan.parts)


def is_of(receipt: Receipt, plan: Plan, part: Part) -> bool:
    """Return whether the receipt is of this part of the plan, and fits it."""
    places = [place for place, _ in receipt.unreadable]
    return (
        (receipt.plan, receipt.part) == (plan.digest, part.digest)
        and receipt.photos + len(places) == len(part.photos)
        and len(set(places)) == len(places)
        and all(place < len(part.photos) for place in places)
    )
