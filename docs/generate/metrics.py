"""The exported metrics as a table."""

from __future__ import annotations

from raytl.cluster.metrics import METRICS


def markdown() -> str:
    """Return a row for each metric: its name in Prometheus, its kind, its labels and its meaning."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for name, meaning in METRICS.items():
        exported = f"ray_{name}_total" if meaning.kind == "counter" else f"ray_{name}"
        labels = ", ".join(f"`{tag}`" for tag in meaning.tags)
        rows.append(f"| `{exported}` | {meaning.kind} | {labels} | {meaning.text} |")
    return "\n".join(rows) + "\n"
