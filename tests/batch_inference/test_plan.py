from __future__ import annotations

from dataclasses import replace

import pytest

from raytl.batch_inference.plan import Plan, differences, part_photos, plan, problem
from raytl.batch_inference.record import PLAN_FORMAT, StoredPlan, encoded_plan
from raytl.errors import RunError, UserError

ETAGS = {f"s3://in/{i:03d}.jpg": f"e{i}" for i in range(10)}
SETTINGS = {"model": "a" * 64, "batch_size": "2"}


def made(etags: dict[str, str] = ETAGS, settings: dict[str, str] = SETTINGS, size: int = 4) -> Plan:
    return plan(etags, settings, size)


def stored(of: Plan) -> StoredPlan:
    return PLAN_FORMAT.read(encoded_plan(of.stored("models:trash@3", "raytl 0.1")), "_plan.json")


def test_photos_are_divided_in_their_order() -> None:
    parts = made().parts
    assert [len(part.photos) for part in parts] == [4, 4, 2]
    assert [path for part in parts for path in part.photos] == list(ETAGS)
    assert [part.name for part in parts] == ["part-00000", "part-00001", "part-00002"]
    assert made().photos == 10


def test_the_same_listing_gives_the_same_digests() -> None:
    assert made().digest == made().digest
    assert differences(made(), stored(made())) == []


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (made({**ETAGS, "s3://in/005.jpg": "changed"}), "other photos, or changed ones; .* in or after part-00001"),
        (made({**ETAGS, "s3://in/999.jpg": "e"}), "10 photos then, 11 now; .* in or after part-00002"),
        (made({**ETAGS, "s3://in/x.jpg": "e", "s3://in/y.jpg": "e", "s3://in/z.jpg": "e"}), "10 photos then, 13 now"),
        (made(dict(list(ETAGS.items())[1:])), "10 photos then, 9 now; .* part-00000"),
        (made(dict(list(ETAGS.items())[:8])), "10 photos then, 8 now; .* in or after part-00001"),
        (made(settings={**SETTINGS, "model": "b" * 64}), "model: a+... then, b+... now"),
        (made(settings={**SETTINGS, "operating_points": "answer 0.9"}), "operating_points: none then, answer 0.9 now"),
        (made(size=6), "part_size: 4 then, 6 now"),
    ],
)
def test_what_differs_is_named(now: Plan, text: str) -> None:
    with pytest.raises(UserError, match=f"(?s)s3://out: .*{text}.*--new"):
        raise UserError(problem("s3://out", differences(now, stored(made()))))


def test_another_part_size_is_not_said_to_be_other_photos() -> None:
    assert len(differences(made(size=6), stored(made()))) == 1


def test_a_record_with_a_wrong_digest_alone_is_damaged() -> None:
    assert differences(made(), replace(stored(made()), digest="f" * 64)) == ["its record is damaged"]


def test_names_and_etags_do_not_run_into_each_other() -> None:
    assert made({"ab": "c"}).parts[0].digest != made({"a": "bc"}).parts[0].digest


def test_names_that_are_not_utf8_and_those_of_several_lines_are_stored() -> None:
    odd = made({"a\udcffb.jpg": "", "new\nline.jpg": ""})
    assert stored(odd).parts[0].first == "a\\udcffb.jpg"


@pytest.mark.parametrize(("asked", "batch", "expected"), [(None, 16, 1024), (None, 48, 1056), (96, 48, 96), (5, 5, 5)])
def test_parts_are_whole_batches(asked: int | None, batch: int, expected: int) -> None:
    assert part_photos(asked, batch) == expected


@pytest.mark.parametrize(("asked", "near"), [(100, 96), (1, 16)])
def test_a_part_that_would_cut_a_batch_is_refused(asked: int, near: int) -> None:
    with pytest.raises(UserError, match=f"found {asked}, expected whole batches of 16 photos, .* such as {near}"):
        part_photos(asked, 16)


def test_too_many_parts_are_refused_with_a_size_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.batch_inference.plan.MAX_PARTS", 3)
    with pytest.raises(UserError, match=r"10 photos in parts of 2 are 5 parts, expected 3 at most\. .* --part-size 4"):
        made(size=2)


def test_a_plan_of_a_later_raytl_is_refused() -> None:
    content = encoded_plan(made().stored("run", "raytl 9")).replace(b'"format": 1', b'"format": 2')
    with pytest.raises(RunError, match="newer raytl"):
        PLAN_FORMAT.read(content, "_plan.json")
