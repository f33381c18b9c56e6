"""The folder of this machine that a bundle is written to."""

from __future__ import annotations

import os
from pathlib import Path

from raytl.errors import UserError
from raytl.home import expanded
from raytl.uris import has_scheme


def local_folder(out: str | os.PathLike[str]) -> Path:
    """Return the folder `out`, with the home folder in place of `~`.

    Raises:
        UserError: it is a URI, of which a path would make a folder called `s3:`.
    """
    text = os.fspath(out)
    if has_scheme(text):
        raise UserError(
            f"--out {text}: found a URI, expected a folder of this machine. Write it there and copy it; `raytl export` without --out "
            "stores the bundle of a run or version in a bucket beside it"
        )
    return expanded(text)
