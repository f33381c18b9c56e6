"""A run is a folder: its files, atomic writes, provenance, and the ledger of its test split.

folder      the files of a run, and its manifest
place       runs and sweeps at or below a URI, read file by file
run_store   a run in a folder or a bucket, with a lease and a working copy
mirror      synchronize a working copy with a store
uploader    upload checkpoints in the background
atomic      write files and folders atomically
journal     append-only JSON lines
ledger      the record of every evaluation of the test split
operating   thresholds, sets and limits that a report chose, for predictions
logs        the log of a run
"""

from __future__ import annotations

from raytl.run.folder import RunFolder

__all__ = ["RunFolder"]
