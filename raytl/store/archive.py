"""Recognise objects in an archive class such as GLACIER, and say how to restore them."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote
from typing import Any

from raytl.uris import bucket_and_key

ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects must be restored before they can be read; GLACIER_IR needs no restore."""


def archive_of(head: Mapping[str, Any]) -> str:
    """Return the archive class that the object must be restored from; empty if it can be read."""
    storage: str = head.get("StorageClass", "")
    if 'ongoing-request="false"' in head.get("Restore", ""):
        return ""
    if status := head.get("ArchiveStatus"):
        return f"{storage} {status}"
    return storage if storage in ARCHIVES else ""


def restore_advice(uri: str) -> str:
    """Return the advice for reading the archived object at `uri`."""
    bucket, key = bucket_and_key(uri)
    command = f"aws s3api restore-object --bucket {quote(bucket)} --key {quote(key)} --restore-request Days=7"
    return f"restore it first ({command}), or copy it to another storage class"
