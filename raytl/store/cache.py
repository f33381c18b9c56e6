"""The node's cache folder: one place for pulled data, decoded images and remembered audits."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from functools import lru_cache
from pathlib import Path

from raytl.config.home import expanded
from raytl.errors import UserError


def cache_root() -> Path:
    """Return the node's cache folder (`RAYTL_CACHE`, else `raytl` under `XDG_CACHE_HOME` or ~/.cache); where it is missing, it
    is made such that only this user can enter it.

    Where nobody set it and there is no home folder to write to, it is a folder of this user's below the temporary folder.
    One that `RAYTL_CACHE` names keeps the mode that it has.

    Raises:
        UserError: no such folder can be written.
    """
    if given := os.environ.get("RAYTL_CACHE"):
        folder = expanded(given).absolute()
    else:
        folder = _default(os.environ.get("XDG_CACHE_HOME") or _at_home("~/.cache"), tempfile.gettempdir())
    with contextlib.suppress(OSError):  # whoever writes there says what is wrong
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _warn_of_others(folder)
    return folder


def lend_home() -> None:
    """Have libraries keep their files in the cache folder where there is no home folder to write to; what is set stays.

    Raises:
        UserError: there is no cache folder either.
    """
    home = _at_home("~")
    if home.startswith("~") or not _can_be_written(Path(home)):
        for name, folder in _OF_LIBRARIES.items():
            os.environ.setdefault(name, str(cache_root() / folder))


def _at_home(path: str) -> str:
    """Return `path` with the home folder in the place of `~`, as it is where that is not known."""
    return os.path.expanduser(path)  # noqa: PTH111 - pathlib raises


_OF_LIBRARIES = {"MPLCONFIGDIR": "matplotlib", "HF_HOME": "huggingface", "TORCH_HOME": "torch"}
_ADVICE = "Set RAYTL_CACHE (or HOME) to a folder that can be written."


@lru_cache
def _warn_of_others(folder: Path) -> None:
    """Warn once of a folder that another user can change."""
    with contextlib.suppress(OSError):
        status = folder.stat()
        theirs = status.st_uid not in {0, os.geteuid()}
        if theirs or status.st_mode & stat.S_IWOTH:
            logging.getLogger("raytl").warning(
                "cache: %s %s, and raytl trusts what is in it; expected a folder that only this user can write. Set RAYTL_CACHE "
                "to one unless you trust all who can write there.",
                folder,
                f"belongs to the user {status.st_uid}" if theirs else "can be written by every user of this machine",
            )


def _close(folder: Path) -> None:
    """Keep other users out of a folder of this user."""
    with contextlib.suppress(OSError):
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
            folder.chmod(0o700)


@lru_cache
def _default(base: str, temporary: str) -> Path:
    wanted = Path(base).absolute() / "raytl"
    if not base.startswith("~") and _can_be_written(wanted):
        _close(wanted)
        return wanted
    place = Path(temporary) / f"raytl-cache-{os.geteuid()}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        status = place.lstat()
    except OSError as error:
        raise UserError(f"{_lacking(base)}, nor can {place} ({error.strerror}). {_ADVICE}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise UserError(f"{_lacking(base)}, and {place} is not a folder that only this user can write. {_ADVICE}")
    logging.getLogger("raytl").warning("%s; using %s. %s", _lacking(base), place, _ADVICE)
    return place


def _lacking(base: str) -> str:
    return f"cache: {base} cannot be written"


def _can_be_written(folder: Path) -> bool:
    """Return whether this user can write in the folder, or make it."""
    for place in (folder, *folder.parents):
        try:
            mode = place.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
        return stat.S_ISDIR(mode) and os.access(place, os.W_OK | os.X_OK)
    return False
