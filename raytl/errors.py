"""The error tree: what can go wrong, and whose turn it is.

    RaytlError                      every error meant for a user; exit code 1 unless its class says otherwise
    |- UserError          (exit 2)  the input is wrong: the user mends it, a retry cannot
    |  |- ConfigError               the experiment file or an override; lists every problem at once
    |  |- DataError                 the images, labels or splits
    |  |- ModelError                the backbone's name, its stages or its weights
    |  |- RunError                  the run folder: missing, of another experiment, locked
    |  |- RegistryError             the registry of models: no such version or alias, a move that somebody else made first
    |  `- TestLockedError           the test split was looked at already
    |- StoreError         (exit 1)  a file system or an object store
    |  |- NotFound        (exit 2)  404: nothing is there
    |  |- Denied          (exit 2)  403: not allowed
    |  |- Archived        (exit 2)  403: in an archive, and not restored
    |  |- TooLarge        (exit 2)  more bytes than were listed, or than the caller allows
    |  |- Unavailable               throttling, 5xx, timeouts, resets: the only ones worth a retry
    |  |- Conflict                  412: somebody else wrote there first
    |  `- DiskError                 this machine's disk is full, read-only, or not this user's
    `- TrainingError      (exit 1)  training stopped
       |- NonFiniteLoss             the loss became NaN or infinite
       |- WorkersLost               workers died more often than the budget allows
       `- WorkerFailed              a bug: an error that was not meant for a user

The text of an error says where, what was found, what was expected and what to do. Every error holds its
text alone, so it survives the pickling that Ray puts errors through. Secrets in the text are starred.
"""

from __future__ import annotations

from raytl.sanitize import redacted


class RaytlError(Exception):
    """An error meant for a user: its text is the whole message, its class the exit code."""

    exit_code = 1

    def __init__(self, text: str = "") -> None:
        super().__init__(redacted(text))


def first_line(error: BaseException) -> str:
    """Return the first line of any error's text that says something, with secrets starred; else the name of its class."""
    lines = (line.strip() for line in str(error).splitlines() if line.strip())
    return redacted(next(lines, type(error).__name__))


class UserError(RaytlError):
    """The input is wrong; the user can mend it and a retry cannot."""

    exit_code = 2


class ConfigError(UserError):
    """The experiment file or an override is wrong."""


class DataError(UserError):
    """The images, labels or splits are wrong."""


class ModelError(UserError):
    """The backbone's name, stages or weights are wrong."""


class RunError(UserError):
    """The run folder is missing, incomplete, or belongs to another experiment."""


class RegistryError(UserError):
    """The registry of models has no such version or alias, or it moved meanwhile."""


class TestLockedError(UserError):
    """The test split of a run was looked at already."""

    __test__ = False  # pytest: not a test class


class StoreError(RaytlError):
    """A file system or an object store failed."""


class NotFound(StoreError):
    """Nothing is stored there (404)."""

    exit_code = 2


class Denied(StoreError):
    """The store refuses (403)."""

    exit_code = 2


class Archived(StoreError):
    """The object is in an archive, and has to be restored before it can be read."""

    exit_code = 2


class TooLarge(StoreError):
    """The object has more bytes than were listed, or than the caller allows."""

    exit_code = 2


class Unavailable(StoreError):
    """The store does not answer now (throttling, 5xx, timeout, reset); worth a retry."""


class Conflict(StoreError):
    """Something is stored there already, or something else than what was to be replaced (412)."""


class DiskError(StoreError, OSError):
    """A disk of this machine refuses; also an OSError, for whoever does without what could not be written."""


class TrainingError(RaytlError):
    """Training stopped before its end."""


class NonFiniteLoss(TrainingError):
    """The loss became NaN or infinite."""


class WorkersLost(TrainingError):
    """Workers died more often than the retry budget allows."""


class WorkerFailed(TrainingError):
    """A worker failed with an error that is not meant for a user: a bug, which is not tried again."""
