"""Measure seconds and memory for a manifest with many rows, each with its own file: scan alone, and `raytl check`.

    python -m experiments.bench.manifest --rows 1000000 --folder /dev/shm/manifest

The files are links to a thousand small images in a thousand folders. The check finds its images in the audit cache, because
decoding is not part of this measurement: it only reads their sizes and times. Each figure is from its own process. The
peak is resident memory; two lines show the part of Python and of the libraries of a check (mainly torch).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from experiments.bench.measured import Measured, measured
from raytl.config.schema import DataConfig
from raytl.data.audit_cache import Finding, Findings, save_findings
from raytl.data.formats import scan

IMAGES = 1000
KINDS = ("csv", "jsonl", "parquet")
EXPERIMENT = """\
name: manifest
data: {{uri: {table}, cache: 'off', test_fraction: 0}}
model: {{name: test_resnet, weights: none, preprocess: {{image_px: 32}}}}
transfer: {{unfreeze: 0}}
train: {{epochs: 1, batch_size: 256}}
compute: {{cluster: none, device: cpu}}
"""


def images(folder: Path) -> list[Path]:
    """Write images with distinct content."""
    draw = np.random.default_rng(0)
    files = []
    for number in range(IMAGES):
        stream = io.BytesIO()
        Image.fromarray(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(stream, "JPEG")
        files.append(folder / f"image-{number:04d}.jpg")
        files[-1].write_bytes(stream.getvalue())
    return files


def rows_of(folder: Path, count: int) -> list[tuple[str, str, str]]:
    """Link the images under `count` names; return path, label and split of each, with every image in one split only."""
    originals, rows = images(folder), []
    for number in range(count):
        image, place = number * 7919 % IMAGES, number % IMAGES
        path = f"photos/{place:04d}/{number:07d}.jpg"
        if number < IMAGES:
            (folder / path).parent.mkdir(parents=True)
        os.link(originals[image], folder / path)
        rows.append((path, f"class {image // 2 % 500}", "val" if image % 10 == 0 else "train"))
    return rows


def tables(folder: Path, rows: list[tuple[str, str, str]]) -> dict[str, Path]:
    """Write the rows as a table of each format."""
    names = ("path", "label", "split")
    paths = {kind: folder / f"table.{kind}" for kind in KINDS}
    with paths["csv"].open("w") as csv, paths["jsonl"].open("w") as lines:
        csv.write(",".join(names) + "\n")
        for row in rows:
            csv.write(",".join(row) + "\n")
            lines.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")
    pq.write_table(pa.table([list(column) for column in zip(*rows, strict=True)], names=list(names)), paths["parquet"])
    return paths


def remember_images(table: Path) -> None:
    """Fill the audit cache, as an earlier check would have."""
    manifest = scan(str(table))
    digests: dict[int, str] = {}
    findings = Findings(manifest.samples)
    for row, sample in enumerate(manifest.samples):
        status = os.stat(sample.path)  # noqa: PTH116
        if status.st_ino not in digests:
            digests[status.st_ino] = hashlib.sha256(Path(sample.path).read_bytes()).hexdigest()
        times = status.st_mtime_ns, status.st_ctime_ns
        findings.put(row, Finding(status.st_size, *times, digests[status.st_ino], ""))
    save_findings(DataConfig(uri=str(table)).max_pixels, findings)


def show(what: str, cost: Measured) -> None:
    """Print one line of results."""
    print(f"{what:32} {cost.seconds:7.1f} s {cost.cpu_s:7.1f} s of CPU {cost.peak_bytes / 1e6:7.0f} MB", flush=True)


def main() -> None:
    """Create the files, measure, and delete them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True, help="a new folder, preferably on a RAM disk")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True)
    os.environ["RAYTL_CACHE"] = str(folder / "cache")
    try:
        paths = tables(folder, rows_of(folder, options.rows))
        show("Python and pyarrow alone", measured([sys.executable, "-c", "import pyarrow.parquet"]))
        for kind, table in paths.items():
            code = f"from raytl.data.formats import scan; print(len(scan({str(table)!r}).samples))"
            show(f"{kind}: read and resolved", measured([sys.executable, "-c", code]))
        show("a check's libraries alone", measured([sys.executable, "-c", "import raytl.training.plan"]))
        remember_images(paths["csv"])
        (folder / "experiment.yaml").write_text(EXPERIMENT.format(table=paths["csv"]))
        show("csv: raytl check", measured([sys.executable, "-m", "raytl", "check", str(folder / "experiment.yaml")]))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
