"""Check that two versions of raytl compute the same bits: train, tune and retrain with fixed seeds, through the CLI.

    python -m experiments.bench.same_bits --tree OLD --out before.json
    python -m experiments.bench.same_bits --tree NEW --against before.json

Takes two to four minutes on two cores. The output is one JSON object with every metric, score, decision and prediction and
a digest of all weights. It holds no times, paths, host names or versions. `--against` exits 1 and lists the keys that
differ. The bits depend on the CPU and on torch, so compare results of one machine and one environment.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from experiments.bench import same_bits_pictures as pictures
from experiments.bench.same_bits_results import flat, journals, renamed, trials, weights

HERE = Path(__file__).resolve().parents[2]
PICTURES = {"photos": (0, 40), "month": (0, 24), "unseen": (60, 64)}
"""First and last picture of each class: for train and tune, for the first tick, and for predict."""
ADDED = (24, 44)
TICKS = ("2026-01-05T06:00:00+00:00", "2026-01-06T06:00:00+00:00")
MODEL = {"name": "test_resnet", "weights": "none", "preprocess": {"image_px": 32, "crop_fraction": 1.0}}
REAL_MODEL = {"name": "mobilenetv2_100", "preprocess": {"image_px": 96}}
REAL_WEIGHTS, REAL_PHOTOS = "weights/mobilenetv2_100_tv.safetensors", "datasets/trashnet_256/train"
COMMON = {
    "data": {"uri": "photos", "test_fraction": 0.3},
    "train": {"epochs": 4, "batch_size": 16, "deterministic": True, "precision": "fp32", "early_stop": 0},
    "compute": {"device": "cpu"},
    "storage": {"uri": "runs"},
}
EXPERIMENTS: dict[str, dict[str, Any]] = {
    "train": {
        "transfer": {"unfreeze": "all", "head_first": 1, "lr_decay": 0.9, "head_lr_ratio": 1},
        "augment": {"strength": 0.25, "mixup": 0.1},
        "optim": {"lr": 1e-2, "ema": 0.5},
        "train": {"epochs": 10, "accumulate": 2},
    },
    "tune": {
        "compute": {"cpus_per_worker": (os.cpu_count() or 1) // 2 + 1},  # one trial at a time: the order is fixed
        "search": {"trials": 6, "replicates": {"top": 2, "seeds": 2}, "soup": "uniform", "grace_epochs": 1},
    },
    "retrain": {
        "data": {"uri": "month"},
        "compute": {"cluster": "none"},
        "retrain": {"registry": "registry", "when": {"new_samples": 20}},
    },
}
"""What each command runs, beside `COMMON`; tune and retrain start from the weights that train made."""


class Workplace:
    """A temporary folder in which the raytl of `tree` runs."""

    def __init__(self, folder: Path, tree: Path) -> None:
        self.folder = folder
        own = {"PYTHONPATH": str(tree), "RAYTL_CACHE": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": ""}
        self.environment = os.environ | own | {"OMP_NUM_THREADS": "1"}
        schema = (tree / "raytl" / "config" / "schema.py").read_text(encoding="utf-8")
        self.falls_back = "\n    fallback: " in schema
        self.fixed = {key: "none" for key in ("recipe", "calibrate") if f"\n    {key}: " in schema}

    def run(self, *words: str) -> Any:
        """Run a command and return its JSON."""
        print("raytl", *words, file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "raytl", *words, "--json"]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"raytl {words[0]} exited {done.returncode}:\n{done.stderr[-4000:]}")
        return renamed(json.loads(done.stdout.splitlines()[-1]))

    def write_experiment(self, command: str, model: dict[str, Any]) -> str:
        """Write the experiment file of `command` and return its name."""
        own = EXPERIMENTS[command]
        sections = {key: {**COMMON.get(key, {}), **own.get(key, {})} for key in {**COMMON, **own}}
        (self.folder / f"{command}.yaml").write_text(
            json.dumps({"name": f"same-{command}", "model": model, **self.fixed, **self._without_fallback(sections)})
        )
        return f"{command}.yaml"

    def _without_fallback(self, sections: dict[str, Any]) -> dict[str, Any]:
        """Return the sections with the fallback off, where the tree knows it."""
        return sections | {"transfer": sections.get("transfer", {}) | ({"fallback": "off"} if self.falls_back else {})}

    def outputs(self, run: str, name: str) -> dict[str, Any]:
        """Return what the finished run in the folder `run` holds, and its predictions under `name`."""
        folder = self.folder / run
        return {"epochs": journals(folder), "weights": weights(folder), "predict": self.run("predict", name, "unseen")}

    def evaluated(self, run: str) -> dict[str, Any]:
        """Return the same, and the report on the test split."""
        return {"evaluate": self.run("evaluate", run), **self.outputs(run, run)}


def measure(place: Workplace, assets: Path | None) -> dict[str, Any]:
    """Run the three experiments and return everything reproducible about them."""
    add = pictures.draw if assets is None else partial(pictures.copy, assets / REAL_PHOTOS)
    for name, span in PICTURES.items():
        add(place.folder / name, span)
    model = MODEL if assets is None else {**REAL_MODEL, "weights": str(assets / REAL_WEIGHTS)}
    results = {"train": place.run("train", place.write_experiment("train", model))}
    results["trained"] = place.evaluated(results["train"]["run"])
    model = {"name": model["name"], "weights": results["train"]["run"]}
    results["tune"] = place.run("tune", place.write_experiment("tune", model))
    sweep = place.folder / results["tune"]["folder"]
    results["sweep"] = {"trials": trials(sweep), "epochs": journals(sweep), "weights": weights(sweep)}
    results["winner"] = place.evaluated(results["tune"]["run"])
    file, champion = place.write_experiment("retrain", model), f"models:{place.folder / 'registry'}@champion"
    for number, now in enumerate(TICKS, start=1):
        results[f"tick-{number}"] = place.run("retrain", file, "--now", now)
        results[f"challenger-{number}"] = place.outputs(results[f"tick-{number}"]["tick"]["run"], champion)
        add(place.folder / "month", ADDED)
    return dict(flat(results))


def main() -> None:
    """Measure, write and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", default=os.environ.get("PYTHONPATH") or HERE, help="the checkout to run")
    parser.add_argument("--assets", type=Path, help="a folder of real weights and photos")
    parser.add_argument("--out", type=Path, help="where to write the JSON; standard output by default")
    parser.add_argument("--against", type=Path, help="an earlier JSON to compare with")
    given = parser.parse_args()
    tree = Path(given.tree).resolve()
    if not (tree / "raytl").is_dir():
        parser.error(f"--tree {tree}: no raytl/ is there; expected a checkout")
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Workplace(Path(folder), tree), given.assets and given.assets.resolve())
    text = json.dumps(results, indent=1, sort_keys=True) + "\n"
    if given.out:
        given.out.write_text(text)
    elif not given.against:
        print(text, end="")
    if given.against:
        before = json.loads(given.against.read_text())
        differing = [key for key in sorted({*results, *before}) if show(results, key) != show(before, key)]
        for key in differing:
            print(f"{key}: {show(before, key)} -> {show(results, key)}")
        print(f"{len(differing)} of {len({*results, *before})} values differ")
        sys.exit(1 if differing else 0)


def show(values: dict[str, Any], key: str) -> str:
    """Return the value of `key` as JSON, or `absent`."""
    return json.dumps(values[key]) if key in values else "absent"


if __name__ == "__main__":
    main()
