"""The error tree and its exit codes.

    RaytlError                      every error for a user; exit code 1 unless its class overrides it
    |- UserError          (exit 2)  the input is wrong: the user must fix it; a retry does not help
    |  |- ConfigError               the experiment file or an override; lists all problems at once
    |  |- DataError                 the images, labels or splits
    |  |- ModelError                the backbone's name, its stages or its weights
    |  |- RunError                  the run folder: missing, of another experiment, or locked
    |  |- RegistryError             the model registry: no such version or alias, or a concurrent change
    |  `- TestLockedError           the test split was already evaluated
    |- StoreError         (exit 1)  a file system or an object store
    |  |- NotFound        (exit 2)  404: the object does not exist
    |  |- Denied          (exit 2)  403: access denied
    |  |- Archived        (exit 2)  403: archived and not restored
    |  |- TooLarge        (exit 2)  more bytes than listed, or than the caller allows
    |  |- Unavailable               throttling, 5xx, timeouts, resets: the only ones that are retried
    |  |- Conflict                  412: another writer was first
    |  `- DiskError                 this machine's disk is full, read-only, or not accessible to this user
    `- TrainingError      (exit 1)  training stopped
       |- NonFiniteLoss             the loss became NaN or infinite
       |- WorkersLost               workers died more often than the budget allows
       `- WorkerFailed              a bug: an error that is not for users

The text of an error states where, what was found, what was expected and what to do. An error holds only
its text, so it survives pickling by Ray. Secrets in the text are masked.
"""

from __future__ import annotations

from raytl.sanitize import redacted


class RaytlError(Exception):
    """An error for a user: its text is the whole message, its class sets the exit code."""

    exit_code = 1

    def __init__(self, text: str = "") -> None:
        super().__init__(redacted(text))


def first_line(error: BaseException) -> str:
    """Return the first non-empty line of an error's text, with secrets masked, or the name of its class."""
    lines = (line.strip() for line in str(error).splitlines() if line.strip())
    return redacted(next(lines, type(error).__name__))


class UserError(RaytlError):
    """The input is wrong; the user must fix it, a retry does not help."""

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
    """The model registry has no such version or alias, or it changed concurrently."""


class TestLockedError(UserError):
    """The test split of a run was already evaluated."""

    __test__ = False  # pytest: not a test class


class StoreError(RaytlError):
    """A file system or an object store failed."""


class NotFound(StoreError):
    """The object does not exist (404)."""

    exit_code = 2


class Denied(StoreError):
    """The store denies access (403)."""

    exit_code = 2


class Archived(StoreError):
    """The object is archived and must be restored before it can be read."""

    exit_code = 2


class TooLarge(StoreError):
    """The object has more bytes than listed, or than the caller allows."""

    exit_code = 2


class Unavailable(StoreError):
    """The store does not answer now (throttling, 5xx, timeout, reset); the request may be retried."""


class Conflict(StoreError):
    """The object exists, or differs from the one to be replaced (412)."""


class DiskError(StoreError, OSError):
    """A disk of this machine failed; also an OSError, for callers that can continue without the write."""


class TrainingError(RaytlError):
    """Training stopped before its end."""


class NonFiniteLoss(TrainingError):
    """The loss became NaN or infinite."""


class WorkersLost(TrainingError):
    """Workers died more often than the retry budget allows."""


class WorkerFailed(TrainingError):
    """A worker failed with an error that is not for users: a bug, which is not retried."""
