"""The node's cache folder, for pulled data, decoded images and audit results."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from functools import lru_cache
from pathlib import Path

from raytl.errors import UserError
from raytl.home import expanded


def cache_root() -> Path:
    """Return the node's cache folder: `RAYTL_CACHE`, else `raytl` under `XDG_CACHE_HOME` or ~/.cache.

    A missing folder is created with mode 0700. If neither variable is set and the home folder is not writable, use a folder
    of this user below the temporary folder. An existing folder that `RAYTL_CACHE` names keeps its mode.

    Raises:
        UserError: none of these folders is writable.
    """
    if given := os.environ.get("RAYTL_CACHE"):
        folder = expanded(given).absolute()
    else:
        folder = _default(os.environ.get("XDG_CACHE_HOME") or _expand_user("~/.cache"), tempfile.gettempdir())
    with contextlib.suppress(OSError):  # the first write reports the error
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _warn_if_shared(folder)
    return folder


def redirect_library_caches() -> None:
    """Redirect library caches to the cache folder if the home folder is not writable; variables that are set stay.

    Raises:
        UserError: no cache folder is writable either.
    """
    home = _expand_user("~")
    if home.startswith("~") or not _is_writable(Path(home)):
        for name, folder in _OF_LIBRARIES.items():
            os.environ.setdefault(name, str(cache_root() / folder))


def _expand_user(path: str) -> str:
    """Return `path` with `~` replaced by the home folder, unchanged if that is unknown."""
    return os.path.expanduser(path)  # noqa: PTH111 - pathlib raises


_OF_LIBRARIES = {"MPLCONFIGDIR": "matplotlib", "HF_HOME": "huggingface", "TORCH_HOME": "torch"}
_ADVICE = "Set RAYTL_CACHE (or HOME) to a writable folder."


@lru_cache
def _warn_if_shared(folder: Path) -> None:
    """Warn once about a folder that another user can change."""
    with contextlib.suppress(OSError):
        status = folder.stat()
        is_foreign = status.st_uid not in {0, os.geteuid()}
        if is_foreign or status.st_mode & stat.S_IWOTH:
            logging.getLogger("raytl").warning(
                "cache: %s %s, and raytl trusts its content; expected a folder that only this user can change. Set RAYTL_CACHE "
                "to such a folder, unless you trust everyone who can write there.",
                folder,
                f"belongs to user {status.st_uid}" if is_foreign else "is writable by every user of this machine",
            )


def _restrict(folder: Path) -> None:
    """Remove the permissions of other users on a folder of this user."""
    with contextlib.suppress(OSError):
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
            folder.chmod(0o700)


@lru_cache
def _default(base: str, temporary: str) -> Path:
    wanted = Path(base).absolute() / "raytl"
    if not base.startswith("~") and _is_writable(wanted):
        _restrict(wanted)
        return wanted
    place = Path(temporary) / f"raytl-cache-{os.geteuid()}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        status = place.lstat()
    except OSError as error:
        raise UserError(f"{_not_writable(base)}, nor is {place} ({error.strerror}). {_ADVICE}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise UserError(f"{_not_writable(base)}, and {place} is not a folder that only this user can change. {_ADVICE}")
    logging.getLogger("raytl").warning("%s; using %s. %s", _not_writable(base), place, _ADVICE)
    return place


def _not_writable(base: str) -> str:
    return f"cache: {base} is not writable"


def _is_writable(folder: Path) -> bool:
    """Return whether this user can write to the folder, or create it."""
    for place in (folder, *folder.parents):
        try:
            mode = place.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
        return stat.S_ISDIR(mode) and os.access(place, os.W_OK | os.X_OK)
    return False
