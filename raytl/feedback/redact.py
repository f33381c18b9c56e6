"""Redact photos with a command of this machine's operator, before they leave the process.

The command comes from the command line or the environment of the server, never from data. It gets a photo on its standard
input and writes the redacted one to its standard output. A photo whose redaction fails is not stored.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable

from raytl.data.heif import is_heif
from raytl.errors import ConfigError

Redact = Callable[[bytes], bytes | None]
"""From a photo to the redacted one; None = do not store it."""
TIME_LIMIT_S = 10.0
_NETPBM = {1: "pbm", 2: "pgm", 3: "ppm", 4: "pbm", 5: "pgm", 6: "ppm"}
_MAGIC = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
    (b"\0\0\0\x0cjP  \r\n", "jp2"),
    *((f"P{number}{space}".encode(), suffix) for number, suffix in _NETPBM.items() for space in " \t\r\n"),
)
_AVIF = (b"avif", b"avis")


def suffix_of(photo: bytes) -> str:
    """Return the suffix of a photo by its first bytes; empty if it is none that feedback keeps."""
    if photo[:4] == b"RIFF" and photo[8:12] == b"WEBP":
        return "webp"
    if is_heif(photo):
        return "heic"
    if photo[4:8] == b"ftyp" and any(brand in photo[8:64] for brand in _AVIF):
        return "avif"
    return next((suffix for magic, suffix in _MAGIC if photo.startswith(magic)), "")


def unredacted(photo: bytes) -> bytes | None:
    """Return the photo as it is."""
    return photo


def redact_with(command: str, max_bytes: int, limit_s: float = TIME_LIMIT_S) -> Redact:
    """Return what runs `command` on each photo, without a shell.

    Raises:
        ConfigError: the command is empty, or cannot be split into words.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"the redaction command {command!r}: {error}; expected a program and its arguments") from None
    if not words:
        raise ConfigError("the redaction command is empty; expected a program and its arguments")

    def redact(photo: bytes) -> bytes | None:
        try:
            done = subprocess.run(words, input=photo, capture_output=True, timeout=limit_s, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout if 0 < len(done.stdout) <= max_bytes and suffix_of(done.stdout) else None

    return redact
