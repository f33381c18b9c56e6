"""The labels section of the experiment file: wrong labels, corrections, and labels of several sources."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.section import Section


class LabelsConfig(Section):
    """The labels of the images: what to do with doubtful ones, corrections, and several noisy labels an image."""

    noise: Literal["none", "rank", "leave_out"] = "none"
    """rank = list the doubtful labels of the training images (`doubtful-labels.csv` in the run folder), by probabilities of frozen features that did not learn the image (confident learning, Northcutt et al. 2021). leave_out = also leave those images out of training. No label is ever changed. Needs one class an image."""
    relabel: str | None = None
    """A CSV file, on this machine or at an s3:// URI, of corrections with who made them, when and why; `raytl labels --apply` adds to it. They apply to training and validation images wherever the data is read, so the data has another snapshot ID; without this key, it has the old one. A correction of a test image is an error. The file may not exist yet."""
    columns: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(default=[], max_length=50)
    """Columns of the manifest that have labels of several sources, such as annotators, rules or models. They are combined by their estimated accuracies (Dawid & Skene 1979) for each training image whose column label is empty; a cell may be empty. Images of validation and test need a label."""
