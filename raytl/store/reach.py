"""How this process reaches buckets: what the `storage` section of its experiment says."""

from __future__ import annotations

from raytl.config.schema import StorageConfig

_chosen = StorageConfig()


def reach(storage: StorageConfig) -> None:
    """From now on, as `storage` says; the environment decides what it leaves open."""
    global _chosen
    _chosen = storage


def reached() -> StorageConfig:
    """What was said last."""
    return _chosen
