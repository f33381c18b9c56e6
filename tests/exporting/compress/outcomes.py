"""Outcomes of candidates for tests."""

from __future__ import annotations

from raytl.exporting.compress.outcome import Compression, Outcome, Speed, Status, Verdict


def outcome(
    name: str,
    score: float,
    ms: float,
    megabytes: float = 10,
    status: Status = "kept",
    least: float = -0.001,
    reason: str = "",
) -> Outcome:
    """Return a measured candidate; the reference takes 8 ms."""
    verdict = Verdict("accuracy", score, 0.91, least, 0.999, 376, reason)
    return Outcome(name, status, reason, verdict, Speed(ms, ms * 1.2, ms * 0.9, ms * 32, 8 / ms), int(megabytes * 1e6))


def compression(*outcomes: Outcome, target_ms: float | None = 5.0, best: str | None = None) -> Compression:
    """Return the result of a search with these outcomes."""
    names = tuple(each.name for each in outcomes if each.status == "kept")
    return Compression("trash", target_ms, 0.5, 1, "Example 9000", ("avx2",), outcomes, names, best, "", "out/best")
