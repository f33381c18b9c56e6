"""Open HEIC photos through pillow-heif, an optional dependency that is imported for the first such photo."""

from __future__ import annotations

from importlib import metadata

FORMAT = "HEIF"
MISSING = "a HEIC image; install pillow-heif (pip install 'raytl[heif]')"
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_ANY_CODEC = frozenset({b"mif1", b"msf1"})
_AVIF = (b"avif", b"avis")


def is_heif(data: bytes) -> bool:
    """Return whether the brands of the file (ISO 14496-12, `ftyp`) mark it as HEIC and not AVIF."""
    if data[4:8] != b"ftyp":
        return False
    brands = data[8 : min(int.from_bytes(data[:4]), 256)]
    return brands[:4] in _HEIC or (brands[:4] in _ANY_CODEC and not any(brand in brands for brand in _AVIF))


def register() -> bool:
    """Register HEIC support with Pillow; return False if pillow-heif is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def version() -> str | None:
    """Return the version of pillow-heif, or None if it is not installed."""
    try:
        return metadata.version("pillow-heif")
    except metadata.PackageNotFoundError:
        return None
