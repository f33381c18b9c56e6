"""The experiment file as frozen values: every key, its unit, its default and its bounds.

`raytl schema` prints the JSON Schema of `Experiment`, so that editors complete the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from raytl.config import section
from raytl.config.retrain import RetrainConfig
from raytl.config.section import Epochs, Fraction, Metric, Seconds, Section, WholeEpochs

SHORTHANDS = {"data": "uri", "model": "name"}
"""The key that text in place of a section sets: `data: photos/` is `data: {uri: photos/}`."""


class DataIdentity(Section):
    """Which images there are, how they are divided and what their values mean: what decides a result."""

    uri: str
    """A folder or s3:// prefix of class folders (flat, or under train/ val/ test/) or WebDataset shards, a .zip or .tar of class folders, or a CSV, Parquet or JSONL manifest (path,label[,split])."""
    snapshot: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None = None
    """Train on exactly this data, or fail naming what changed: an id that `raytl sync` or `raytl check` shows; null = whatever is there."""
    split_file: str | None = None
    """A JSONL file of `key` and `split`, which `raytl retrain` writes: who trains and who is held out, whatever the data and the fractions say; images that it does not name are left out."""
    val_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    """Share of the samples for validation where the data brings no val split."""
    test_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    """Share of the samples held out for the test where the data brings no test split."""
    on_bad_image: Literal["error", "skip"] = "error"
    """What to do with files that cannot be decoded: stop before training, or leave them out and list them."""
    on_duplicate: Literal["drop", "error"] = "drop"
    """Same image (by content) on two sides of a split: drop the training copy and list it, or stop."""
    bit_depth: Annotated[int, Field(ge=8, le=16)] | Literal["auto"] = "auto"
    """Bits that images of more than 8 bits really have: 12 for a 12-bit detector's 16-bit files. auto = what a file declares (PNG sBIT, TIFF tags), else the fewest that hold the largest value of all training images."""
    zip_encoding: str | None = None
    """Encoding of the file names in a .zip that does not say it, such as cp932, gbk or cp1252; null = UTF-8 where they are valid UTF-8, else cp437."""


class DataConfig(DataIdentity):
    """Where the images are and how they are divided; beside that, limits and speed on this machine."""

    max_pixels: Annotated[int, Field(ge=1)] = 64_000_000
    """Images of more pixels than this are refused as decompression bombs; raise it for scans and aerial photos."""
    cache: Literal["auto", "on", "off"] = "auto"
    """Decode once: keep decoded, resized images on the node's disk. auto = when they fit cache_limit_gb."""
    cache_limit_gb: Annotated[float, Field(gt=0)] = 20.0
    """Bound of the node's cache of decoded images, in GB (10^9 bytes); the least recently used sets go first."""
    pull_limit_gb: Annotated[float, Field(gt=0)] = 100.0
    """Bound of what this node keeps of buckets and archives, in GB; the least recently used go first, what is in use stays."""
    stream: bool = False
    """For data larger than the node's disk: images stay in the bucket and are fetched as training will want them."""
    loader_workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Loader processes of each training worker."""


class PreprocessOverride(Section):
    """Keys that replace the pretrained model's own preprocessing; leave them out unless you know better."""

    image_px: Annotated[int, Field(ge=8)] | None = None
    """Side of the square input, in pixels."""
    crop_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Side of the evaluation crop over the shorter side of the resized image."""
    mean: tuple[float, float, float] | None = None
    """Mean of the RGB channels in [0, 1] that the weights were trained with."""
    std: tuple[float, float, float] | None = None
    """Standard deviation of the RGB channels in [0, 1] that the weights were trained with."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = None
    """Resampling filter of the resize."""


class ModelConfig(Section):
    """The backbone, its weights and its input."""

    name: str
    """Any timm name; `torchvision:<name>` for torchvision's."""
    weights: str = "pretrained"
    """pretrained | none | a .safetensors or .pth file, a raytl run folder, or models:<registry>@<alias or number>. Loaded without running code from it."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout before the head; the model's default where left out."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Stochastic depth rate; the model's default where left out."""
    preprocess: PreprocessOverride = PreprocessOverride()
    """Overrides of the preprocessing that comes with the weights."""


class TransferConfig(Section):
    """What learns, when, and how fast: one axis for every backbone."""

    unfreeze: Annotated[int, Field(ge=0)] | Literal["all"] = 2
    """How many stages from the top learn; 0 = feature extraction (head only), all = full fine-tuning."""
    lr_decay: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Each stage below learns at this ratio of the one above it."""
    head_lr_ratio: Annotated[float, Field(gt=0)] = 10.0
    """The head's rate (optim.lr) over the top stage's."""
    head_first: WholeEpochs = 1
    """Epochs in which the head learns alone before the stages open."""
    head_start: Literal["zero", "solved", "weights"] = "zero"
    """Where the head starts: at zero, solved on the frozen network's features (linear probe, then fine-tune: LP-FT), or with the rows that model.weights has for the same class names."""
    gradual: bool = False
    """Open one stage at a time, from the top, one every `gradual_every`."""
    gradual_every: Annotated[WholeEpochs, Field(ge=1)] = 1
    """Epochs between two openings when gradual."""


class AugmentConfig(Section):
    """A one-dimensional family of augmentations, with keys to switch off what would break the niche's meaning."""

    strength: Fraction = 0.5
    """0 = only crop and flip ... 1 = the strongest of the policy."""
    hflip: bool = True
    """Mirror left and right; switch off for letters, or organs that have a side."""
    vflip: bool = False
    """Mirror top and bottom; for views from above and microscopes."""
    rotate90: bool = False
    """Quarter turns; for views from above and microscopes."""
    rotation: bool = True
    """Small rotations, up to 20 degrees at strength 1."""
    colour: bool = True
    """Brightness, contrast, saturation and hue; switch off where colour is the meaning."""
    blur: bool = False
    """Gaussian blur, for cameras that lose focus."""
    crop: bool = True
    """Random resized crop; off = the evaluation crop, so that nothing at the border is lost."""
    erasing: Fraction = 0.0
    """Probability of random erasing."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of mixup's beta distribution; 0 = off."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of CutMix's beta distribution; 0 = off."""


class OptimConfig(Section):
    """The optimizer and its schedule."""

    name: str = "adamw"
    """adamw | sgd | any optimizer of timm by name."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """The head's learning rate for the whole (global) batch."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """Weight decay; norms, biases and other vectors have none."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """SGD's (Nesterov) momentum, or the first beta of the Adam family."""
    schedule: Literal["cosine", "restarts", "onecycle", "constant"] = "cosine"
    """Shape of the rates over training, after warm-up."""
    warmup: Epochs = 0.5
    """Linear warm-up, again for each stage that opens."""
    restart_every: Annotated[Epochs, Field(gt=0)] = 5.0
    """Length of the first cycle of warm restarts; each next one is twice as long."""
    min_lr_ratio: Fraction = 0.01
    """Where the schedule ends, as a share of the rate."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Bound of the gradient's global norm; null = none."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the exponential moving average of the weights that is evaluated and kept; null = none."""


class TrainConfig(Section):
    """The training loop."""

    epochs: Annotated[int, Field(ge=1)] = 12
    """Epochs at most."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """The global batch: over all workers and accumulation steps."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Micro-batches that a batch is computed in, to save memory."""
    early_stop: Annotated[int, Field(ge=0)] = 4
    """Stop after this many epochs without a better `metric`; 0 = never."""
    metric: Metric = "val/balanced_accuracy"
    """What early stopping and the best checkpoint go by; ties go to the lower val/log_loss."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto = bf16 where the hardware gains from it (GPUs, CPUs with AVX512-BF16 or AMX), else fp32."""
    channels_last: bool | Literal["auto"] = "auto"
    """Memory layout NHWC; auto = for convolutional networks."""
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    """focal = cross-entropy that weighs hard samples more (Lin et al. 2017)."""
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    """The focal loss's gamma."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all classes."""
    class_weights: Literal["none", "balanced"] | dict[str, float] = "none"
    """Weight of each class in the loss; balanced = inverse to its frequency."""
    sampler: Literal["shuffle", "balanced"] = "shuffle"
    """balanced = draw every class equally often, with replacement."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of every source of randomness."""
    deterministic: bool = False
    """Only deterministic kernels, at the cost of speed: the same run gives the same bits."""
    checkpoint_every_s: Annotated[float, Field(gt=0)] = 300.0
    """Seconds between checkpoints inside an epoch; there is always one at an epoch's end."""


class ElasticWorkers(Section):
    """As many workers as there is room for: training begins with `min` or more, and moves to more as machines come."""

    min: Annotated[int, Field(ge=1)]
    max: Annotated[int, Field(ge=1)]


class ComputeConfig(Section):
    """Where the work runs."""

    workers: Annotated[int, Field(ge=1)] | ElasticWorkers = 1
    """Data-parallel workers, one GPU each where there are GPUs; {min: 2, max: 8} = as many as a cluster has room for. The
    batches and the schedule are those of train.batch_size for any number."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto = GPUs where there are some."""
    cluster: str = "local"
    """local = an embedded Ray; none = this process, without Ray (1 worker); auto or host:port = a running Ray cluster."""
    cpus_per_worker: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """CPUs of each worker; auto = this machine's cores shared out between the workers."""
    trial_gpus: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """GPUs of each worker of a trial of `raytl tune`: a fraction lets small trials share one; auto = 1 where there are GPUs."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often workers that died or hung are replaced before the run gives up."""
    max_preemptions: Annotated[int, Field(ge=0)] = 100
    """How often the run moves because machines are taken away (drained, preempted, lost) before it gives up."""
    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """How long no worker gets on before that is called a hang; the workers are then replaced."""
    wait_s: Seconds = 1800.0
    """How long a cluster may take to make room for the workers (an autoscaler starts machines, other work ends)."""

    @property
    def min_workers(self) -> int:
        """Workers without which nothing starts."""
        return self.workers if isinstance(self.workers, int) else self.workers.min

    @property
    def max_workers(self) -> int:
        """Workers that are used where there is room for them."""
        return self.workers if isinstance(self.workers, int) else self.workers.max


class StorageConfig(Section):
    """Where runs are written."""

    uri: str = "runs/"
    """The folder, or s3:// prefix, that run folders go into."""
    endpoint_url: str | None = None
    """Where s3:// is, for runs and data; none = AWS_ENDPOINT_URL, or Amazon."""
    region: str | None = None
    """The region of the buckets; none = AWS_DEFAULT_REGION or the profile's."""
    profile: str | None = None
    """The AWS profile with the credentials; none = AWS_PROFILE, or the standard search. Secrets never go into this file."""
    addressing: Literal["auto", "path", "virtual"] = "auto"
    """Where the bucket's name goes: path = behind the host, virtual = before it; auto = path but for Amazon."""
    anonymous: bool = False
    """Ask without credentials, as public data sets allow."""
    request_payer: bool = False
    """Pay for the requests to somebody else's bucket that asks for that."""
    connect_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """Seconds to wait for a connection."""
    read_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Seconds without a byte after which a transfer counts as stalled, and is tried again."""


Objective = Literal[
    "val/balanced_accuracy",
    "val/accuracy",
    "val/macro_f1",
    "val/log_loss",
    "cost/trainable_parameters",
    "cost/train_seconds",
]


class BudgetConfig(Section):
    """What a sweep may cost; a plan beyond it is refused, and a sweep that reaches it ends well."""

    max_epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs of a trial at most; train.epochs where left out."""
    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    """GPU-hours of all trials together; null = no bound."""
    wall: Seconds | None = None
    """Wall time, such as '2 h'; null = no bound."""


class ReplicatesConfig(Section):
    """The best trials run again with other seeds, so that the winner is not a lucky one."""

    top: Annotated[int, Field(ge=0)] = 3
    """How many of the best trials; 0 = none."""
    seeds: Annotated[int, Field(ge=1)] = 3
    """Seeds of each, the trial's own among them."""


class SearchConfig(Section):
    """What `raytl tune` searches, and how."""

    trials: Annotated[int, Field(ge=1)] = 64
    """Trials in all; `raytl tune --add N` runs N more."""
    metric: Objective | Annotated[list[Objective], Field(min_length=1)] = "val/balanced_accuracy"
    """The objective, or a list of them for a Pareto front; the first decides the winner."""
    budget: BudgetConfig = BudgetConfig()
    scheduler: Literal["asha", "halving", "none"] = "asha"
    """asha stops trials that fall behind as they report (asynchronous successive halving); halving lets a cohort stand at each rung until all are there; none runs all to the end."""
    grace_epochs: Annotated[int, Field(ge=1)] = 2
    """Epochs that every trial gets before the scheduler may stop it."""
    reduction: Annotated[int, Field(ge=2)] = 3
    """One trial in this many goes on from each rung."""
    sampler: str = "tpe"
    """tpe | random | cmaes | gp | qmc | nsga2 | grid, or the name of any sampler of Optuna."""
    space: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] | None = None
    """What varies, by dotted key: {int: [low, high]}, {float: ...}, {log: ...} or {choice: [...]}, and `when: key > value`; left out = depth, rates, decay and augmentation."""
    storage: str = "journal"
    """Where Optuna keeps the study: journal (a file in the sweep's folder), sqlite (the same), or the URL of a database, without its password: PGPASSWORD, ~/.pgpass or the file that ?read_default_file= names gives that."""
    recipes: bool = True
    """Begin with the recipes of the literature (linear probe, upper half, last stage, all with decay) and the experiment as it is."""
    feature_cache: Literal["auto", "off"] = "auto"
    """Compute what stays frozen once for all trials; auto = where reading is cheaper than computing."""
    views: Annotated[int, Field(ge=1)] = 4
    """Augmented views of each training image that trials share, for each strength."""
    linear_probe: bool = True
    """Solve the head once, and start every trial from it: transfer.head_start is solved, and head_first 0, in all trials."""
    replicates: ReplicatesConfig = ReplicatesConfig()
    soup: Literal["off", "uniform", "greedy"] = "off"
    """The mean of the best trials' weights as one more model: of all that are kept, or of each that does not lower the score."""
    keep: Annotated[int, Field(ge=1)] = 3
    """Trials whose checkpoints stay on disk: the best ones."""
    max_errors: Annotated[int, Field(ge=1)] = 3
    """Equal errors that end the sweep with that error."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the sampler."""

    @property
    def metrics(self) -> tuple[Objective, ...]:
        """The objectives; the first decides the winner."""
        return (self.metric,) if isinstance(self.metric, str) else tuple(self.metric)


class Recipe(Section):
    """What decides a result, without any setting of a machine; a stored experiment may say this and nothing else."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """The run's name, and its folder's: letters, digits, '.', '_' and '-', beginning with a letter or a digit."""
    task: Literal["classification"] = "classification"
    """What is learnt."""
    data: DataIdentity
    model: ModelConfig
    transfer: TransferConfig = TransferConfig()
    augment: AugmentConfig = AugmentConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()


class Experiment(Recipe):
    """One experiment: what `raytl.train` and `raytl train` run.

    `Experiment(name="trash", data="photos/", model="mobilenetv2_100", transfer={"unfreeze": 3})` takes the keys of the
    experiment file as arguments, with the same rules: `data` may be text in place of `{"uri": ...}`, and `model` in place
    of `{"name": ...}`. Sections are mappings.

    Raises:
        ConfigError: every problem at once, each with its key and a suggestion.
    """

    data: DataConfig
    compute: ComputeConfig = ComputeConfig()
    storage: StorageConfig = StorageConfig()
    search: SearchConfig = SearchConfig()
    retrain: RetrainConfig = RetrainConfig()

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            name: str,
            data: str | Path | Mapping[str, Any] | DataConfig,
            model: str | Mapping[str, Any] | ModelConfig,
            task: Literal["classification"] = ...,
            transfer: Mapping[str, Any] | TransferConfig = ...,
            augment: Mapping[str, Any] | AugmentConfig = ...,
            optim: Mapping[str, Any] | OptimConfig = ...,
            train: Mapping[str, Any] | TrainConfig = ...,
            compute: Mapping[str, Any] | ComputeConfig = ...,
            storage: Mapping[str, Any] | StorageConfig = ...,
            search: Mapping[str, Any] | SearchConfig = ...,
            retrain: Mapping[str, Any] | RetrainConfig = ...,
        ) -> None: ...

    else:

        def __init__(self, **values: Any) -> None:
            super().__init__(**section.construct(values))

        # model_validate fills the fields without this constructor, as it does for models that define none
        __init__.__pydantic_base_init__ = True

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Show the keys that were set; the others have their defaults."""
        yield from self.model_dump(exclude_unset=True).items()
