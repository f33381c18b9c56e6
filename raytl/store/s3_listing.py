"""Walk a prefix: a flat one page after page, one with folders folder by folder, by a bounded number of threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from raytl.store.s3_page import Page, Row

LISTERS = 16
"""Pages that are requested at once."""
_KEY_BYTES = 1024
FetchPage = Callable[[str, str, str], Page]
"""Return the page of a prefix, a delimiter (empty: none) and a token (empty: the first page)."""
_Part = tuple[list[Row], list[str]]
"""Some rows, and the folders that are not listed yet."""


def rows_below(fetch: FetchPage, prefix: str) -> list[Row]:
    """Return all rows below `prefix`, in the order of their keys' UTF-8 bytes.

    Raises:
        ValueError: the store answers with a folder or a token that would make the listing endless.
    """
    rows, folders = _part(fetch, prefix)
    if folders:
        rows += _in_folders(fetch, folders)
    return sorted(rows)  # the order of code points is that of UTF-8


def _in_folders(fetch: FetchPage, folders: list[str]) -> list[Row]:
    rows, ended, running = list[Row](), SimpleQueue[Future[_Part]](), 0
    with ThreadPoolExecutor(LISTERS) as pool:
        try:
            while folders or running:
                for folder in folders:
                    pool.submit(_part, fetch, folder).add_done_callback(ended.put)
                running += len(folders) - 1
                below, folders = ended.get().result()
                rows += below
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return rows


def _part(fetch: FetchPage, prefix: str) -> _Part:
    """Return the rows of a prefix without folders or of one page, else those beside its folders, and the folders."""
    page = fetch(prefix, "", "")
    rows = list(page.rows)
    while page.token:
        if not page.rows or any("/" in key[len(prefix) :] for key, *_ in page.rows):
            return _delimited(fetch, prefix)
        page = _next(fetch, prefix, "", page)
        rows += page.rows
    return rows, []


def _delimited(fetch: FetchPage, prefix: str) -> _Part:
    page = fetch(prefix, "/", "")
    rows, folders = list(page.rows), [_inner(folder, prefix) for folder in page.folders]
    while page.token:
        page = _next(fetch, prefix, "/", page)
        rows += page.rows
        folders += [_inner(folder, prefix) for folder in page.folders]
    return rows, folders


def _next(fetch: FetchPage, prefix: str, delimiter: str, page: Page) -> Page:
    following = fetch(prefix, delimiter, page.token)
    if following.token == page.token:
        raise ValueError(f"the token {page.token[:40]!r} of a page for the one after it")
    return following


def _inner(folder: str, prefix: str) -> str:
    """Return a folder listed below `prefix`; raise ValueError for one that would make the listing endless."""
    if len(folder) <= len(prefix) or not folder.startswith(prefix) or len(folder.encode(errors="replace")) > _KEY_BYTES:
        raise ValueError(f"a folder {folder[-40:]!r} below {prefix[-40:]!r}")
    return folder
