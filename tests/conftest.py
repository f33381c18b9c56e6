"""What every test stands on: one thread, no network, its own caches, and the real assets where there are some."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before numpy and torch are imported: two threads a test process only fight for the cores, and sums differ in
# their last bits with the number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Tests never ask the network for weights, and never find somebody's credentials.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
    os.environ.pop(name, None)
# A shell has its background jobs ignore Ctrl-C, and so would the commands that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import botocore.session  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import typer.main  # noqa: E402
from PIL import Image  # noqa: E402

from raytl.cli.ending import Ending  # noqa: E402
from tests.servers import swift  # noqa: E402

# Each of boto3's sessions parses a megabyte of JSON that describes S3, and tests make hundreds of sessions.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
# A command line takes 70 ms to build, and tests parse hundreds.
typer.main.get_command = functools.cache(typer.main.get_command)
_BUCKETS, _CACHES = itertools.count(), itertools.count()
# fixtures of buckets to run a test on: moto's, and Swift's where that is asked for
S3 = pytest.param("bucket", marks=pytest.mark.s3, id="s3")
SWIFT = pytest.param("swift_bucket", marks=pytest.mark.real_store, id="swift")
REPO = Path(__file__).resolve().parent.parent
_ENDING = Ending()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files whose tests start Ray: they take longest, and the others fill the time beside them."""
    longest = {item.path for item in items if item.get_closest_marker("ray")}
    items.sort(key=lambda item: item.path not in longest)
    _propagate_logs()


def _propagate_logs() -> None:
    """Let torch's fifty loggers propagate: pytest attaches its handlers to each one that does not, six times a test."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("torch") and isinstance(logger, logging.Logger):
            logger.propagate = True


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tests that start Ray in this process leave its threads: see `Ending`."""
    _ENDING.begin(int(session.exitstatus))


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real weights and photos (RAYTL_ASSETS, or ../shared/assets), or a skip."""
    root = Path(os.environ.get("RAYTL_ASSETS", REPO.parent / "shared" / "assets"))
    if not (root / "weights").is_dir():
        pytest.skip(f"no weights/ under {root}; set RAYTL_ASSETS")
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node cache of its own for each test, so that no test finds what another left."""
    cache = tmp_path_factory.getbasetemp() / "caches" / str(next(_CACHES))  # mktemp looks through all that are there
    cache.mkdir(parents=True)
    monkeypatch.setenv("RAYTL_CACHE", str(cache))
    return cache


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A test that leaves torch with more threads fails: all tests after it would fight for the cores."""
    yield
    torch = sys.modules.get("torch")
    threads = 1 if torch is None else torch.get_num_threads()
    if torch is not None and threads != 1:
        torch.set_num_threads(1)
    assert threads == 1, f"left torch with {threads} threads; restore them"


@pytest.fixture
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose the charts of a run and write files without pixels, unless the test is marked `drawn`.

    To draw them is most of the time of a small training or evaluation.
    """
    if request.node.get_closest_marker("drawn") is None:
        leave_out_pixels(monkeypatch)


def leave_out_pixels(patch: pytest.MonkeyPatch) -> None:
    """Write the files of charts without their pixels."""
    patch.setattr("raytl.run.plots.png", lambda _: b"\x89PNG\r\n\x1a\n")


MakePhotos = Callable[..., Path]


def write_photos(
    root: Path,
    per_class: int = 6,
    classes: tuple[str, ...] = ("blue", "green", "red"),
    px: int = 40,
    seed: int = 0,
) -> Path:
    """Writes `per_class` noisy JPEGs of each class, told apart by colour, under `root/<class>/`; returns the root."""
    draw = np.random.default_rng(seed)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            pixels = draw.integers(0, 120, size=(px, px, 3))
            pixels[..., number % 3] += 40 + 90 * (number // 3 % 2 + 1) // 2
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(root / name / f"{i:03d}.jpg", quality=90)
    return root


def write_deep_photos(root: Path, bits: int, per_class: int = 6, classes: tuple[str, ...] = ("dark", "light")) -> Path:
    """Writes grey PNGs of the same scenes at any depth, up to its largest value: 8 bits as such, others in 16-bit files."""
    draw = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            scene = draw.random((24, 24)) * (number + 1) / len(classes)
            scene[0, 0] = 1.0
            samples = np.rint(scene * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
            Image.fromarray(samples).save(root / name / f"{i:03d}.png")
    return root


@pytest.fixture
def make_photos(tmp_path: Path) -> MakePhotos:
    """`write_photos`, into `root` or the test's own folder."""

    def make(per_class: int = 6, *args: Any, root: Path | None = None, **kwargs: Any) -> Path:
        return write_photos(root or tmp_path / "photos", per_class, *args, **kwargs)

    return make


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of moto's server, on a free port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_client(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A plain client of the server, which is also what raytl finds in the environment."""
    import boto3

    from raytl.store import s3

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    s3.forget_client()
    client = boto3.client("s3", endpoint_url=s3_server)
    yield client
    client.close()
    s3.forget_client()


@pytest.fixture
def bucket(s3_client: Any) -> str:
    """An empty bucket."""
    name = f"bucket-{next(_BUCKETS)}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[swift.Swift]:
    """OpenStack Swift, run as itself, or a skip that says what is missing."""
    folder = tmp_path_factory.mktemp("swift")
    try:
        running = swift.start(folder)
    except swift.SwiftMissing as missing:
        pytest.skip(str(missing))
    yield running
    swift.stop(folder)


@pytest.fixture
def swift_bucket(swift_server: swift.Swift, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of Swift's, which is what raytl finds in the environment."""
    from raytl.store import s3

    for name, value in swift_server.environment.items():
        monkeypatch.setenv(name, value)
    s3.forget_client()
    name = f"bucket-{next(_BUCKETS)}"
    s3.client().create_bucket(Bucket=name)
    yield name
    s3.forget_client()
