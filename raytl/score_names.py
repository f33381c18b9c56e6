"""The names of scores for people, and which scores are fractions, shown in percent."""

from __future__ import annotations

import re

_NAMES = {
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "f1": "F1",
    "ece": "expected calibration error",
    "ap": "AP",
    "ap50": "AP50",
    "map": "mAP",
    "map50": "mAP50",
    "map75": "mAP75",
    "iou": "IoU",
    "miou": "mIoU",
    "dice": "Dice",
}
_FRACTION = re.compile(r"(^|_)(accuracy|f1|precision|recall|ece|m?iou|dice|m?ap(\d\d)?|ar(\d+)?)(_|$)")


def title(name: str) -> str:
    """Return `balanced_accuracy` as `balanced accuracy`, and `top_5_accuracy` as `top-5 accuracy`."""
    return _NAMES.get(name) or name.replace("top_", "top-").replace("_", " ")


def is_fraction(name: str) -> bool:
    """Return True for a score in [0, 1] that is shown in percent, with or without its split (`val/`)."""
    return _FRACTION.search(name.rpartition("/")[2]) is not None
