"""Labels of several sources: combined on training images, with the accuracy of each source; the test split changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.config.labels import LabelsConfig
from raytl.config.schema import DataConfig
from raytl.data.formats import scan
from raytl.data.given_labels import with_labels
from raytl.data.manifest import Manifest
from raytl.errors import DataError

COLUMNS = ["ann", "bob", "Rule"]
IMAGES = 330


def table(tmp_path: Path, seed: int = 0, test_labels: Sequence[str] = ("cat", "dog")) -> str:
    """A table of 300 training images without labels, named by sources right 95, 80 and 20 % of the time; val and test have some."""
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    rng = np.random.default_rng(seed)
    rows = ["path,label,split,ann,bob,rule"]
    for place in range(IMAGES):
        (tmp_path / f"{place}.png").exists() or (tmp_path / f"{place}.png").hardlink_to(tmp_path / "0.png")
        truth = ("cat", "dog")[place % 2]
        votes = [truth if rng.random() < right else {"cat": "dog", "dog": "cat"}[truth] for right in (0.95, 0.8, 0.2)]
        split = "train" if place < 300 else "val" if place < 315 else "test"
        own = {"train": "", "val": truth, "test": test_labels[place % 2]}[split]
        rows.append(",".join([f"{place}.png", own, split, *votes]))
    rows[1] = "0.png,,train,cat,,"  # one vote
    (tmp_path / "photos.csv").write_text("\n".join(rows) + "\n")
    return str(tmp_path / "photos.csv")


def read(uri: str, columns: Sequence[str] = COLUMNS) -> Manifest:
    labels = LabelsConfig(columns=list(columns))
    return with_labels(scan(uri, votes=columns), DataConfig(uri=uri, test_fraction=0), labels)


def trained(manifest: Manifest) -> dict[str, str]:
    return {sample.key: sample.label for sample in manifest.samples if sample.split == "train"}


def test_training_images_get_combined_labels_and_the_sources_an_accuracy(tmp_path: Path) -> None:
    result = read(table(tmp_path))
    right = [label == ("cat", "dog")[int(key.removesuffix(".png")) % 2] for key, label in trained(result).items()]
    assert np.mean(right) > 0.9
    assert result.classes == ("cat", "dog")
    assert "300 training images have combined labels" in result.warnings[-1]
    assert "Rule" in result.warnings[-1]
    assert "(no better than the most frequent class)" in result.warnings[-1].split("Rule")[1]


def test_labels_of_test_change_no_training_label(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one, other = (
        read(table(tmp_path / each, test_labels=names))
        for each, names in ((".", ("cat", "dog")), ("other", ("dog", "cat")))
    )
    assert trained(one) == trained(other)
    assert one.warnings == other.warnings


def test_images_whose_sources_tie_are_left_out(tmp_path: Path) -> None:
    uri = table(tmp_path)
    rows = ["path,label,split,ann,bob", *(f"{i}.png,{('cat', 'dog')[i % 2]},val,," for i in range(4))]
    votes = [("cat", "cat"), ("dog", "dog"), ("cat", "dog"), ("dog", "cat")] * 3
    rows += [f"{place + 4}.png,,train,{','.join(each)}" for place, each in enumerate(votes)]
    Path(uri).write_text("\n".join(rows) + "\n")
    result = read(uri, ["ann", "bob"])
    assert set(trained(result)) == {f"{place + 4}.png" for place in range(12) if place % 4 < 2}
    assert "6 images are left out: their sources disagree" in result.warnings[-1]


def test_images_of_val_and_test_need_a_label_of_their_own(tmp_path: Path) -> None:
    uri = table(tmp_path)
    text = Path(uri).read_text().replace("310.png,cat,val", "310.png,,val").replace("320.png,cat,test", "320.png,,test")
    Path(uri).write_text(text)
    with pytest.raises(
        DataError, match=r"2 images of validation and test have no label of their own:\n  310\.png\n  320\.png"
    ):
        read(uri)


def test_wrong_columns_and_rows_without_any_label_are_errors(tmp_path: Path) -> None:
    uri = table(tmp_path)
    with pytest.raises(DataError, match=r"no column 'bop' \(did you mean 'bob'\?\)"):
        read(uri, ["ann", "bop"])
    Path(uri).write_text(Path(uri).read_text().replace("0.png,,train,cat,,", "0.png,,train,,,"))
    with pytest.raises(DataError, match=r"1 rows without a label(.|\n)*line 2"):
        read(uri)
