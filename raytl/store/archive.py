"""What to do about objects in an archive, such as GLACIER."""

from __future__ import annotations

from shlex import quote


def restore_advice(uri: str) -> str:
    """Return how to make the archived object at `uri` readable."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    command = f"aws s3api restore-object --bucket {quote(bucket)} --key {quote(key)} --restore-request Days=7"
    return f"restore it first ({command}), or copy it to another storage class"
