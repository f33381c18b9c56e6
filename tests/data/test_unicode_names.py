"""Names that are the same to people are the same here."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.data.unicode_names import Lookup, Spellings, member_path, nearly_equal, nfc, unicode_forms
from raytl.errors import DataError

NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_names_are_composed_and_every_stored_form_is_known() -> None:
    assert nfc(NFD) == NFC and nfc("a") == "a" and nfc("\udcff") == "\udcff"
    assert unicode_forms(NFC) == unicode_forms(NFD) == {NFC, NFD} and unicode_forms("a") == {"a"}


def test_members_have_one_path_however_they_are_spelt() -> None:
    assert member_path(f"./d\\{NFD}.jpg") == f"d/{NFC}.jpg"


def test_two_members_with_one_name_in_two_forms_clash_and_both_are_named() -> None:
    spellings = Spellings()
    assert not spellings.clash(f"{NFC}/1.jpg") and not spellings.clash(f"{NFC}/1.jpg")
    assert not spellings.clash(f"{NFD}/2.jpg")
    assert spellings.clash(f"./{NFD}/1.jpg") == (
        r"is 'cafe\u0301/1.jpg', the same name as 'caf\xe9/1.jpg' in another Unicode form: rename one of them"
    )


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["Cat", "cat", "cat"], ["'Cat' (1 images), 'cat' (2 images)"]),
        (["dog", "dog "], ["'dog' (1 images), 'dog ' (1 images)"]),
        ([" dog", "dog"], ["' dog' (1 images), 'dog' (1 images)"]),
        (["golden  retriever", "golden retriever"], ["'golden  retriever' (1 images), 'golden retriever' (1 images)"]),
        (["dog", "\u200bdog"], [r"'dog' (1 images), '\u200bdog' (1 images)"]),
        (["STRASSE", "straße"], ["'STRASSE' (1 images), 'straße' (1 images)"]),
        (["cat", "cats", "car", "c at"], []),
    ],
)
def test_class_names_that_people_take_for_one_are_told_with_their_counts(labels: list[str], told: list[str]) -> None:
    assert nearly_equal(labels) == [
        f"2 class names are nearly identical: {line}; rename them if they are meant to be one class" for line in told
    ]


@pytest.mark.parametrize(("stored", "asked"), [(NFC, NFD), (NFD, NFC), (NFC, NFC), (NFD, NFD)])
def test_a_file_is_found_in_either_form_of_its_name_and_its_folders(tmp_path: Path, stored: str, asked: str) -> None:
    (tmp_path / stored).mkdir()
    (tmp_path / stored / f"{stored}.jpg").touch()
    lookup = Lookup()
    assert lookup.find(f"{tmp_path}/{asked}/{asked}.jpg") == f"{tmp_path}/{stored}/{stored}.jpg"
    assert lookup.find(f"{tmp_path}/{asked}/none.jpg") is None
    assert lookup.find(f"{tmp_path}/none/{asked}.jpg") is None
    assert lookup.find(f"{tmp_path}/{'é' * 300}.jpg") is None


def test_a_third_form_of_two_stored_names_is_an_error_that_names_both(tmp_path: Path) -> None:
    both, neither = ("\u1ed9", "o\u0323\u0302"), "\u00f4\u0323"
    for name in both:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="are the same name in two Unicode forms"):
        Lookup().find(f"{tmp_path}/{neither}")
