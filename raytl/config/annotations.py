"""The annotations section of the experiment file: how boxes, masks and attributes are read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raytl.config.section import Section


class AnnotationsConfig(Section):
    """The annotations of boxes, masks and attributes. Their format, like the class folders', is found in the data."""

    format: Literal["auto", "coco", "voc", "yolo", "masks", "labelme", "table"] = "auto"
    """coco = JSON with images, annotations and categories; voc = an XML file for each image; yolo = data.yaml and labels/*.txt; masks = an image of classes for each photo; labelme = a JSON file for each image; table = CSV, Parquet or JSONL. auto = as found."""
    box_origin: Literal["auto", 0, 1] = "auto"
    """The coordinate of the first pixel in boxes given by corners: 0 = edges measured from 0; 1 = pixels counted from 1, both corners included. auto = 1 for voc unless boxes begin at 0, else 0."""
    on_bad_box: Literal["error", "drop"] = "error"
    """If objects are outside their image or have no area: error = stop and list them; drop = leave them out and list them. Objects that stick out are clipped."""
    void: Literal["auto"] | list[Annotated[int, Field(ge=0)] | str] = "auto"
    """Values or names of mask pixels that are neither learned nor scored. auto = names such as void and ignore, and the value 255 if no name is given for it."""
