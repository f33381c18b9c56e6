"""The process: `raytl` is `python -m raytl`."""

from __future__ import annotations

import sys

from raytl.cli.ending import Ending


def main() -> None:
    """Import the command line and run it; see `raytl.cli.main.main`."""
    from raytl.cli.main import main as command

    command()


def run() -> None:
    """Run the command line and end the process with its exit code, also if Ctrl-C comes before the verb does."""
    ending = Ending()
    try:
        main()
    except KeyboardInterrupt:
        ending.begin(130)
        sys.stderr.write("interrupted\n")
        raise SystemExit(130) from None
    except SystemExit as end:
        ending.begin(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise


if __name__ == "__main__":
    run()
