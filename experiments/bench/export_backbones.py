"""Export 50 backbones of timm and torchvision with random weights, and compare ONNX Runtime and OpenVINO with torch.

    python -m experiments.bench.export_backbones run RECORDS.jsonl      # resumes; a backbone that killed it is not tried again
    python -m experiments.bench.export_backbones table RECORDS.jsonl docs/export.md

Activations of a deep network with random weights go to zero or overflow, and then everything agrees. So BatchNorm takes the
statistics of a batch of pictures, and the head is scaled until the logits have a standard deviation of 2.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from raytl.config.schema import ModelConfig
from raytl.errors import RaytlError
from raytl.exporting.graph import FromPixels, export_graph, exporting_for
from raytl.models.card import Card
from raytl.models.probe import head_layer
from raytl.store.s3_settings import ENVIRONMENT
from raytl.tasks.objects import Limits
from raytl.tasks.registry import task_named
from raytl.tasks.saved import Saved

TIMM = (
    "resnet18", "resnext50_32x4d", "resnest14d", "res2net50_14w_8s", "mobilenetv2_050", "mobilenetv3_small_050",
    "mobilenetv4_conv_small", "efficientnet_b0", "tf_efficientnetv2_b0", "regnety_002", "densenet121", "convnext_atto",
    "convnextv2_atto", "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256", "maxvit_pico_rw_256", "coatnet_nano_rw_224", "mobilevit_xxs", "efficientformer_l1",
    "ghostnet_050", "hrnet_w18_small", "nfnet_l0", "repvgg_a0", "fastvit_t8", "edgenext_xx_small", "poolformer_s12",
    "mixer_s32_224", "xcit_nano_12_p16_224", "cait_xxs24_224", "levit_128s", "beit_base_patch16_224",
    "eva02_tiny_patch14_224", "vit_small_patch14_dinov2", "pvt_v2_b0", "tiny_vit_5m_224", "mambaout_femto",
    "hiera_tiny_224", "sequencer2d_s",
)  # fmt: skip
TORCHVISION = (
    "resnet18", "alexnet", "vgg11_bn", "squeezenet1_1", "shufflenet_v2_x0_5", "googlenet", "mnasnet0_5", "regnet_x_400mf",
    "vit_b_16", "swin_t",
)  # fmt: skip
PX = {"vit_small_patch14_dinov2": 224}
"""Pixels of views that are smaller than the backbone's own, of 518 pixels."""
LAYER_SCALES = ("gamma", "gamma_1", "gamma_2")
"""The last parts of the names of layer scales."""
CLASSES = tuple("abcdefgh")
PICTURES = 8
STEP = 7
"""Neighbors in the lists are of one family, so every seventh name is of another."""
LIMIT = 1e-3
"""Largest difference of a probability from that of torch with which an export passes."""
_START, _END = "<!-- backbones: begin -->", "<!-- backbones: end -->"


def names() -> tuple[str, ...]:
    """Return the names of the backbones."""
    return (*TIMM, *(f"torchvision:{name}" for name in TORCHVISION))


def pictures(px: int, count: int = PICTURES) -> NDArray[np.uint8]:
    """Return smooth noise of several scales, `(count, px, px, 3)`."""
    draw = np.random.default_rng(0)
    cells = [4, 8, 16, 32]
    grids = [draw.random((3, cells[i % 4], cells[i % 4])) for i in range(count)]
    views = [
        nn.functional.interpolate(torch.from_numpy(grid)[None], (px, px), mode="bicubic").clamp(0, 1) for grid in grids
    ]
    values: NDArray[np.uint8] = (torch.cat(views).permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy()
    return values


def backbone(name: str) -> Saved:
    """Return a classifier on this backbone with random weights.

    Raises:
        RaytlError: raytl cannot build it.
    """
    torch.manual_seed(0)
    task = task_named("classification")
    values = {"name": name, "weights": "none", "preprocess": {"image_px": PX.get(name)}}
    built = task.build(ModelConfig.model_validate(values), CLASSES, ENVIRONMENT)
    card = Card(name, CLASSES, built.preprocess, built.weights_digest, task=task.name)
    return Saved(task, built.module, card, built)


@torch.no_grad()
def enliven(saved: Saved, views: NDArray[np.uint8]) -> None:
    """Give BatchNorm the statistics of `views`, layer scales (which begin near zero) the value 1, and the head weights with which
    logits differ between pictures."""
    module, given = saved.module, FromPixels(nn.Identity(), saved.card.preprocess)(torch.from_numpy(views))
    for name, scale in module.named_parameters():
        if name.rpartition(".")[2] in LAYER_SCALES:
            scale.fill_(1.0)
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    if norms:
        module.train()
        module(given)
    module.eval()
    layer = head_layer(saved.backbone)
    layer.weight.normal_()
    spread = float((logits := module(given)).sub(logits.mean(dim=0)).std())
    assert spread > 0, "answers that do not depend on the picture agree whatever the graph does"
    layer.weight.mul_(2 / spread)


def inferred(path: Path, views: NDArray[np.uint8], runtime: str) -> NDArray[np.float32]:
    """Return the probabilities of the graph at `path` in onnxruntime or openvino."""
    if runtime == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {session.get_inputs()[0].name: views})[0], np.float32)
    import openvino

    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled([views])[0], np.float32)


def compared(found: NDArray[np.float32], expected: NDArray[np.float32]) -> dict[str, float]:
    """Return the largest difference of a probability and the share of equal classes."""
    agreement = float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
    return {"difference": float(np.abs(found - expected).max()), "agreement": agreement}


def record_of(name: str) -> dict[str, Any]:
    """Return what came of the export of a backbone."""
    try:
        saved = backbone(name)
        px = saved.card.preprocess.image_px
        views = pictures(px)
        enliven(saved, views)
        record: dict[str, Any] = {"name": name, "px": px, "parameters": sum(saved.backbone.sizes.values())}
        graph = FromPixels(exporting_for(saved).graph(saved, Limits()), saved.card.preprocess).eval()
        with torch.inference_mode():
            expected = graph(torch.from_numpy(views))[0].numpy()
        record["spread"] = float(expected.max(axis=1).std())
        return record | _exported(saved, views, expected)
    except RaytlError as error:
        return {"name": name, "refused": str(error)}


def _exported(saved: Saved, views: NDArray[np.uint8], expected: NDArray[np.float32]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        path = export_graph(saved, "crop", Path(folder))
        record: dict[str, Any] = {"seconds": time.monotonic() - started}
        record["bytes"] = sum(file.stat().st_size for file in Path(folder).iterdir())
        for runtime in ("onnxruntime", "openvino"):
            try:
                record[runtime] = compared(inferred(path, views, runtime), expected)
            except Exception as error:  # runtimes raise errors of their own
                record[runtime] = {"error": f"{type(error).__name__}: {error}"[:300]}
    return record


def run(records: Path) -> None:
    """Append the record of each backbone that `records` lacks, of every family before the second of any."""
    done = {each["name"]: each for each in read(records)}
    for name, each in done.items():
        if each.get("started"):
            _append(records, {"name": name, "refused": "the process was killed while it was exported"})
    for name in (name for first in range(STEP) for name in names()[first::STEP] if name not in done):
        _append(records, {"name": name, "started": True})
        record = record_of(name)
        _append(records, record)
        print(row(record), flush=True)


def read(records: Path) -> Iterator[dict[str, Any]]:
    """Yield the last record of each backbone, in the order of their names here."""
    lines = [json.loads(line) for line in records.read_text().splitlines()] if records.is_file() else []
    last = {line["name"]: line for line in lines}
    return (last[name] for name in names() if name in last)


def _append(records: Path, record: dict[str, Any]) -> None:
    with records.open("a") as file:
        file.write(json.dumps(record) + "\n")


def row(record: dict[str, Any]) -> str:
    """Return the line of a backbone in the table."""
    if "refused" in record:
        return f"| {record['name']} | | | | | | refused: {_short(record['refused'])} |"
    runtimes = [record[name] for name in ("onnxruntime", "openvino")]
    cells = [
        record["name"],
        str(record["px"]),
        f"{record['parameters'] / 1e6:.1f} M",
        f"{record['seconds']:.0f} s",
        *(f"{each['difference']:.1e}" if "difference" in each else "error" for each in runtimes),
        verdict(record),
    ]
    return f"| {' | '.join(cells)} |"


def verdict(record: dict[str, Any]) -> str:
    """Return what the parity says: exported, or what differs."""
    wrong = []
    for name in ("onnxruntime", "openvino"):
        each = record[name]
        if "error" in each:
            wrong.append(f"{name}: {_short(each['error'])}")
        elif not (each["difference"] <= LIMIT and each["agreement"] == 1):
            wrong.append(f"{name} differs: {100 * each['agreement']:.0f} % of {PICTURES} classes agree")
    return "exported" if not wrong else f"refused: {'; '.join(wrong)}"


def _short(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "/")[:160]


def table(records: list[dict[str, Any]]) -> str:
    """Return the table and its summary as Markdown."""
    exported = sum("refused" not in record and verdict(record) == "exported" for record in records)
    lines = [
        f"{exported} of the {len(records)} backbones tried are exported with parity in both runtimes.",
        "",
        "| backbone | pixels | parameters | export | ONNX Runtime | OpenVINO | outcome |",
        "|---|--:|--:|--:|--:|--:|---|",
        *map(row, records),
    ]
    return "\n".join(lines)


def write_table(records: Path, page: Path) -> None:
    """Replace what is between the markers of `page` by the table."""
    text = page.read_text()
    if _START not in text or _END not in text:
        raise SystemExit(f"{page}: no {_START} and {_END}; add both lines where the table should be")
    before, after = text.split(_START)[0], text.split(_END)[1]
    page.write_text(
        f"{before}{_START}\n{table([record for record in read(records) if not record.get('started')])}\n{_END}{after}"
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", path]:
            torch.set_num_threads(1)
            run(Path(path))
        case ["table", path, target]:
            write_table(Path(path), Path(target))
        case _:
            raise SystemExit(__doc__)
