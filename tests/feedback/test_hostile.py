"""A prefix that an attacker can write to: nothing there selects a path, an address or a limit, and poison is left out."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from raytl.config.schema import DataConfig
from raytl.data.audit import audit
from raytl.data.feedback import KEYS, MAX_PHOTO_BYTES, photos_in, read_labels
from raytl.data.feedback_samples import digest_of, labelled_samples, locate_feedback, with_feedback
from raytl.data.formats import scan
from raytl.data.manifest import Sample
from raytl.data.sample_table import SampleTable
from raytl.data.snapshot import take
from raytl.data.sources import located
from raytl.data.split import apply_splits
from raytl.errors import DataError
from raytl.events import Event, Message
from raytl.feedback.collect import pick
from raytl.feedback.reading import photos_of, read_records
from raytl.feedback.record import RECORD_FORMAT
from raytl.store.local import LocalStore
from raytl.store.open import open_store
from tests.conftest import MakePhotos
from tests.feedback.made import NOW, filled, photo, put_labels, put_photo, put_records, record


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "feedback")


def warnings_of(events: list[Event]) -> str:
    return "\n".join(each.text for each in events if isinstance(each, Message) and each.level == "warning")


def poison(store: LocalStore, seed: int = 1) -> str:
    """A photo below the name of another one; returns that name's sha256."""
    digest = hashlib.sha256(b"a harmless photo").hexdigest()
    store.put_bytes(f"photos/{digest}.png", photo(seed))
    return digest


def test_photos_with_other_bytes_than_their_names_say_are_neither_chosen_nor_trained(store: LocalStore) -> None:
    good, bad, events = put_photo(store, photo(2)), poison(store), list[Event]()
    put_records(store, [record(good, why="uncertain"), record(bad, why="uncertain")])
    put_labels(store, {good: "a", bad: "a"})
    assert [each.photo for each, _ in photos_of(store, read_records(store), 10**6, events.append)] == [good]
    samples = list(labelled_samples(str(store.root), events.append))
    assert [sample.key for sample in samples] == [f"feedback/{good}.png"]
    assert f"photos/{bad}.png" in warnings_of(events) and "not that of their names" in warnings_of(events)


def test_links_out_of_the_folder_are_not_followed_to_training(store: LocalStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(photo(3))
    digest = hashlib.sha256(photo(3)).hexdigest()
    (store.root / "photos").mkdir(parents=True)
    (store.root / "photos" / f"{digest}.png").symlink_to(secret)
    put_labels(store, {digest: "a"})
    events: list[Event] = []
    assert not list(labelled_samples(str(store.root), events.append))
    assert "are ignored" in warnings_of(events)
    assert digest_of(secret) == digest and digest_of(tmp_path) == digest_of(tmp_path / "none") == ""


def test_labels_of_photos_that_are_not_there_are_counted_and_ignored(store: LocalStore) -> None:
    put_labels(store, {"ab" * 32: "a"})
    events: list[Event] = []
    assert not list(labelled_samples(str(store.root), events.append))
    assert "1 labels of photos that are not there" in warnings_of(events)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "photos/x", "A" * 64, "a" * 63 + "\0", "a" * 64 + ".jpg/.."]
)
def test_a_photo_that_is_no_digest_makes_labels_and_records_unreadable(store: LocalStore, name: str) -> None:
    put_labels(store, {name: "a"})
    put_records(store, [record(put_photo(store, photo(1)))])
    row = json.loads(record("a" * 64).line())
    store.put_bytes("records/20261103T000000Z-evil.jsonl", json.dumps({**row, "photo": name}).encode())
    events: list[Event] = []
    assert read_labels(store, events.append) == {}
    assert len(read_records(store, events.append)) == 1
    assert warnings_of(events).count("64 hexadecimal digits") == 2


@pytest.mark.parametrize("suffix", ["exe", "svg", "jpg/../../x", "JPG", "png\n"])
def test_a_suffix_selects_no_file(store: LocalStore, suffix: str) -> None:
    row = json.loads(record("a" * 64).line())
    store.put_bytes("records/20261103T000000Z-evil.jsonl", json.dumps({**row, "suffix": suffix}).encode())
    with pytest.raises(DataError, match="no records"):
        read_records(store)


def test_keys_that_no_recorder_writes_are_not_looked_at(store: LocalStore) -> None:
    filled(store, 4)
    for key in ("records/evil.jsonl", "records/20261102T120000Z-../x.jsonl", "records/a/20261102T120000Z-x.jsonl"):
        path = store.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{")
    assert len(read_records(store)) == 4


def test_huge_records_and_photos_are_left_out(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, events = filled(store, 4), list[Event]()
    big = store.root / "records" / "20261103T000000Z-big.jsonl"
    with big.open("wb") as file:
        file.truncate(RECORD_FORMAT.max_total_bytes + 1)  # a sparse file
    assert len(read_records(store, events.append)) == len(rows)
    assert "20261103T000000Z-big.jsonl" in warnings_of(events)
    photo_file = store.root / "photos" / f"{'b' * 64}.png"
    with photo_file.open("wb") as file:
        file.truncate(MAX_PHOTO_BYTES + 1)
    assert "b" * 64 not in photos_in(store) and digest_of(photo_file) == ""


def test_a_decompression_bomb_is_left_out(store: LocalStore, tmp_path: Path) -> None:
    Image.new("1", (4000, 4000)).save(tmp_path / "bomb.png")
    digest = put_photo(store, (tmp_path / "bomb.png").read_bytes())
    put_records(store, [record(digest)])
    events: list[Event] = []
    assert not pick(store, 3, 0.5, max_pixels=10**6, on_event=events.append).picks
    assert "cannot be decoded" in warnings_of(events)


def test_names_in_the_prefix_are_only_text_on_the_page(store: LocalStore, tmp_path: Path) -> None:
    from raytl.feedback.sheet import write_sheet

    digest = put_photo(store, photo(1))
    put_records(store, [record(digest, label='=cmd|"/c calc"!A1<script>alert(1)</script>', version="x")])
    page = write_sheet(tmp_path / "out.csv", str(store.root), pick(store, 1, 1.0))
    assert "<script>" not in page.read_text()
    assert "\n'=cmd" not in (tmp_path / "out.csv").read_text() and "'=cmd" in (tmp_path / "out.csv").read_text()


def config(photos: Path, store: LocalStore, **more: object) -> DataConfig:
    return DataConfig.model_validate({"uri": str(photos), "feedback": str(store.root), "cache": "off", **more})


def test_feedback_joins_training_whatever_the_fractions_are(make_photos: MakePhotos, store: LocalStore) -> None:
    data = config(make_photos(12), store, val_fraction=0.4, test_fraction=0.4)
    put_labels(store, {put_photo(store, photo(n)): "red" for n in range(8)})
    manifest = with_feedback(scan(data.uri), data)
    plain = apply_splits(scan(data.uri).samples, data.model_copy(update={"feedback": None}))
    drawn = {sample.key: sample.split for sample in apply_splits(manifest.samples, data)}
    assert {drawn[sample.key] for sample in manifest.samples if sample.key.startswith("feedback/")} == {"train"}
    assert {sample.key: sample.split for sample in plain}.items() <= drawn.items()
    assert take(data).count == len(manifest.samples)


def test_a_copy_of_a_test_image_is_dropped_from_training_even_where_copies_are_errors(
    make_photos: MakePhotos, store: LocalStore
) -> None:
    data = config(make_photos(12), store, test_fraction=0.4, on_duplicate="error")
    plain = scan(data.uri)
    held = next(each for each in apply_splits(plain.samples, data) if each.split == "test")
    put_labels(store, {put_photo(store, Path(held.path).read_bytes(), "jpg"): "red"})
    audited = audit(with_feedback(plain, data), data)
    assert not any(sample.key.startswith("feedback/") for sample in audited.samples)
    assert len(audited.samples) == len(plain.samples)


def test_a_folder_named_feedback_in_the_data_is_an_error(make_photos: MakePhotos, store: LocalStore) -> None:
    data = config(make_photos(4, ("feedback", "other")), store)
    put_labels(store, {put_photo(store, photo(1)): "other"})
    with pytest.raises(DataError, match=r"has a folder feedback/, which is reserved"):
        with_feedback(scan(data.uri), data)


def test_feedback_samples_are_found_again_on_another_node(store: LocalStore, tmp_path: Path) -> None:
    digest = put_photo(store, photo(1))
    own = Sample(f"feedback/{digest}.png", "/gone/x.png", "a", "train")
    other = Sample("a/1.jpg", "/gone/1.jpg", "a", "train")
    feedback = KEYS, partial(locate_feedback, uri=str(store.root))
    found = located([other, own], [feedback], lambda rest: rest.with_paths(["/here/1.jpg"] * len(rest)))
    assert list(found.paths) == ["/here/1.jpg", str(store.root / "photos" / f"{digest}.png")]
    assert list(located([other], [], SampleTable.of).paths) == ["/gone/1.jpg"]


@pytest.mark.s3
def test_labelled_photos_come_from_a_bucket(bucket: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{bucket}/feedback")
    digest = put_photo(store, photo(1))  # type: ignore[arg-type]
    put_labels(store, {digest: "a"}, NOW)
    (sample,) = labelled_samples(f"s3://{bucket}/feedback")
    assert (sample.label, sample.split, digest_of(Path(sample.path))) == ("a", "train", digest)
