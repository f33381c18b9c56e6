"""Write the generated parts of the documentation into build/generated/: `python -m docs.generate`."""

from __future__ import annotations

from pathlib import Path

from docs.generate import api, cli, experiment, metrics

PARTS = {
    "api.md": api.markdown,
    "cli.md": cli.markdown,
    "experiment.md": experiment.markdown,
    "metrics.md": metrics.markdown,
}


def write(folder: Path) -> None:
    """Write every part into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, markdown in PARTS.items():
        (folder / name).write_text(markdown(), encoding="utf-8")


if __name__ == "__main__":
    write(Path("build/generated"))
