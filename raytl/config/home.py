"""The home folder of this user, which containers often lack: `HOME` may be unset, and the user without a passwd entry."""

from __future__ import annotations

from pathlib import Path

from raytl.errors import UserError


def expanded(path: str | Path) -> Path:
    """Return `path` with the home folder in the place of `~`.

    Raises:
        UserError: the home folder is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{path}: the home folder of this user is not known; expected HOME to name it. Set HOME, or write the path in full."
        ) from error


def ray_token_file() -> Path | None:
    """Return where Ray keeps its token by default, ~/.ray/auth_token; None where the home folder is not known."""
    try:
        return Path.home() / ".ray" / "auth_token"
    except RuntimeError:
        return None
