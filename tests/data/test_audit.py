"""Each file is read once; what is broken or doubled is told, dropped or refused; the next audit only looks at dates."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.config.schema import DataConfig
from raytl.data import audit as audit_module
from raytl.data.audit import audit
from raytl.data.bit_depth import BitDepth
from raytl.data.cache import open_images
from raytl.data.formats import scan
from raytl.data.images import DecodedSet, FileImages
from raytl.data.split import divide
from raytl.data.transforms import Preprocess
from raytl.errors import DataError
from raytl.events import Recorder, Work
from tests.conftest import MakePhotos, write_deep_photos, write_photos

PREPROCESS = Preprocess(16, 20, "center", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def config(root: Path, **keys: object) -> DataConfig:
    return DataConfig.model_validate({"uri": str(root), "val_fraction": 0.2, "test_fraction": 0.2, **keys})


@pytest.fixture
def photos(make_photos: MakePhotos) -> Path:
    return make_photos(per_class=12)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files just written count as settled."""
    monkeypatch.setattr("raytl.data.audit_cache._RACY_NS", 0)


def test_every_sample_gets_its_split_and_the_hash_of_its_bytes(photos: Path) -> None:
    watcher = Recorder()
    audited = audit(scan(str(photos)), config(photos), PREPROCESS, watcher)
    assert len(audited.samples) == 36
    for sample in audited.samples:
        assert sample.digest == hashlib.sha256(Path(sample.path).read_bytes()).hexdigest()
    assert divide(audited.samples).classes == ("blue", "green", "red")
    assert watcher.events[-1] == Work("reading images", 36, 36)
    assert (audited.skipped, audited.duplicates, audited.warnings) == ((), (), ())


def test_decoded_train_and_val_images_are_cached_on_the_way_and_test_images_are_not(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited = audit(scan(str(photos)), config(photos), PREPROCESS)
    monkeypatch.setattr("raytl.data.images.loaded", None)  # nothing is decoded any more
    splits = divide(audited.samples)
    seen = [s for s in audited.samples if s.split != "test"]
    images = open_images(seen, PREPROCESS, config(photos, cache="on"))
    assert isinstance(images, DecodedSet)
    assert len(images) == len(splits.train) + len(splits.val)
    assert images[0].shape == (20, 20, 3)
    hidden = [s for s in audited.samples if s.split == "test"]
    with pytest.raises(TypeError, match="not callable"):  # not there, so it would have to be decoded
        open_images(hidden, PREPROCESS, config(photos, cache="on"))


def test_without_a_cache_or_a_preprocessing_the_audit_is_the_same(photos: Path, own_cache: Path) -> None:
    manifest = scan(str(photos))
    plain = audit(manifest, config(photos))
    assert not (own_cache / "decoded").exists()
    assert audit(manifest, config(photos, cache="off"), PREPROCESS) == plain
    assert not (own_cache / "decoded").exists()
    assert audit(manifest, config(photos), PREPROCESS) == plain


@pytest.mark.usefixtures("settled")
def test_the_second_audit_reads_nothing_and_a_changed_file_is_read_again(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = audit(scan(str(photos)), config(photos), PREPROCESS)
    reads: list[str] = []
    real = audit_module.read
    monkeypatch.setattr(audit_module, "read", lambda path, *rest: reads.append(str(path)) or real(path, *rest))
    assert audit(scan(str(photos)), config(photos), PREPROCESS) == first
    assert reads == []
    changed = photos / "red" / "003.jpg"
    status = changed.stat()
    shutil.copyfile(photos / "red" / "004.jpg", changed)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert audit(scan(str(photos)), config(photos), PREPROCESS) != first
    assert reads == [str(changed)]


@pytest.mark.usefixtures("settled")
def test_the_depth_of_12_bit_files_is_found_once_and_used_for_what_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_deep_photos(tmp_path / "scans", 12)
    (root / "dark" / "photo.jpg").write_bytes((write_photos(tmp_path / "8", 1) / "red" / "000.jpg").read_bytes())
    found = audit(scan(str(root)), config(root), PREPROCESS)
    assert found.depth.depth == BitDepth(12)
    assert found.depth.reason.startswith("largest value 4095 in ")
    seen = [sample for sample in found.samples if sample.split != "test"]
    preprocess = PREPROCESS.at(found.depth.depth)
    images = open_images(seen, preprocess, config(root, cache="on"))
    files = FileImages(seen, preprocess, 10**6)
    assert all(np.array_equal(images[i], files[i]) for i in range(len(seen)))
    assert max(int(images[i].max()) for i in range(len(seen))) > 200
    monkeypatch.setattr(audit_module, "read", None)  # nothing is read any more
    assert audit(scan(str(root)), config(root), PREPROCESS) == found
    shallow = audit(scan(str(root)), config(root, bit_depth=10), PREPROCESS)
    assert shallow.depth.depth == BitDepth(10, fixed=True)
    assert "images have values above 1023 (bit depth 10), up to 4095" in shallow.warnings[-1]


def test_floats_of_zeros_are_cached_by_the_range_of_the_set(tmp_path: Path) -> None:
    for name, start in (("a", 20), ("b", 26)):
        (tmp_path / name).mkdir()
        for px in range(start, start + 6):
            Image.fromarray(np.zeros((24, px), np.float32)).save(tmp_path / name / f"{px}.tif")
    settings = config(tmp_path, value_range=[-10.0, 10.0], cache="on")
    found = audit(scan(str(tmp_path)), settings, PREPROCESS)
    seen = [sample for sample in found.samples if sample.split != "test"]
    images = open_images(seen, PREPROCESS.at(found.depth.depth), settings)
    assert {int(images[i].min()) for i in range(len(seen))} == {128}


def test_a_depth_that_is_set_is_cached_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_deep_photos(tmp_path / "scans", 12)
    found = audit(scan(str(root)), config(root, bit_depth=12), PREPROCESS)
    monkeypatch.setattr("raytl.data.images.loaded", None)  # nothing is decoded any more
    seen = [sample for sample in found.samples if sample.split != "test"]
    images = open_images(seen, PREPROCESS.at(found.depth.depth), config(root, cache="on"))
    assert max(int(images[i].max()) for i in range(len(seen))) > 200


def test_only_training_images_tell_the_depth(tmp_path: Path) -> None:
    for split, bits in (("train", 10), ("val", 12), ("test", 14)):
        write_deep_photos(tmp_path / "scans" / split, bits)
    found = audit(scan(str(tmp_path / "scans")), config(tmp_path / "scans"))
    assert found.depth.depth == BitDepth(10)
    assert "24 images have values above 1023 (bit depth 10), up to 16383, which are clipped" in found.warnings[-1]


def test_a_file_written_a_moment_ago_is_read_again(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit(scan(str(photos)), config(photos))
    watcher = Recorder()
    audit(scan(str(photos)), config(photos), None, watcher)
    assert watcher.events[-1] == Work("reading images", 36, 36)


def test_broken_files_are_all_listed_before_training(photos: Path) -> None:
    (photos / "red" / "empty.jpg").touch()
    (photos / "red" / "a 'b'\n.png").write_text("no image")
    (photos / "blue" / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    with pytest.raises(DataError, match="3 of 39 images cannot be decoded") as caught:
        audit(scan(str(photos)), config(photos), PREPROCESS)
    text = str(caught.value)
    assert "'red/empty.jpg': empty file (0 bytes)" in text
    assert "\"red/a 'b'\\n.png\": not an image" in text
    assert "'blue/gone.jpg': cannot be read (No such file or directory)" in text
    assert "set data.on_bad_image: skip" in text


@pytest.mark.usefixtures("settled")
def test_broken_files_are_skipped_and_listed_where_asked_the_second_time_too(photos: Path) -> None:
    (photos / "red" / "empty.jpg").touch()
    for _ in range(2):
        audited = audit(scan(str(photos)), config(photos, on_bad_image="skip"), PREPROCESS)
        assert [(bad.key, bad.reason) for bad in audited.skipped] == [("red/empty.jpg", "empty file (0 bytes)")]
        assert len(audited.samples) == 36
        assert audited.warnings == (
            "1 images cannot be decoded and are skipped:\n  'red/empty.jpg': empty file (0 bytes)",
        )


@pytest.mark.usefixtures("settled")
def test_another_bound_of_pixels_judges_anew(photos: Path) -> None:
    audit(scan(str(photos)), config(photos))
    with pytest.raises(DataError, match=r"36 of 36 images(.|\n)*40 x 40 pixels, more than data.max_pixels 100"):
        audit(scan(str(photos)), config(photos, max_pixels=100, on_bad_image="skip"))


@pytest.fixture
def doubled(make_photos: MakePhotos, tmp_path: Path) -> Path:
    """train/, val/ and test/ with one photo in all three, and one that is twice in train under two labels."""
    root = tmp_path / "doubled"
    for seed, split in enumerate(("train", "val", "test")):
        make_photos(per_class=3, root=root / split, seed=seed)
    for split in ("train", "val"):
        shutil.copyfile(root / "test/red/000.jpg", root / split / "red/000.jpg")
    shutil.copyfile(root / "train/red/001.jpg", root / "train/blue/009.jpg")
    shutil.copyfile(root / "val/red/001.jpg", root / "val/red/009.jpg")
    return root


def test_a_photo_on_several_sides_stays_on_the_weightiest_only(doubled: Path) -> None:
    audited = audit(scan(str(doubled)), config(doubled), PREPROCESS)
    dropped = {(copy.dropped.key, copy.kept.key) for copy in audited.duplicates}
    assert dropped == {("train/red/000.jpg", "test/red/000.jpg"), ("val/red/000.jpg", "test/red/000.jpg")}
    keys = {sample.key for sample in audited.samples}
    assert keys & {"train/red/000.jpg", "val/red/000.jpg", "test/red/000.jpg"} == {"test/red/000.jpg"}
    across, conflict, copies = audited.warnings
    assert across.startswith("2 images are duplicates of images in another split and are dropped")
    assert "'train/blue/009.jpg' (train, 'blue') = 'train/red/001.jpg' (train, 'red')" in conflict
    assert copies.startswith("1 images are exact copies of another image in their class and split")


def test_a_photo_on_two_sides_is_refused_where_asked(doubled: Path) -> None:
    with pytest.raises(DataError, match=r"2 images are in two splits:\n  'train/red/000.jpg' \(train"):
        audit(scan(str(doubled)), config(doubled, on_duplicate="error"), PREPROCESS)


def test_ignored_files_are_told(photos: Path) -> None:
    (photos / "red" / "notes.txt").write_text("x")
    audited = audit(scan(str(photos)), config(photos))
    assert audited.warnings == ("1 files that are not images left out:\n  'red/notes.txt'",)


def test_an_interrupted_audit_leaves_no_half_written_pack(
    photos: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(event: object) -> None:
        raise KeyboardInterrupt("by the user")

    with pytest.raises(KeyboardInterrupt, match="by the user"):
        audit(scan(str(photos)), config(photos), PREPROCESS, interrupt)
    assert not list((own_cache / "decoded").glob(".new-*"))


def test_cached_pixels_are_those_of_the_file(photos: Path) -> None:
    audited = audit(scan(str(photos)), config(photos), PREPROCESS)
    train = divide(audited.samples).train
    cached = open_images(train, PREPROCESS, config(photos, cache="on"))
    fresh = open_images(train, PREPROCESS, config(photos, cache="off"))
    assert all(np.array_equal(cached[i], fresh[i]) for i in range(len(train)))
