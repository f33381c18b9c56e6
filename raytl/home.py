"""The user's home folder. Containers often have none: `HOME` is unset and the user has no passwd entry."""

from __future__ import annotations

from pathlib import Path

from raytl.errors import UserError


def expanded(path: str | Path) -> Path:
    """Return `path` with the home folder in place of `~`.

    Raises:
        UserError: the home folder is unknown.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{path}: the home folder of this user is unknown; expected HOME to be set. Set HOME, or write the full path."
        ) from error


def ray_token_file() -> Path | None:
    """Return where Ray keeps its token by default, ~/.ray/auth_token; None if the home folder is unknown."""
    try:
        return Path.home() / ".ray" / "auth_token"
    except RuntimeError:
        return None
