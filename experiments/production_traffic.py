"""The photos of `experiments.production`: those that the first champion learns from, those that clients send, and their labels."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

BUCKET = "production"
TRAINED = 12
"""Training photos a class of the first champion."""
SENT = 700
"""Photos that clients send."""


@dataclass(frozen=True)
class Traffic:
    """TrashNet in `root`, of which the first champion sees little."""

    root: Path

    @cached_property
    def client(self) -> Any:
        import boto3

        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        return client

    @cached_property
    def shuffled(self) -> list[Path]:
        """The training photos in a random order."""
        paths = sorted((self.root / "train").rglob("*.jpg"))
        random.Random(0).shuffle(paths)
        return paths

    @cached_property
    def learned(self) -> set[Path]:
        """The photos that the first champion learns from."""
        seen: Counter[str] = Counter()
        return {path for path in self.shuffled if seen.update([path.parent.name]) or seen[path.parent.name] <= TRAINED}

    @property
    def sent(self) -> list[Path]:
        """The photos that clients send."""
        return [path for path in self.shuffled if path not in self.learned][:SENT]

    @cached_property
    def truth(self) -> dict[str, str]:
        """The class of each photo by the digest of its file."""
        return {hashlib.sha256(path.read_bytes()).hexdigest(): path.parent.name for path in self.shuffled}

    def publish(self) -> None:
        """Upload the photos of the first champion, and all of validation and test."""
        held_out = [path for split in ("val", "test") for path in sorted((self.root / split).rglob("*.jpg"))]
        for path in [*sorted(self.learned), *held_out]:
            self._put(f"photos/{path.relative_to(self.root).as_posix()}", path.read_bytes())

    def upload(self, count: int) -> None:
        """Upload `count` photos: all of them, then smaller and mirrored versions."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda item: self._put(*item), self._variants(count)))

    def _variants(self, count: int) -> Iterator[tuple[str, bytes]]:
        for number in range(count):
            path, turn = self.shuffled[number % len(self.shuffled)], number // len(self.shuffled)
            content = path.read_bytes() if turn == 0 else _variant(path, turn)
            yield f"incoming/{number:05d}.jpg", content

    def _put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def wait_for(self, url: str, patience_s: float) -> None:
        """Wait until the server is ready."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError) as error:
                if time.monotonic() > deadline:
                    raise SystemExit(f"the server is not ready after {patience_s:.0f} s: {error}") from error
                time.sleep(0.2)

    def version(self, url: str) -> str:
        """Return the answer of the server for one photo, which has the version."""
        time.sleep(10)  # the server looks at the alias every two seconds, and fetches the bundle
        answer = _asked(url, self.sent[0])
        return f"$ curl --data-binary @photo.jpg {url}/predict\n{json.dumps(answer, indent=1)}"


def _variant(path: Path, turn: int) -> bytes:
    image = Image.open(path)
    side = 96 + 16 * turn
    file = io.BytesIO()
    image.resize((side, side)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(file, "JPEG", quality=85)
    return file.getvalue()


def _asked(url: str, path: Path) -> dict[str, Any]:
    request = urllib.request.Request(f"{url}/predict", path.read_bytes(), {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def answered(url: str, traffic: Traffic) -> str:
    """Send the photos, and return one answer and what became of all."""
    began = time.monotonic()
    first = _asked(url, traffic.sent[0])
    answers = [first, *(_asked(url, path) for path in traffic.sent[1:])]
    took = time.monotonic() - began
    right = sum(answer["label"] == path.parent.name for answer, path in zip(answers, traffic.sent, strict=True))
    return (
        f"$ curl --data-binary @photo.jpg {url}/predict\n{json.dumps(first, indent=1)}\n"
        f"{len(answers)} photos in {took:.0f} s, one at a time; {right / len(answers):.1%} right, which nobody knows yet"
    )


def filled_in(table: Path, traffic: Traffic) -> str:
    """Fill in the labels of the table as a person would, and return its first lines."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = traffic.truth[row["photo"]]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    wrong = sum(row["label"] != row["suggested"] for row in rows)
    lines = table.read_text().splitlines()[:4]
    return "\n".join(
        [f"$ head -4 {table.name}", *lines, f"a person labels {len(rows)} photos; {wrong} suggestions were wrong"]
    )
