"""The changes to the bucket on each of the thirty days: new photos, and the faults of bad days."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance, ImageFilter

BUCKET, PREFIX = "month", "photos"
LATE = "trash"
"""The class that first appears on the tenth day."""


@dataclass
class Month:
    """The photos that are not in the bucket yet, by class, and those that are, by key."""

    client: Any
    waiting: dict[str, list[Path]]
    put: dict[str, Path] = field(default_factory=dict)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    """Keys with a wrong label, and their correct label."""
    draw: random.Random = field(default_factory=lambda: random.Random(0))

    @classmethod
    def of(cls, photos: Path, client: Any) -> Month:
        """Create a month with all of TrashNet, shuffled."""
        waiting: dict[str, list[Path]] = {}
        for path in sorted(photos.rglob("*.jpg")):
            waiting.setdefault(path.parent.name, []).append(path)
        month = cls(client, waiting)
        for paths in waiting.values():
            month.draw.shuffle(paths)
        return month

    def take(self, count: int, classes: tuple[str, ...] | None = None) -> Iterator[tuple[str, Path]]:
        """Yield `count` photos, with the classes in proportion."""
        names = [name for name in self.waiting if (name in classes if classes else name != LATE or self._knows_late)]
        for _ in range(count):
            sizes = [len(self.waiting[name]) for name in names]
            if not sum(sizes):
                return
            (name,) = self.draw.choices(names, sizes)
            yield name, self.waiting[name].pop()

    @property
    def _knows_late(self) -> bool:
        return any(key.startswith(f"{LATE}/") for key in self.put)

    def add(self, label: str, path: Path, content: bytes | None = None, key: str = "") -> str:
        """Upload one photo under a label."""
        key = key or f"{label}/{path.name}"
        self.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{key}", Body=content or path.read_bytes())
        self.put[key] = path
        return key

    def remove(self, key: str) -> None:
        """Delete one photo."""
        self.client.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/{key}")
        del self.put[key]


def batch(month: Month, count: int, classes: tuple[str, ...] | None = None) -> str:
    """Add valid photos."""
    for label, path in list(month.take(count, classes)):
        month.add(label, path)
    return f"{count} photos" if classes is None else f"{count} photos of a new class, {', '.join(classes)}"


def corrupted(month: Month, good: int, bad: int) -> str:
    """Add valid photos and truncated uploads."""
    batch(month, good)
    for label, path in list(month.take(bad)):
        month.add(label, path, path.read_bytes()[:900])
    return f"{good} photos, and {bad} truncated in the upload"


def drifted(month: Month, count: int) -> str:
    """Add photos as from a camera behind dirty glass: dark, blue and blurred."""
    for label, path in list(month.take(count)):
        image = (
            ImageEnhance.Brightness(Image.open(path).convert("RGB")).enhance(0.5).filter(ImageFilter.GaussianBlur(3))
        )
        red, green, blue = image.split()
        image = Image.merge("RGB", (red.point(lambda v: v // 2), green, blue))
        month.add(label, path, _jpeg(image))
    return f"{count} photos from a camera behind dirty glass"


def mislabelled(month: Month, count: int) -> str:
    """Add photos, all with wrong labels."""
    names = sorted(month.waiting)
    for label, path in list(month.take(count)):
        other = month.draw.choice([name for name in names if name != label])
        month.wrong.append((month.add(other, path), label))
    return f"{count} photos, all under wrong labels"


def corrected_labels(month: Month) -> str:
    """Correct the wrong labels."""
    for key, label in month.wrong:
        path = month.put[key]
        month.remove(key)
        month.add(label, path)
    count, month.wrong = len(month.wrong), []
    return f"{count} labels are corrected"


def removed(month: Month, count: int) -> str:
    """Delete some photos."""
    for key in month.draw.sample(sorted(month.put), count):
        month.remove(key)
    return f"{count} photos are deleted"


def copies(month: Month, count: int) -> str:
    """Add smaller, renamed copies of existing photos."""
    for key in month.draw.sample(sorted(month.put), count):
        path = month.put[key]
        image = Image.open(path).convert("RGB")
        small = image.resize((image.width * 3 // 4, image.height * 3 // 4))
        label = key.split("/")[0]
        month.add(label, path, _jpeg(small), f"{label}/copy-{path.name}")
    return f"{count} photos are added again, smaller and renamed"


def nothing(month: Month) -> str:
    """Change nothing."""
    return "nothing"


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()


Event = Callable[[Month], str]
DAYS: dict[int, Event] = {
    1: lambda month: batch(month, 420),
    3: lambda month: batch(month, 40),
    4: lambda month: batch(month, 40),
    5: lambda month: batch(month, 60),
    7: lambda month: batch(month, 250),
    10: lambda month: batch(month, 70, (LATE,)),
    12: lambda month: corrupted(month, 150, 40),
    14: lambda month: drifted(month, 110),
    16: lambda month: mislabelled(month, 150),
    17: corrected_labels,
    18: lambda month: batch(month, 30),
    19: lambda month: batch(month, 200),
    20: lambda month: batch(month, 20),
    22: lambda month: batch(month, 180),
    25: lambda month: batch(month, 20),
    26: lambda month: removed(month, 40),
    27: lambda month: copies(month, 130),
    28: lambda month: batch(month, 500),
}
KILLED, OVERLAP, OUTAGE, ROLLBACK = 19, 22, 24, 29
"""Days on which a tick is killed, two ticks overlap, the bucket is unreachable, and a user rolls back."""
