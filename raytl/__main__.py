"""`python -m raytl` is `raytl`."""

from __future__ import annotations

from raytl.cli.main import main

if __name__ == "__main__":
    main()
