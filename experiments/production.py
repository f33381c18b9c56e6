"""From a finished run to production, with the commands of a user: export, compress, bench, a champion behind HTTP, a batch over
a bucket, the images to label, and a tick of retraining that uses the labels.

    python -m experiments.production [--only bundle] [--run runs/trash-mobilenetv2] [--photos 10000] [--folder runs/production]

The bucket is a local moto server, the photos are TrashNet's (RAYTL_ASSETS). The run is that of experiments/trash-mobilenetv2.yaml,
after `raytl report`; only the first half, `bundle`, needs it. `--write` puts the output of each half into docs/production.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from experiments.month import served
from experiments.production_traffic import BUCKET, Traffic, answered, filled_in

FILE = Path(__file__).with_name("production.yaml")
PAGE = Path(__file__).parents[1] / "docs" / "production.md"
PORT = 8765
MODEL = f"models:s3://{BUCKET}/models/trash@champion"
FEEDBACK = f"s3://{BUCKET}/feedback"
PATIENCE_S = 300.0
KEPT = 100
"""Answers that the server keeps in a window for each reason."""
WINDOW_S = 60
"""After which the server stores what it recorded: the batch over the bucket takes longer."""


@dataclass
class Story:
    """The commands and their output so far, also as Markdown."""

    folder: Path
    parts: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Begin a part."""
        print(f"\n## {text}", flush=True)
        self.parts.append(f"\n### {text}\n")

    def run(self, *words: str, code: int = 0) -> None:
        """Run a command of raytl and show its output; a different exit code is an error."""
        shown = "raytl " + " ".join(words)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "raytl", *words],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "110"},
        )
        said = [*done.stdout.splitlines(), *filter(_is_worth_showing, done.stderr.splitlines())]
        text = "\n".join(line.rstrip() for line in said).strip()
        self.show(f"$ {shown}\n{text}\n[{time.monotonic() - began:.0f} s]")
        if done.returncode != code:
            raise SystemExit(f"{shown}: exit code {done.returncode}; expected {code}")

    def show(self, text: str) -> None:
        """Show lines of output."""
        print(text, flush=True)
        self.parts.append(f"```\n{text}\n```\n")


def _is_worth_showing(line: str) -> bool:
    """Return whether a line of the standard error output is more than progress."""
    return line.startswith(("warning", "error", "Traceback"))


@contextmanager
def serving(log: IO[str]) -> Iterator[str]:
    """Serve the champion with feedback, and yield the URL."""
    words = ["serve", MODEL, "--port", str(PORT), "--poll", "2"]
    words += ["--feedback", FEEDBACK, "--feedback-window", str(WINDOW_S), "--feedback-images", str(KEPT)]
    process = subprocess.Popen([sys.executable, "-m", "raytl", *words], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{PORT}"
    finally:
        process.terminate()
        process.wait(60)


def deploy(story: Story, run: str) -> None:
    """Export a finished run, compress it and measure both."""
    story.say("A finished run becomes a bundle")
    story.run("export", run, "--to", "onnx", "--require", "accuracy>=0.95", "--out", str(story.folder / "onnx"))
    story.run("bench", str(story.folder / "onnx"))
    story.say("A smaller and faster one, if it is as good")
    story.run("compress", run, "--max-drop", "2", "--out", str(story.folder / "small"))
    story.run("bench", str(story.folder / "small"))


def learn(story: Story, traffic: Traffic, photos: int) -> None:
    """Publish a champion, serve it, predict a bucket, and train again with the labels that come back."""
    tick = ("retrain", os.path.relpath(FILE), "--set", f"storage.uri={story.folder / 'runs'}")
    story.say("A champion of few photos")
    traffic.publish()
    story.run(*tick)
    story.say("The champion answers requests")
    with (story.folder / "serve.log").open("w") as log, serving(log) as url:
        traffic.wait_for(url, PATIENCE_S)
        story.show(answered(url, traffic))
        story.say(f"{photos:,} photos of a bucket")
        traffic.upload(photos)
        story.run("predict", MODEL, f"s3://{BUCKET}/incoming/", "--out", f"s3://{BUCKET}/predictions/")
        story.say("Which of the answered photos to label")
        table = story.folder / "to_label.csv"
        story.run("collect", FEEDBACK, "--budget", "150", "--model", MODEL, "--out", str(table))
        story.show(filled_in(table, traffic))
        story.run("collect", FEEDBACK, "--labels", str(table), "--model", MODEL)
        story.say("The next tick trains on the labels, and the server follows the alias")
        story.run(*tick)
        story.show(traffic.version(url))


def write(part: str, story: Story) -> None:
    """Put the output of a half into the documentation."""
    begin, end = f"<!-- {part}: begin -->\n", f"<!-- {part}: end -->"
    text = "".join(story.parts).replace(str(story.folder), "runs/production")
    before, _, rest = PAGE.read_text().partition(begin)
    PAGE.write_text(before + begin + text + end + rest.partition(end)[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/trash-mobilenetv2")
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/production"))
    parser.add_argument("--only", choices=("bundle", "use"), help="run one half")
    parser.add_argument("--write", action="store_true", help="write the output into docs/production.md")
    args = parser.parse_args()
    assets = Path(os.environ.get("RAYTL_ASSETS", "../shared/assets"))
    shutil.rmtree(args.folder, ignore_errors=True)
    args.folder.mkdir(parents=True)
    stories = {part: Story(args.folder) for part in ("bundle", "use") if args.only in (None, part)}
    if "bundle" in stories:
        deploy(stories["bundle"], args.run)
    if "use" in stories:
        with served(args.folder) as url:
            os.environ |= {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "none",
                "AWS_SECRET_ACCESS_KEY": "none",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            learn(stories["use"], Traffic(assets / "datasets" / "trashnet_256"), args.photos)
    if args.write:
        for part, story in stories.items():
            write(part, story)


if __name__ == "__main__":
    main()
