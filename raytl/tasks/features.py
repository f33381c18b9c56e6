"""Images as a model sees them, as a value that is saved with a version to measure drift."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.errors import RegistryError

_LARGEST = float(np.finfo(np.float16).max)
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)


def in_half(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return features as half precision has them, clipped to its range; what is no number is 0.

    Stored and new features are rounded alike, so that rounding is no drift.
    """
    finite = np.nan_to_num(features, nan=0.0, posinf=_LARGEST, neginf=-_LARGEST)
    return np.asarray(finite.clip(-_LARGEST, _LARGEST), np.float16).astype(np.float32)


@dataclass(frozen=True)
class FeatureTable:
    """Images as a model sees them: `features (n, d)` in half precision, `labels`, `predicted` and `confidence`, each `(n,)`.

    Drift is measured between equal numbers of images of each label: the true class of the image, or what else groups
    images whose frequency may change without drift. `predicted` is what the model says of the image, in a word.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.str_]
    predicted: NDArray[np.str_]
    confidence: NDArray[np.float64]

    def rows(self, places: NDArray[np.int64]) -> FeatureTable:
        """Return the rows at `places`."""
        return FeatureTable(self.features[places], self.labels[places], self.predicted[places], self.confidence[places])

    def encoded(self) -> bytes:
        """Encode as an .npz file without pickles, with the features in half precision."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream, features=in_half(self.features).astype(np.float16), labels=self.labels, predicted=self.predicted,
            confidence=self.confidence,
        )  # fmt: skip
        return stream.getvalue()

    @classmethod
    def decoded(cls, content: bytes, where: str) -> FeatureTable:
        """Decode the output of `encoded`; errors name it `where`.

        Raises:
            RegistryError: the content is damaged.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                names = ("features", "labels", "predicted", "confidence")
                features, *columns = (arrays[name] for name in names)
            if features.ndim != 2 or any(column.shape != features.shape[:1] for column in columns):
                raise ValueError("its arrays differ in length")
            return cls(in_half(features), columns[0].astype(str), columns[1].astype(str), columns[2].astype(float))
        except _DAMAGE as error:
            raise RegistryError(
                f"{where}: cannot be read as features of images ({type(error).__name__}: {str(error)[:200]}); expected the "
                "file that `raytl retrain` wrote. Publish a new version, which has its own."
            ) from error
