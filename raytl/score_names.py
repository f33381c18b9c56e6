"""The names of scores for people, and which scores are fractions, shown in percent."""

from __future__ import annotations

import re

_WORDS = {
    "f": "F",
    "f1": "F1",
    "ece": "calibration error",
    "ap": "AP",
    "map": "mAP",
    "ar": "AR",
    "mar": "mAR",
    "auc": "AUC",
    "roc": "ROC",
    "iou": "IoU",
    "miou": "mIoU",
    "dice": "Dice",
}
_FRACTION = re.compile(r"(^|_)(accuracy|f1|precision|recall|ece|m?iou|dice|m?ap\d*|m?ar\d*|boundary_f|auc)(_|$)")


def title(name: str) -> str:
    """Return `balanced_accuracy` as `balanced accuracy`, `top_5_accuracy` as `top-5 accuracy`, and `map_50` as `mAP 50`."""
    return " ".join(_WORDS.get(word, word) for word in name.replace("top_", "top-").split("_"))


def is_fraction(name: str) -> bool:
    """Return True for a score in [0, 1] that is shown in percent, with or without its split (`val/`)."""
    return _FRACTION.search(name.rpartition("/")[2]) is not None


def p_text(p: float) -> str:
    """Return a p-value with its name, such as `p 0.014`; one below what three digits hold is `p < 0.001`, never zero."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"
