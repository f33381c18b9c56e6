"""Where a bundle comes from."""

from __future__ import annotations

import math
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from raytl.bundle.card import entry_of
from raytl.errors import ModelError, RaytlError, UserError
from raytl.serving import source as sources
from raytl.serving.options import Limits, Replicas, ServeOptions, is_loopback, required_token
from raytl.serving.running import running
from raytl.serving.source import BucketSource, FolderSource, chosen, source_of
from raytl.store.memory import MemoryStore
from tests.serving.bundles import write_bundle


def test_a_folder_is_a_bundle_or_a_run_with_one(tmp_path: Path, bundle: Path) -> None:
    write_bundle(tmp_path / "run" / "bundles" / "onnx")
    for text, folder, name in ((bundle, bundle, "colours"), (tmp_path / "run", tmp_path / "run/bundles/onnx", "run")):
        source = source_of(ServeOptions(str(text)))
        assert source == FolderSource(folder, name)
        assert source.folder(source.version()) == folder


@pytest.mark.parametrize(
    ("names", "wanted", "reason"),
    [
        ([], None, "no bundle; expected one of `raytl export`"),
        (["a"], "b", "no bundle 'b'; expected one of a"),
        (["a", "b"], None, "2 bundles .a, b.; choose one with --bundle"),
    ],
)
def test_a_bundle_that_cannot_be_chosen_is_an_error(names: list[str], wanted: str | None, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        chosen(names, wanted, "runs/x")


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder; expected a bundle, a run"):
        source_of(ServeOptions(str(tmp_path / "none")))


def upload(client: Any, bucket: str, prefix: str, folder: Path) -> None:
    for path in folder.iterdir():
        client.put_object(Bucket=bucket, Key=f"{prefix}/{path.name}", Body=path.read_bytes())


@pytest.mark.s3
def test_a_bundle_in_a_bucket_is_fetched_once_and_a_new_one_is_a_new_version(
    bundle: Path, bucket: str, s3_client: Any
) -> None:
    upload(s3_client, bucket, "runs/x/bundles/onnx", bundle)
    uri = f"s3://{bucket}/runs/x"
    source = source_of(ServeOptions(uri))
    assert source == BucketSource(f"{uri}/bundles/onnx", "x")
    assert source_of(ServeOptions(f"{uri}/bundles/onnx")) == BucketSource(f"{uri}/bundles/onnx", "onnx")
    first = source.version()
    folder = source.folder(first)
    assert source.folder(first) == folder
    (folder / "model.onnx").write_bytes(b"damaged in the cache")
    assert (source.folder(first) / "model.onnx").read_bytes() == (bundle / "model.onnx").read_bytes()
    upload(s3_client, bucket, "runs/x/bundles/onnx", write_bundle(bundle, scale=0.1))
    assert source.version() != first
    assert source.folder(source.version()) != folder


def test_of_two_servers_on_a_node_one_fetches_a_bundle(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, fetched, pinned, both = MemoryStore(str(tmp_path)), list[str](), list[Path](), Event()
    for path in bundle.iterdir():
        store.put_file(path, path.name)
    real = MemoryStore.get_to_file

    def pin(place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        pinned.append(place)
        if len(pinned) == 2:
            both.set()

    def get(self: MemoryStore, key: str, path: Path, size: int) -> None:
        assert both.wait(10)
        fetched.append(key)
        real(self, key, path, size)

    monkeypatch.setattr(sources, "pin", pin)
    monkeypatch.setattr(MemoryStore, "get_to_file", get)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: sources.fetched_bundle(store, "bundle"), range(2))
    assert one == other
    assert (one / "model.onnx").read_bytes() == (bundle / "model.onnx").read_bytes()
    assert len(set(fetched)) == len(fetched)


def test_room_is_made_for_a_bundle_before_it_is_fetched(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, needed = MemoryStore(str(tmp_path)), list[int]()
    for path in bundle.iterdir():
        store.put_file(path, path.name)
    monkeypatch.setattr(sources, "make_room", needed.append)
    for _ in range(2):
        sources.fetched_bundle(store, "bundle")
    assert needed == [sum((bundle / name).stat().st_size for name in ("model.onnx", "reference.npy"))]


def test_a_bundle_that_is_replaced_while_it_is_fetched_is_not_served_as_the_one_before(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "fetched_bundle", lambda store, name: bundle)
    version = FolderSource(bundle, "b").version()
    source = BucketSource("s3://bucket/b", "b")
    assert source.folder(version) == bundle
    with pytest.raises(ModelError, match=f"found the bundle {version}; expected 012345678901, which was replaced"):
        source.folder("012345678901")


@pytest.mark.s3
def test_what_a_bucket_holds_is_checked_before_anything_runs(bundle: Path, bucket: str, s3_client: Any) -> None:
    upload(s3_client, bucket, "b", bundle)
    s3_client.put_object(Bucket=bucket, Key="b/model.onnx", Body=b"another graph")
    with pytest.raises(RaytlError, match="model.onnx"), running(ServeOptions(f"s3://{bucket}/b")):
        pass
    with (
        pytest.raises(ModelError, match=r"no model.json; expected a bundle"),
        running(ServeOptions(f"s3://{bucket}/c")),
    ):
        pass
    s3_client.put_object(Bucket=bucket, Key="b/model.json", Body=b'{"format": 1, "files": {"../x": {}}}')
    with pytest.raises(ModelError, match="a plain file name|expected"), running(ServeOptions(f"s3://{bucket}/b")):
        pass


def test_a_bundle_that_opens_but_does_not_answer_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", outputs=["probabilities", "features", "more"])
    with pytest.raises(ModelError, match="opens, but does not answer"), running(ServeOptions(str(folder))):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9", "[::1]"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    assert required_token(None, host, {}) is None


@pytest.mark.parametrize(
    ("name", "host", "environment", "reason"),
    [
        (None, "0.0.0.0", {}, "RAYTL_SERVE_TOKEN is not set; expected a token, as other machines can connect"),
        (None, "::", {}, "RAYTL_SERVE_TOKEN is not set"),
        (None, "example.com", {}, "RAYTL_SERVE_TOKEN is not set"),
        (
            "MINE",
            "127.0.0.1",
            {"RAYTL_SERVE_TOKEN": "x" * 32},
            "MINE is not set; expected a token, as --token-env names it",
        ),
        (None, "127.0.0.1", {"RAYTL_SERVE_TOKEN": "short"}, "found 5 characters; expected 16 or more"),
        (None, "0.0.0.0", {"RAYTL_SERVE_TOKEN": "two words of a token"}, "printable ASCII"),
    ],
)
def test_other_machines_need_a_token(name: str | None, host: str, environment: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        required_token(name, host, environment)


def test_a_token_is_not_shown() -> None:
    assert "secret-token" not in repr(ServeOptions("x", token="secret-token-of-mine"))


@pytest.mark.parametrize("allow", ["photos/", "s3://", "s3:///x", "https://x/y", "s3://b/x#y"])
def test_a_prefix_that_is_none_is_an_error(allow: str) -> None:
    with pytest.raises(UserError, match="expected s3://bucket/prefix"):
        ServeOptions("x", allow=(allow,))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"poll_s": math.nan}, "--poll nan: expected 0.01 to 1,000,000"),
        ({"poll_s": math.inf}, "--poll inf"),
        ({"poll_s": 0}, "--poll 0"),
        ({"port": 70_000}, "--port 70000: expected 0 to 65,535"),
        ({"threads": -1}, "--threads -1"),
        ({"workers": -1}, "--workers -1"),
        ({"limits": Limits(queue=-1)}, "--queue -1"),
        ({"limits": Limits(max_bytes=0)}, "--max-bytes 0"),
    ],
)
def test_a_number_out_of_range_is_an_error(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=re.escape(reason)):
        ServeOptions("x", **changes)


def test_the_memory_of_bodies_holds_the_largest_one() -> None:
    assert Limits.of(1 << 20, 10, 0) == Limits(max_bytes=1 << 20, max_pixels=10, queue=0)
    assert Limits.of(1 << 30, 10, 0).memory_bytes == 1 << 30


def test_a_name_with_other_characters_is_an_error() -> None:
    with pytest.raises(UserError, match="--name 'a/b': expected letters"):
        ServeOptions("x", name="a/b")


def test_replicas_are_a_number_or_a_range() -> None:
    assert Replicas.parsed(None, None, None) == Replicas(1, 1, "embedded", None)
    assert Replicas.parsed("2:5", "auto", "T") == Replicas(2, 5, "auto", "T")
    for text in ("0", "3:2", "x", "1:", "-1"):
        with pytest.raises(UserError, match="expected MIN or MIN:MAX"):
            Replicas.parsed(text, None, None)


def test_a_bundle_for_torch_is_refused_before_its_file_is_opened(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "pickled", runtime="torch")
    with (
        pytest.raises(ModelError, match="raytl does not open a bundle for torch, as its file can run code"),
        running(ServeOptions(str(folder))),
    ):
        pass


def test_a_reference_that_the_card_does_not_list_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    files = {"model.onnx": asdict(entry_of(folder / "model.onnx"))}
    with (
        pytest.raises(ModelError, match=r"reference\.npy: not in the list of files"),
        running(ServeOptions(str(write_bundle(folder, files=files)))),
    ):
        pass
