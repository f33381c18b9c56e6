"""The process: `raytl` is `python -m raytl`."""

from __future__ import annotations

from raytl.cli.ending import Ending
from raytl.cli.main import main


def run() -> None:
    """Run the command line and end the process with its exit code; see `raytl.cli.main.main`."""
    ending = Ending()
    try:
        main()
    except SystemExit as end:
        ending.code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


if __name__ == "__main__":
    run()
