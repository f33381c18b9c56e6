"""Decode the names in a zip. Each name is marked as UTF-8 or not; unmarked ones are decided by their bytes or the user.

Source: PKWARE APPNOTE.TXT, 4.4.4 (bit 11) and appendix D; 4.6.9 (Info-ZIP Unicode Path, 0x7075).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from zipfile import ZipInfo

from raytl.data.manifest import listed
from raytl.errors import DataError

_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075


def zip_names(infos: Sequence[ZipInfo], encoding: str | None = None) -> tuple[list[str], list[str]]:
    """Return the member names, and those among them with a guessed encoding; `encoding` is the user's choice.

    The whole archive has one encoding: UTF-8 if all unmarked names are valid UTF-8, else cp437, as the format specifies.

    Raises:
        DataError: names cannot be decoded with `encoding`.
    """
    certain = {index: name for index, info in enumerate(infos) if (name := _certain(info)) is not None}
    raw = {index: _raw(info) for index, info in enumerate(infos) if index not in certain}
    if encoding is None:
        encoding = "utf-8" if all(map(_is_utf8, raw.values())) else "cp437"
        guessed = encoding == "cp437"
    else:
        guessed = False
    names = certain | {index: _decoded(name, encoding) for index, name in raw.items()}
    uncertain = [names[index] for index in raw if not raw[index].isascii()] if guessed else []
    return [names[index] for index in range(len(infos))], uncertain


def encoding_note(uri: str, guessed: Sequence[str]) -> str:
    """Return a warning with the names decoded by guess: folders, which may be classes, else files."""
    folders = sorted({part for name in guessed for part in name.split("/")[:-1] if not part.isascii()})
    examples = folders or sorted({name.rpartition("/")[2] for name in guessed})
    return (
        f"{uri}: the zip does not declare the encoding of {len(guessed)} names, and they are not UTF-8; decoding them as "
        f"cp437 gives the {'folders' if folders else 'files'}\n{listed([repr(name) for name in examples])}\n"
        "If they look wrong, set data.zip_encoding (cp932 for Japanese, gbk for Chinese, cp1252 or cp850 for Western Europe)."
    )


def _certain(info: ZipInfo) -> str | None:
    """Return the name if its encoding is declared or it is ASCII, else None."""
    if info.flag_bits & _UTF8_FLAG or info.orig_filename.isascii():
        return info.orig_filename
    return _unicode_path(info)


def _unicode_path(info: ZipInfo) -> str | None:
    """Return the name in Info-ZIP's Unicode Path field, if it matches the current name of the member."""
    extra = info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            (checksum,) = struct.unpack("<L", field[1:5])
            if checksum == zlib.crc32(_raw(info)) and _is_utf8(field[5:]):
                return field[5:].decode()
    return None


def _raw(info: ZipInfo) -> bytes:
    return info.orig_filename.encode("cp437")  # reverses the lossless decoding of zipfile


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decoded(name: bytes, encoding: str) -> str:
    try:
        return name.decode(encoding)
    except UnicodeDecodeError as exc:
        raise DataError(
            f"data.zip_encoding: {encoding} cannot decode the name {name!r} of the zip; expected the encoding of the system "
            "that created it, such as cp932, gbk or cp1252. Set that, or remove the key."
        ) from exc
