"""The options of feedback as a value, from options that may be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raytl.errors import UserError

if TYPE_CHECKING:
    from raytl.feedback.opening import FeedbackOptions

_OPTIONS = {
    "images": "--feedback-images",
    "window_s": "--feedback-window",
    "days": "--feedback-days",
    "max_gb": "--feedback-gb",
    "redact": "--redact",
}


def feedback_options(uri: str | None, **given: float | str | None) -> FeedbackOptions | None:
    """Return the options of a recorder below `uri`; None without one.

    Raises:
        UserError: others are given without a URI, or out of range.
    """
    values = {name: value for name, value in given.items() if value is not None}
    if uri is None:
        for name, value in values.items():
            raise UserError(f"{_OPTIONS[name]} {value}: has no effect without --feedback; add it, or remove this")
        return None
    from raytl.feedback.opening import FeedbackOptions

    return FeedbackOptions(uri, **values)  # type: ignore[arg-type]
