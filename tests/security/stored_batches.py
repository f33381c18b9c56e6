"""The stored formats of predictions in parts."""

from __future__ import annotations

from raytl.batch_inference.plan import plan
from raytl.batch_inference.record import PLAN_FORMAT, RECEIPT_FORMAT, SUMMARY_FORMAT, Receipt, encoded_plan
from raytl.batch_inference.result import summary_of
from tests.security.stored_document import ABC, Stored, by_path

_PLAN = plan({"s3://in/a.jpg": "e1", "s3://in/b.jpg": "e2"}, {"model": ABC}, 1)
_RECEIPTS = {
    part.number: Receipt(_PLAN.digest, part.digest, 1, 1, 900, "e3", ABC, "photos", {"red": 1}, {"answered": 1}, ())
    for part in _PLAN.parts
}
_BAD = Receipt(_PLAN.digest, ABC, 0, 0, 0, "", ABC, "", {}, {}, ((0, "not an image"),))

BATCHES = [
    Stored("batch_inference.record:PLAN_FORMAT", encoded_plan(_PLAN.stored("runs/trash", "raytl 0.1.0")),
           by_path("_plan.json", PLAN_FORMAT), "_plan.json"),
    Stored("batch_inference.record:RECEIPT_FORMAT", _BAD.encoded(),
           by_path("part-00000.json", RECEIPT_FORMAT), "part-00000.json"),
    Stored("batch_inference.record:SUMMARY_FORMAT", summary_of(_PLAN, _RECEIPTS, "runs/trash", ABC).encoded(),
           by_path("_SUCCESS", SUMMARY_FORMAT), "_SUCCESS"),
]  # fmt: skip
