"""The experiment file as frozen values: every key with its type, unit, default and bounds.

`raytl schema` prints the JSON Schema of `Experiment`, with which editors complete the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from raytl.config import section
from raytl.config.adapt import AdaptConfig
from raytl.config.annotations import AnnotationsConfig
from raytl.config.auxiliary import AuxiliaryConfig
from raytl.config.few import FewConfig
from raytl.config.labels import LabelsConfig
from raytl.config.neck import NeckConfig
from raytl.config.predict import PredictConfig
from raytl.config.retrain import RetrainConfig
from raytl.config.search import SearchConfig
from raytl.config.section import Epochs, Fraction, Metric, Seconds, Section, WholeEpochs
from raytl.config.synthetic import SyntheticConfig
from raytl.config.warmup import WarmupConfig

ColumnRole = Literal["group", "slice", "fairness"]
"""The meaning of a column of the manifest."""
SHORTHANDS = {"data": "uri", "model": "name"}
"""The key that text in place of a section sets: `data: photos/` is `data: {uri: photos/}`."""


class DataIdentity(Section):
    """The images, their splits and the meaning of their values: the part of the data section that decides a result."""

    uri: str
    """Where the images are: a folder or s3:// prefix of class folders (flat, or below train/, val/ and test/) or of WebDataset shards; a .zip or .tar of class folders; or a CSV, Parquet or JSONL manifest (path, label and optionally split)."""
    snapshot: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None = None
    """Train on exactly this data, or fail and list what changed: an id that `raytl sync` and `raytl check` print. null = use the data as it is."""
    split_file: str | None = None
    """A JSONL file of `key` and `split` that replaces the splits of the data and the fractions; `raytl retrain` writes one. Images that it does not list are left out."""
    feedback: str | None = None
    """A folder or s3:// prefix of feedback (`raytl serve --feedback`), whose labelled images join the training images; never validation or test. `raytl retrain` sets it to retrain.feedback."""
    synthetic: SyntheticConfig = SyntheticConfig()
    """Made images with labels (rendered, generated) that are a share of each training batch."""
    unlabelled: str | None = None
    """Images without labels, for few.method, warmup.method and `raytl next`: a folder or s3:// prefix (images at any depth; names of folders are ignored), a .zip or .tar, or a manifest with a column path. Images that are also labelled are left out, as are rows of a manifest whose split is test and test images of adapt.target; copies of test images are an error."""
    columns: dict[Annotated[str, Field(min_length=1, max_length=200)], ColumnRole] = Field(default={}, max_length=50)
    """Columns of the manifest that describe the images, by name: group = its images are never in two splits (site, patient, video), and count as a slice; slice = report errors by its values; fairness = compare the error rates of its values. Each is shown by `raytl report`."""
    val_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    """Fraction of the images for validation if the data has no val split."""
    test_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    """Fraction of the images held out for the test if the data has no test split."""
    on_bad_image: Literal["error", "skip"] = "error"
    """If files cannot be decoded: error = stop before training; skip = leave them out and list them."""
    on_duplicate: Literal["drop", "error"] = "drop"
    """If the same image (by content) is in two splits: drop = leave out the training copy and list it; error = stop."""
    bit_depth: Annotated[int, Field(ge=8, le=16)] | Literal["auto"] = "auto"
    """Significant bits of images with more than 8 bits per channel, such as 12 for the 16-bit files of a 12-bit detector. auto = as a file declares (PNG sBIT, TIFF tags), else the fewest bits that hold the largest value of all training images."""
    value_range: (
        tuple[float, float] | Annotated[list[tuple[float, float]], Field(min_length=2, max_length=16)] | None
    ) = None
    """The values that become black and white: [low, high] of images of floats, and, with other than three model.channels, of each channel (one range for all, or a list with one for each). null = measured on the training images: of floats from 0 to 1, those ends; of other floats, the smallest and the largest value; of channels, the 0.1th and the 99.9th percentile, and 0 to 255 of 8-bit files."""
    window: tuple[float, Annotated[float, Field(gt=0)]] | None = None
    """[center, width] of the window with which DICOM images are shown and learned, in the file's units (Hounsfield units of CT). null = the window of each file, else all values that its stored bits can have."""
    zip_encoding: str | None = None
    """Encoding of the file names in a .zip that does not declare it, such as cp932, gbk or cp1252. null = UTF-8 if the names are valid UTF-8, else cp437."""

    @property
    def one_range(self) -> tuple[float, float] | None:
        """Return the range of floats, None where it is measured."""
        return self.value_range if isinstance(self.value_range, tuple) else None


class DataConfig(DataIdentity):
    """The images and their splits, with limits and caches of this machine."""

    max_pixels: Annotated[int, Field(ge=1)] = 64_000_000
    """Images with more pixels are rejected as decompression bombs; three channels count as one pixel. Raise it for scans and aerial photos."""
    cache: Literal["auto", "on", "off"] = "auto"
    """Keep decoded, resized images on the node's disk. auto = if they fit in cache_limit_gb."""
    cache_limit_gb: Annotated[float, Field(gt=0)] = 20.0
    """Size limit of the node's cache of decoded images, in GB (10^9 bytes). The least recently used sets are evicted first."""
    pull_limit_gb: Annotated[float, Field(gt=0)] = 100.0
    """Size limit of downloaded objects and unpacked archives on this node, in GB. The least recently used are evicted first; data in use is kept."""
    stream: bool = False
    """Leave the images in the bucket and prefetch them during training, for data larger than the node's disk."""
    loader_workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Data loader processes per training worker. auto = by the number of cores."""


class PreprocessOverride(Section):
    """Overrides of the pretrained model's own preprocessing. Most experiments need none."""

    image_px: Annotated[int, Field(ge=8)] | tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] | None = (
        None
    )
    """Side of the square input, in pixels; or [width, height] of the frame into which images are fitted whole, for tasks that find objects or pixels."""
    crop_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Side of the evaluation crop, as a fraction of the shorter side of the resized image."""
    mean: Annotated[tuple[float, ...], Field(min_length=2, max_length=16)] | None = None
    """Mean of each of model.channels, in [0, 1]. null = the pretrained model's; with other than three channels, measured on the training images."""
    std: Annotated[tuple[float, ...], Field(min_length=2, max_length=16)] | None = None
    """Standard deviation of each of model.channels, in [0, 1]. null = as mean."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = None
    """Interpolation of the resize."""


class ModelConfig(Section):
    """The backbone, its weights, its head and its preprocessing."""

    name: str
    """A timm model name, or `torchvision:<name>`."""
    weights: str = "pretrained"
    """pretrained, none (random initialization), a .safetensors or .pth file, a run folder, or models:<registry>@<alias or number>. No code in the file is run."""
    channels: Annotated[int, Field(ge=2, le=16)] = 3
    """Channels of each image. 3 = RGB: gray becomes RGB, and alpha is composited on white. Any other number: every channel of the file is read as it is, and another number is an error."""
    stem: Literal["repeat", "mean", "zero", "random"] = "repeat"
    """The filters of the first layer for other than three channels, from those of the pretrained RGB. repeat = red, green, blue, red ... times 3 / channels (as timm). mean = the mean of the three for each channel, times 3 / channels. zero = the first three channels are RGB and keep their filters, the others start at 0. random = drawn, with a fixed seed, so it must be trained."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout before the head. null = the model's default."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Stochastic depth rate. null = the model's default."""
    batch_norm: Literal["train", "frozen"] = "train"
    """train = BatchNorm in stages that learn computes the statistics of its batches. frozen = it keeps those of the pretrained network, for batches that are too small for statistics; tasks that find objects or pixels always do."""
    head: str | None = None
    """The kind of head: detection has fcos, retinanet and faster_rcnn, segmentation fpn and deeplabv3plus, instances mask_rcnn. null = the first."""
    neck: NeckConfig = NeckConfig()
    """The feature pyramid of a dense task."""
    preprocess: PreprocessOverride = PreprocessOverride()
    """Overrides of the preprocessing that belongs to the weights."""


class TransferConfig(Section):
    """The stages to train, their order and their learning rates. The keys mean the same for every backbone."""

    unfreeze: Annotated[int, Field(ge=0)] | Literal["all"] = 2
    """Number of stages that are trained, from the top. 0 = head only (feature extraction), all = full fine-tuning."""
    lr_decay: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Learning rate of each stage as a ratio of the stage above it (layer decay)."""
    head_lr_ratio: Annotated[float, Field(gt=0)] = 10.0
    """Learning rate of the head (optim.lr) as a ratio of the top stage's."""
    head_first: WholeEpochs = 1
    """Epochs in which only the head is trained, before the stages are unfrozen."""
    head_start: Literal["zero", "solved", "weights"] = "zero"
    """Initialization of the head: zero; solved = a linear probe on the frozen features (LP-FT); weights = the rows of model.weights for the same class names."""
    fallback: Literal["auto", "off"] = "auto"
    """auto = after the last epoch, compare the best epoch on validation with a linear probe on the frozen features; where it is worse, keep the probe, or the interpolation of the two networks if that is better (WiSE-FT, Wortsman et al. 2022). Skipped for random weights, for more than 20,000 training images, and where only a solved head trains. off = keep the best epoch."""
    gradual: bool = False
    """Unfreeze one stage at a time from the top, every `gradual_every` epochs."""
    gradual_every: Annotated[WholeEpochs, Field(ge=1)] = 1
    """Epochs between two stages if gradual."""


class AugmentConfig(Section):
    """One augmentation policy with a strength. Switch off the transforms that would change the meaning of your images."""

    strength: Fraction = 0.5
    """0 = crop and flip only; 1 = the strongest."""
    hflip: bool = True
    """Flip left and right. Switch off for letters, or organs that have a side."""
    vflip: bool = False
    """Flip top and bottom, for aerial and microscope images."""
    rotate90: bool = False
    """Rotate by multiples of 90 degrees, for aerial and microscope images."""
    rotation: bool = True
    """Rotate by a small angle, up to 20 degrees at strength 1."""
    color: bool = True
    """Change brightness, contrast, saturation and hue. Switch off if the color tells the class. With other than three model.channels, brightness and contrast alone, of all channels alike."""
    blur: bool = False
    """Gaussian blur, for cameras that lose focus."""
    crop: bool = True
    """Random resized crop. false = the evaluation crop."""
    erasing: Fraction = 0.0
    """Probability of random erasing."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of mixup's beta distribution. 0 = off."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of CutMix's beta distribution. 0 = off."""


class OptimConfig(Section):
    """The optimizer and the learning rate schedule."""

    name: str = "adamw"
    """adamw, sgd, or the name of any timm optimizer."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of the head, for the global batch."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """Weight decay. Not applied to norms, biases and other vectors."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Nesterov momentum of SGD, or the first beta of Adam and its variants."""
    schedule: Literal["cosine", "restarts", "onecycle", "constant"] = "cosine"
    """Learning rate schedule after the warm-up. restarts = cosine with warm restarts."""
    warmup: Epochs = 0.5
    """Linear warm-up, repeated for each stage that is unfrozen."""
    restart_every: Annotated[Epochs, Field(gt=0)] = 5.0
    """Length of the first cycle of warm restarts. Each cycle is twice as long as the one before."""
    min_lr_ratio: Fraction = 0.01
    """Final learning rate, as a fraction of the initial one."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Maximum global norm of the gradient. null = no clipping."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, which is then what is evaluated and saved. null = none."""


class TrainConfig(Section):
    """The training loop."""

    epochs: Annotated[int, Field(ge=1)] = 12
    """Maximum number of epochs."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Global batch size, over all workers and accumulation steps."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Number of micro-batches per batch (gradient accumulation), to save memory."""
    early_stop: Annotated[int, Field(ge=0)] = 4
    """Stop after this many epochs without a better `metric`. 0 = never."""
    metric: Metric = "val/balanced_accuracy"
    """Metric for early stopping and for the best checkpoint; each task has its own metrics and default. In classification, ties go to the lower val/log_loss."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto = bf16 on hardware that computes it faster (GPUs, CPUs with AVX512-BF16 or AMX), else fp32."""
    channels_last: bool | Literal["auto"] = "auto"
    """Use the NHWC memory layout. auto = for convolutional networks."""
    loss: Literal["cross_entropy", "focal", "asymmetric", "gce", "elr", "small_loss"] = "cross_entropy"
    """focal = cross-entropy with a higher weight for hard samples (Lin et al. 2017). asymmetric = for many labels an image, most of them absent (Ridnik et al. 2021; multilabel only). gce = generalized cross-entropy, which learns less from labels that the network contradicts, as wrong ones (Zhang & Sabuncu 2018; classification only). elr = early-learning regularization: cross-entropy, and a term that keeps the network at what it said of each training image so far, as it learns wrong labels late (Liu et al. 2020; classification only). small_loss = cross-entropy, of the images of each class whose loss is smallest, averaged over epochs; it is large for wrong labels (Han et al. 2018, Huang et al. 2019; classification only)."""
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    """Gamma of the focal loss."""
    gce_q: Annotated[float, Field(gt=0, le=1)] = 0.7
    """q of the generalized cross-entropy: near 0 it is cross-entropy, at 1 the mean absolute error, which wrong labels disturb least and which learns slowest."""
    elr_weight: Annotated[float, Field(gt=0)] = 3.0
    """Weight of the term of elr beside the cross-entropy. The paper has 3 for CIFAR-10, and 7 for CIFAR-100."""
    elr_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.7
    """Momentum of the average of what the network said of an image, which moves once each time that it is seen. The state is one number for each training image and class."""
    small_loss_keep: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Fraction of the images of each class that count with small_loss: 1 minus that of wrong labels, or more. The default is for one wrong label in five, as on the benchmarks of the papers; fewer wrong labels need a higher fraction, as hard images are left out first."""
    small_loss_ramp: Annotated[WholeEpochs, Field(ge=1)] = 4
    """Epochs in which small_loss grows from leaving out none, in the first epoch, to 1 - small_loss_keep (T_k of Co-teaching)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of the target that is spread over all classes."""
    class_weights: Literal["none", "balanced"] | dict[str, float] = "none"
    """Weight of each class in the loss. balanced = inverse to its frequency."""
    sampler: Literal["shuffle", "balanced"] = "shuffle"
    """balanced = draw all classes equally often, with replacement."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Random seed of everything."""
    deterministic: bool = False
    """Use deterministic kernels only, at the cost of speed, so that a repeated run is equal to the bit."""
    compile: bool = False
    """Compile the network with torch.compile at the first steps of each stage, which takes a minute or more; long runs on a GPU gain. Not with deterministic."""
    checkpoint_every_s: Annotated[float, Field(gt=0)] = 300.0
    """Seconds between checkpoints inside an epoch; there is always one at an epoch's end."""


class ElasticWorkers(Section):
    """A range of workers: training starts with at least `min`, and restarts with more, up to `max`, as machines join."""

    min: Annotated[int, Field(ge=1)]
    max: Annotated[int, Field(ge=1)]


class ComputeConfig(Section):
    """The machines that train and search."""

    workers: Annotated[int, Field(ge=1)] | ElasticWorkers = 1
    """Data-parallel workers, with one GPU each if there are GPUs. {min: 2, max: 8} = as many as the cluster can run. The
    number of workers changes neither the batches nor the schedule."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto = GPUs if there are any."""
    cluster: str = "local"
    """local = 1 worker, or trials that run one at a time, in this process, else on a Ray started here; embedded = on that Ray in any case; none = never Ray; auto or host:port = a running Ray cluster."""
    cpus_per_worker: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """CPUs per worker. auto = divide the cores of this machine evenly."""
    trial_gpus: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """GPUs per worker of a trial of `raytl tune`. A fraction lets trials share a GPU. auto = 1 if there are GPUs."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often workers that crash or hang are restarted before the run fails."""
    max_preemptions: Annotated[int, Field(ge=0)] = 100
    """How often the run restarts after losing machines (drained, preempted, lost) before it fails."""
    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """Seconds without progress of any worker after which the workers are considered hung and restarted."""
    wait_s: Seconds = 1800.0
    """How long to wait for resources of the cluster, such as machines that an autoscaler starts."""

    @property
    def min_workers(self) -> int:
        """Return the number of workers that training needs to start."""
        return self.workers if isinstance(self.workers, int) else self.workers.min

    @property
    def max_workers(self) -> int:
        """Return the largest number of workers."""
        return self.workers if isinstance(self.workers, int) else self.workers.max


class StorageConfig(Section):
    """The destination of runs, and the access to buckets."""

    uri: str = "runs/"
    """The folder or s3:// prefix that contains the run folders."""
    endpoint_url: str | None = None
    """Endpoint of s3:// URIs, for runs and data. null = AWS_ENDPOINT_URL, or AWS."""
    region: str | None = None
    """Region of the buckets. null = AWS_DEFAULT_REGION, or the profile's."""
    profile: str | None = None
    """AWS profile with the credentials. null = AWS_PROFILE, or the standard credential chain. Never write secrets into this file."""
    addressing: Literal["auto", "path", "virtual"] = "auto"
    """Addressing style: path = host/bucket, virtual = bucket.host. auto = virtual on AWS, path elsewhere."""
    anonymous: bool = False
    """Send requests without credentials, for public datasets."""
    request_payer: bool = False
    """Pay for the requests to a requester-pays bucket."""
    connect_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """Connection timeout, in seconds."""
    read_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Seconds without a byte after which a transfer is retried."""


class Recipe(Section):
    """The keys that decide a result. A stored experiment has these and no settings of a machine."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """Name of the run and of its folder: letters, digits, '.', '_' and '-', starting with a letter or digit."""
    task: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")] = "classification"
    """classification (one class an image), multilabel, segmentation, detection, instances, or a task that another package adds."""
    recipe: Literal["auto", "none"] = "auto"
    """auto = batch size, epochs, rates, depth, head start and augmentation follow from the data and the backbone where they are not set; `raytl check` prints each with its reason. none = the fixed defaults below."""
    data: DataIdentity
    annotations: AnnotationsConfig = AnnotationsConfig()
    labels: LabelsConfig = LabelsConfig()
    few: FewConfig = FewConfig()
    model: ModelConfig
    transfer: TransferConfig = TransferConfig()
    augment: AugmentConfig = AugmentConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    adapt: AdaptConfig = AdaptConfig()
    warmup: WarmupConfig = WarmupConfig()
    auxiliary: AuxiliaryConfig = AuxiliaryConfig()
    calibrate: Literal["temperature", "none"] = "temperature"
    """temperature = divide the logits of the answers by one number that minimizes the log loss on validation, so that probabilities match frequencies (Guo et al. 2017); val/log_loss is then that of the calibrated answers, in ties too. none = answer as trained. Tasks that find objects or pixels have none."""
    predict: PredictConfig = PredictConfig()


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
            task: str = ...,
            recipe: Literal["auto", "none"] = ...,
            annotations: Mapping[str, Any] | AnnotationsConfig = ...,
            labels: Mapping[str, Any] | LabelsConfig = ...,
            few: Mapping[str, Any] | FewConfig = ...,
            transfer: Mapping[str, Any] | TransferConfig = ...,
            augment: Mapping[str, Any] | AugmentConfig = ...,
            optim: Mapping[str, Any] | OptimConfig = ...,
            train: Mapping[str, Any] | TrainConfig = ...,
            adapt: Mapping[str, Any] | AdaptConfig = ...,
            warmup: Mapping[str, Any] | WarmupConfig = ...,
            auxiliary: Mapping[str, Any] | AuxiliaryConfig = ...,
            calibrate: Literal["temperature", "none"] = ...,
            predict: Mapping[str, Any] | PredictConfig = ...,
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
