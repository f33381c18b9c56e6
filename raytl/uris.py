"""Tell from a URI or a file name alone what it refers to: a bucket, a folder of this node, a table, an archive."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

S3 = "s3://"
_FILE = "file://"
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet", ".jsonl"})
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def has_scheme(uri: str) -> bool:
    """Return whether `uri` names a scheme, so that it is not a plain path."""
    return "://" in uri


def in_bucket(path: str | Path) -> bool:
    """Return whether this is the URI of an object or prefix in a bucket."""
    return isinstance(path, str) and path.startswith(S3)


def is_remote(uri: str) -> bool:
    """Return whether `uri` is something other than a folder that this node sees."""
    return has_scheme(uri) and not uri.startswith(_FILE)


def local_path(uri: str) -> Path:
    """Return the path of a URI that is not remote."""
    return Path(uri.removeprefix(_FILE))


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Return the bucket and the key (or prefix) of an s3:// URI."""
    bucket, _, key = uri.removeprefix(S3).partition("/")
    return bucket, key


def is_table_name(name: str | Path) -> bool:
    """Return whether a file, folder or URI of this name is a table by its ending."""
    return PurePosixPath(str(name).rstrip("/")).suffix.lower() in TABLE_SUFFIXES


def is_archive_name(name: str) -> bool:
    """Return whether a file or URI of this name is an archive by its ending."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)
