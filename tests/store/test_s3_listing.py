"""Every key of a prefix is listed once, with few pages, by a bounded number of threads."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from raytl.store import s3, s3_listing
from raytl.store.s3 import S3Store
from raytl.store.s3_listing import rows_below
from raytl.store.s3_page import Page, Row
from raytl.store.s3_settings import S3Settings
from tests.store.proxy import error, proxied

TREES = {
    "nothing": [],
    "one page": ["p/a/1", "p/b"],
    "flat": [f"p/{number}" for number in range(9)],
    "flat, then a folder": ["p/0", "p/1", "p/2", "p/3", "p/x/1", "p/x/2", "p/z"],
    "folders": [f"p/{folder}/{number}" for folder in "abc" for number in range(7)],
    "folders in folders": [f"p/a/{'b/' * depth}{number}" for depth in range(4) for number in range(5)],
    "markers": ["p/", "p/a/", "p/a/1", "p/a/2", "p/b/"],
    "code points beyond 16 bits": ["p/\uffee", "p/\U0001f600", "p/é", "p/z", "p/a"],
}


class Store:
    """Serves pages of three, as S3 does, and counts them."""

    def __init__(self, keys: list[str]) -> None:
        self.keys, self.pages, self.at_once = sorted(keys, key=str.encode), Counter[str](), 0
        self._lock, self._running = threading.Lock(), 0

    def page(self, prefix: str, delimiter: str, token: str) -> Page:
        with self._lock:
            self.pages[prefix] += 1
            self._running += 1
            self.at_once = max(self.at_once, self._running)
        entries = dict.fromkeys(self._entry(key, prefix, delimiter) for key in self.keys if key.startswith(prefix))
        left = [entry for entry in entries if entry > token]
        shown = left[:3]
        with self._lock:
            self._running -= 1
        rows = [(key, 1, "e", "") for key in shown if not (delimiter and key.endswith("/") and key != prefix)]
        folders = [entry for entry in shown if delimiter and entry.endswith("/") and entry != prefix]
        return Page(rows, folders, shown[-1] if len(left) > 3 else "")

    def _entry(self, key: str, prefix: str, delimiter: str) -> str:
        end = key.find("/", len(prefix)) if delimiter else -1
        return key if end < 0 else key[: end + 1]


@pytest.mark.parametrize("name", TREES)
def test_every_key_is_listed_once_in_the_order_of_its_bytes(name: str) -> None:
    keys = TREES[name]
    rows = rows_below(Store(keys).page, "p/")
    assert [key for key, *_ in rows] == sorted(keys, key=str.encode)


def test_a_flat_prefix_is_read_page_after_page_and_none_twice() -> None:
    store = Store(TREES["flat"])
    rows_below(store.page, "p/")
    assert store.pages == {"p/": 3}


def test_a_flat_folder_is_read_page_after_page_and_none_twice() -> None:
    store = Store(TREES["folders"])
    rows_below(store.page, "p/")
    assert store.pages == {"p/": 2, "p/a/": 3, "p/b/": 3, "p/c/": 3}


def test_threads_are_bounded_at_every_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_listing, "LISTERS", 3)
    keys = [f"p/{a}/{b}/{number}" for a in range(6) for b in range(6) for number in range(5)]
    store, before = Store(keys), threading.active_count()
    most = 0

    def fetch(prefix: str, delimiter: str, token: str) -> Page:
        nonlocal most
        most = max(most, threading.active_count() - before)
        return store.page(prefix, delimiter, token)

    assert len(rows_below(fetch, "p/")) == len(keys)
    assert most <= 3


def test_an_error_in_a_folder_ends_the_listing_and_no_other_page_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_listing, "LISTERS", 1)
    store, released = Store([f"p/{folder}/{number}" for folder in "abcdefgh" for number in range(5)]), threading.Event()

    def fetch(prefix: str, delimiter: str, token: str) -> Page:
        if prefix == "p/b/":
            raise OSError("away")
        if prefix > "p/b/":
            released.wait(0.1)  # until the error has reached the caller
        return store.page(prefix, delimiter, token)

    with pytest.raises(OSError, match="away"):
        rows_below(fetch, "p/")
    assert store.pages["p/h/"] == 0


@pytest.mark.parametrize("folder", ["p/", "", "other/", "p/" + "d/" * 600])
def test_a_folder_that_is_not_below_the_prefix_is_an_error(folder: str) -> None:
    def fetch(prefix: str, delimiter: str, token: str) -> Page:
        return Page([], [folder] if delimiter else [], "" if delimiter else "next")

    with pytest.raises(ValueError, match="a folder"):
        rows_below(fetch, "p/")


@pytest.mark.parametrize("key", ["p/a", "p/a/b"])
def test_a_token_that_asks_for_the_same_page_is_an_error(key: str) -> None:
    row: Row = (key, 1, "e", "")

    with pytest.raises(ValueError, match="the token 'again'"):
        rows_below(lambda *_: Page([row], [], "again"), "p/")


@pytest.mark.s3
def test_boto3_asks_for_the_first_page_and_for_those_that_fail(
    s3_server: str, bucket: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"{folder}/{number}" for folder in ("a", "b +&'", "é") for number in range(7)]
    for key in keys:
        s3_client.put_object(Bucket=bucket, Key=f"p é/{key}", Body=b"")
    monkeypatch.setattr(s3, "PAGE_KEYS", 3)
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3.forget_client()
        asked = list[str]()
        s3.client().meta.events.register("before-send.s3", lambda request, **_: asked.append(request.url))
        store = S3Store(bucket, "p é")
        assert [info.key for info in store.list()] == sorted(keys, key=str.encode)
        assert len(asked) == 1
        store.get_bytes("a/1")  # a later listing is direct from its first page on
        asked.clear()
        proxy.do(error(403, "AccessDenied"), lambda one: "?encoding-type" in one.path)  # not boto3's
        assert [info.key for info in store.list()] == sorted(keys, key=str.encode)
        assert len(asked) == 4, "the first page of the prefix and of each folder"
        assert s3.cached_client(S3Settings()).routes[bucket].region is not None
