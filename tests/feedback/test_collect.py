"""Which images are chosen, and what labels that return say."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.config.machine import Machine
from raytl.data.feedback import all_labels, photo_key, read_labels
from raytl.data.perceptual_hash import phash
from raytl.errors import DataError, UserError
from raytl.events import Message
from raytl.feedback.collect import Excluded, pick
from raytl.feedback.collection import Chosen, read_collections, write_collection
from raytl.feedback.driver import collect, returned
from raytl.feedback.estimate import estimates, weighted_fraction
from raytl.store.local import LocalStore
from tests.feedback.made import NOW, filled, photo, put_labels, put_photo, put_records, record, write_csv


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "feedback")


def test_the_budget_is_split_into_a_random_share_and_doubtful_images(store: LocalStore) -> None:
    filled(store, 60)
    picked = pick(store, 20, 0.25, seed=1)
    random = [each for each in picked.picks if each.weight]
    assert (len(picked.picks), len(random)) == (20, 5)
    assert all(each.record.why == "random" and each.why == "random" for each in random)
    assert len({each.record.photo for each in picked.picks}) == 20
    assert sum(each.weight for each in random) == pytest.approx(60)  # 30 random ones, each for two answers
    doubtful = np.mean([each.record.margin for each in picked.picks if not each.weight])
    assert doubtful < 0.45 < np.mean([each.margin for each in filled(store, 60)])


def test_labelled_trained_and_waiting_images_are_not_chosen(store: LocalStore) -> None:
    rows = filled(store, 30)
    put_labels(store, {each.photo: "a" for each in rows[:5]})
    write_collection(store, "me", NOW, [Chosen(each.photo, "a", "1", each.time, "uncertain") for each in rows[5:10]])
    trained = Excluded(frozenset(each.photo for each in rows[10:15]))
    picked = pick(store, 30, 0.0, trained, seed=0)
    assert {each.record.photo for each in picked.picks} == {each.photo for each in rows[15:]}
    assert picked.left_out == {"in training or test": 5}


def test_near_copies_of_the_test_set_and_of_each_other_are_not_chosen(store: LocalStore) -> None:
    from io import BytesIO

    def as_jpeg(content: bytes) -> bytes:
        file = BytesIO()
        Image.open(BytesIO(content)).save(file, "JPEG", quality=85)
        return file.getvalue()

    one, other = photo(1), photo(2)
    digests = [put_photo(store, each) for each in (one, other)]
    copies = [put_photo(store, as_jpeg(each), "jpg") for each in (one, other)]
    rows = [record(each, why="uncertain", inclusion=0.0) for each in digests]
    put_records(store, rows + [replace(rows[0], photo=each, suffix="jpg") for each in copies])
    known = Excluded(hashes=(phash(Image.open(BytesIO(one))),))
    picked = pick(store, 4, 0.5, known)
    assert len(picked.picks) == 1 and picked.picks[0].record.photo in (digests[1], copies[1])
    assert picked.left_out["like another"] == 3


def test_a_share_is_drawn_from_answers_that_no_share_had_and_a_label_is_not_asked_for_twice(store: LocalStore) -> None:
    rows = [each for each in filled(store, 20) if each.why == "random"]
    labelled, drawn = rows[0], rows[1:4]
    put_labels(store, {labelled.photo: "a"})
    write_collection(store, "me", NOW, [Chosen(each.photo, "a", "1", each.time, "random", 2.0) for each in drawn])
    picked = pick(store, 20, 1.0, seed=3)
    assert {each.record.photo for each in picked.picks if each.weight} == {each.photo for each in rows[4:]}
    assert [each.record.photo for each in picked.labelled_share] == [labelled.photo]


def test_an_empty_prefix_says_what_writes_it(store: LocalStore) -> None:
    with pytest.raises(DataError, match=r"no records; expected the feedback of `raytl serve --feedback"):
        pick(store, 5, 0.2)


def test_photos_that_were_not_stored_cannot_be_labelled(store: LocalStore) -> None:
    put_records(store, [record("a" * 64, suffix="")])
    with pytest.raises(DataError, match=r"of 1 recorded answers, 1 have no stored photo.*redaction command"):
        pick(store, 5, 0.2)


def test_labels_go_round(store: LocalStore, tmp_path: Path) -> None:
    filled(store, 30)
    out = tmp_path / "to_label.csv"
    done = collect(str(store.root), 12, out, random_share=0.5, machine=Machine(), seed=0)
    assert (done.images["random"], sum(done.images.values())) == (6, 12)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["label"] == "" and Path(row["uri"]).is_file() for row in rows)
    page = Path(done.page).read_text()
    assert page.count("data:image/jpeg") == 12 and rows[0]["photo"][:12] in page
    labelled = write_csv(
        tmp_path / "labeled.csv", [(row["photo"], "a" if i % 2 else "new") for i, row in enumerate(rows)]
    )
    result = returned(str(store.root), labelled, machine=Machine())
    assert (result.labelled, result.relabelled, result.new_classes) == (12, 0, ("new",))
    (estimate,) = result.estimates
    assert (estimate.version, estimate.labelled, estimate.images, estimate.is_complete) == ("1", 6, 6, True)
    assert len(read_labels(store)) == 12 and all_labels(store)[0].who
    changed = write_csv(tmp_path / "changed.csv", [(rows[0]["photo"], "a"), (rows[1]["photo"], "a")])
    again = returned(str(store.root), changed, machine=Machine())
    assert (again.labelled, again.relabelled, again.new_classes) == (2, 1, ())


def test_every_wrong_row_is_listed_and_nothing_is_stored(store: LocalStore, tmp_path: Path) -> None:
    known = put_photo(store, photo(1))
    other = put_photo(store, photo(2))
    bad = write_csv(
        tmp_path / "bad.csv", [(known, "a"), (known, "b"), ("0" * 64, "a"), ("../../etc/passwd", "a"), (other, "x\x07")]
    )
    with pytest.raises(
        DataError,
        match=r"(?s)no label was stored.*2 rows with a photo that is not in the prefix.*1 label that cannot be a class.*1 photo with two labels",
    ):
        returned(str(store.root), bad, machine=Machine())
    assert not all_labels(store)


def test_labels_of_chosen_photos_that_expired_meanwhile_count_for_the_accuracy_in_use(
    store: LocalStore, tmp_path: Path
) -> None:
    photos = [put_photo(store, photo(n)) for n in range(4)]
    write_collection(store, "me", NOW, [Chosen(each, "a", "1", NOW.isoformat(), "random", 2.0) for each in photos])
    for gone in photos[:2]:
        store.delete(photo_key(gone, "png"))
    table = write_csv(tmp_path / "x.csv", [*((each, "a") for each in photos[1:]), (photos[0], "")])
    result = returned(str(store.root), table, machine=Machine())
    assert (result.labelled, result.blank, result.deleted) == (3, 1, 2)
    (estimate,) = result.estimates
    assert (estimate.labelled, estimate.images) == (3, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,label\nx,y\n", "no column photo; expected the columns photo and label"),
        (b"", "no column photo and label"),
        (b"photo,label\n\xff\xfe,a\n", "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_refused(store: LocalStore, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        returned(str(store.root), tmp_path / "x.csv", machine=Machine())


def test_a_table_without_labels_is_refused(store: LocalStore, tmp_path: Path) -> None:
    blank = write_csv(tmp_path / "x.csv", [(put_photo(store, photo(1)), "")])
    with pytest.raises(DataError, match="no row has a label"):
        returned(str(store.root), blank, machine=Machine())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 0}, "budget 0: expected 1 to"),
        ({"random_share": 1.5}, "random share 1.5"),
        ({"out": Path("x.txt")}, "ends in .csv"),
    ],
)
def test_wrong_options_are_refused(store: LocalStore, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    options: dict[str, object] = {"budget": 5, "out": tmp_path / "x.csv", "machine": Machine(), **changes}
    with pytest.raises(UserError, match=message):
        collect(str(store.root), **options)  # type: ignore[arg-type]


def test_an_answer_counts_for_those_that_it_stands_for() -> None:
    share = [
        Chosen(str(i) * 64, "a", "7", NOW.isoformat(), "random", weight) for i, weight in enumerate((9.0, 1.0, 1.0))
    ]
    labels = {each.photo: "a" if each.weight == 9 else "b" for each in share}
    (estimate,) = estimates(share, labels)
    assert estimate.accuracy.value == pytest.approx(9 / 11)
    (part,) = estimates(share, {share[1].photo: "b"})
    assert part.accuracy.value == 0 and not part.is_complete


def test_the_estimate_is_unbiased_and_its_interval_holds_it() -> None:
    """Windows of very different traffic, of which as many images each are kept."""
    rng = np.random.default_rng(0)
    held, values = 0, []
    sizes, rates = np.array([40, 400, 4000]), np.array([0.2, 0.6, 0.95])
    truth = float((sizes * rates).sum() / sizes.sum())
    for _ in range(400):
        weights = np.repeat(sizes / 40.0, 40)
        hits = rng.random(120) < np.repeat(rates, 40)
        interval = weighted_fraction(weights, hits)
        values.append(interval.value)
        held += interval.low <= truth <= interval.high
    assert np.mean(values) == pytest.approx(truth, abs=0.005)
    assert held / 400 >= 0.95


def test_unreadable_objects_are_named_and_ignored(store: LocalStore) -> None:
    rows = filled(store, 4)
    store.put_bytes(f"collections/{(NOW + timedelta(1)):%Y%m%dT%H%M%SZ}-00000000.json", b"{}")
    store.put_bytes("collections/other.json", b"{}")
    store.put_bytes("labels/20261102T120000Z-00000000.json", json.dumps({"format": 1, "labels": 3}).encode())
    store.put_bytes("records/20261102T130000Z-x.jsonl", rows[0].line() * 2 + b"{")
    events: list[object] = []
    assert len(pick(store, 4, 0.0, on_event=events.append).picks) == 4
    texts = [each.text for each in events if isinstance(each, Message)]
    assert len(texts) == 3 and all("ignored" in text for text in texts)
    assert read_collections(store) == []


def test_a_table_with_labels_that_were_not_returned_is_not_overwritten(store: LocalStore, tmp_path: Path) -> None:
    filled(store, 20)
    out = tmp_path / "to_label.csv"
    collect(str(store.root), 4, out, machine=Machine())
    with out.open(newline="") as file:
        rows = [(row["photo"], "a") for row in csv.DictReader(file)]
    write_csv(out, rows)
    before = out.read_bytes()
    with pytest.raises(DataError, match="has 4 labels that would be lost; return the table with --labels first"):
        collect(str(store.root), 4, out, machine=Machine())
    assert out.read_bytes() == before
    returned(str(store.root), out, machine=Machine())
    collect(str(store.root), 4, out, machine=Machine())
    assert out.read_bytes() != before


def test_a_file_that_is_no_table_is_not_overwritten(store: LocalStore, tmp_path: Path) -> None:
    filled(store, 5)
    (tmp_path / "notes.csv").write_text("day,note\n1,rain\n")
    with pytest.raises(DataError, match="no column photo and label"):
        collect(str(store.root), 4, tmp_path / "notes.csv", machine=Machine())


def test_a_missing_table_is_named(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.csv: no such file; expected the table"):
        returned(str(store.root), tmp_path / "x.csv", machine=Machine())
