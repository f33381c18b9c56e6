from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from raytl.batch_inference.driver import predict_in_parts
from raytl.batch_inference.output import Output
from raytl.batch_inference.places import PartOptions
from raytl.batch_inference.record import SUMMARY_FORMAT
from raytl.batch_inference.result import BatchPredictions
from raytl.config.machine import Machine
from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError, DataError, Denied, RunError, UserError
from raytl.evaluation.predict import predict
from raytl.events import Message, Recorder, Work, ignore
from raytl.store.lease import held
from raytl.store.open import open_store
from raytl.store.s3_settings import ENVIRONMENT

HERE = PartOptions(workers=1, part_size=8)


def in_parts(model: Path, photos: Any, out: Any, parts: PartOptions = HERE, **options: Any) -> BatchPredictions:
    return predict_in_parts(model, photos, out=out, parts=parts, batch_size=4, **options)


def tables(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in sorted(out.glob("part-*.parquet"))])


def upload(client: Any, bucket: str, folder: Path, prefix: str = "in") -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            key = str(file.relative_to(folder)).replace("\n", " ")  # moto knows no keys of several lines
            client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=file.read_bytes())


def test_parts_are_together_what_a_local_predict_writes(model: Path, photos: Path, tmp_path: Path) -> None:
    watcher, out = Recorder(), tmp_path / "out"
    whole = predict(model, photos, out=tmp_path / "whole.parquet", batch_size=4)
    found = in_parts(model, photos, f"{out}/", on_event=watcher)
    assert pq.read_table(tmp_path / "whole.parquet").equals(tables(out))
    assert (found.photos, found.counts, found.unreadable) == (29, whole.counts, whole.unreadable)
    assert [Path(part).name for part in found.parts] == [f"part-0000{i}.parquet" for i in range(4)]
    assert found.weights == whole.weights and found.retained == 0
    assert [event.done for event in watcher.events if isinstance(event, Work)][-1] == 30


def test_readers_of_folders_see_the_tables_alone(model: Path, photos: Path, tmp_path: Path) -> None:
    in_parts(model, photos, tmp_path / "out")
    assert ds.dataset(tmp_path / "out", format="parquet").to_table().num_rows == 29
    unreadable = pq.read_table(tmp_path / "out" / "_unreadable.parquet").to_pylist()
    assert [Path(each["path"]).name for each in unreadable] == ["005.jpg"]
    assert "broken image" in unreadable[0]["reason"]


def test_the_summary_is_written_last_and_says_what_there_is(model: Path, photos: Path, tmp_path: Path) -> None:
    found = in_parts(model, photos, tmp_path / "out")
    summary = SUMMARY_FORMAT.load(tmp_path / "out" / "_SUCCESS")
    newest = max(
        (file for file in (tmp_path / "out").glob("[!.]*") if file.is_file()), key=lambda f: f.stat().st_mtime_ns
    )
    assert newest.name == "_SUCCESS"
    assert (summary.photos, summary.unreadable, summary.rows, summary.unit) == (29, 1, 29, "photos")
    assert summary.weights == found.weights and summary.run == str(model)
    assert [part.photos for part in summary.parts] == [7, 8, 8, 6]


def test_finished_parts_are_kept_and_lost_ones_predicted_again(model: Path, photos: Path, tmp_path: Path) -> None:
    out, watcher = tmp_path / "out", Recorder()
    in_parts(model, photos, out)
    before = tables(out)
    (out / "part-00002.parquet").unlink()
    (out / "_parts" / "part-00001.json").unlink()
    (out / "part-00000.parquet").write_bytes(b"something else")
    (out / "_SUCCESS").unlink()
    times = {file: file.stat().st_mtime_ns for file in out.glob("part-00003.parquet")}
    found = in_parts(model, photos, out, on_event=watcher)
    assert found.retained == 1 and (found.photos, len(found.unreadable)) == (29, 1)
    assert tables(out).equals(before)
    assert {file: file.stat().st_mtime_ns for file in times} == times
    told = [event.text for event in watcher.events if isinstance(event, Message)]
    assert told == [f"{out}: 1 of 4 parts are finished; predicting the other 3"]


def test_an_output_that_lacks_its_summary_alone_gets_it_without_ray(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts(model, photos, tmp_path / "out")
    whole = (tmp_path / "out" / "_SUCCESS").read_bytes()
    (tmp_path / "out" / "_SUCCESS").unlink()  # a process was killed after the last part
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("raytl.batch_inference.run.session", None)
    again = in_parts(model, photos, tmp_path / "out", PartOptions(workers=2, part_size=8))
    assert (again.retained, again.photos) == (4, 29)
    assert (tmp_path / "out" / "_SUCCESS").read_bytes() == whole


def test_an_output_that_lost_a_part_has_no_summary_until_it_is_whole_again(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    in_parts(model, photos, out)
    (out / "part-00002.parquet").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("raytl.batch_inference.part.answers_of", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            in_parts(model, photos, out)
    assert not (out / "_SUCCESS").exists()
    assert in_parts(model, photos, out).retained == 3 and (out / "_SUCCESS").exists()


def test_a_finished_output_is_left_alone(model: Path, photos: Path, tmp_path: Path) -> None:
    first = in_parts(model, photos, tmp_path / "out")
    again = in_parts(model, photos, tmp_path / "out")
    assert (again.retained, again.counts, again.unreadable) == (4, first.counts, first.unreadable)


def test_another_plan_is_refused_and_new_starts_anew(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    in_parts(model, photos, out)
    with pytest.raises(UserError, match=r"(?s)another plan.*part_size: 8 then, 12 now"):
        in_parts(model, photos, out, PartOptions(workers=1, part_size=12))
    os.utime(photos / "red" / "000.jpg", ns=(1, 1))
    with pytest.raises(UserError, match=r"(?s)another plan.*photos: other photos, or changed ones; .*part-00002"):
        in_parts(model, photos, out)
    assert in_parts(model, photos, out, PartOptions(1, 12, new=True)).retained == 0
    assert len(list(out.glob("part-*"))) == len(list((out / "_parts").glob("part-*.json"))) == 3


def test_an_output_with_other_objects_is_refused_also_with_new(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("ten years")
    for new in (False, True):
        with pytest.raises(UserError, match=r"(?s)found 1 other objects, expected nothing.*thesis\.txt"):
            in_parts(model, photos, out, PartOptions(1, 8, new))
    assert (out / "thesis.txt").exists()


def test_a_table_that_the_plan_does_not_have_is_refused_and_new_removes_it(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    in_parts(model, photos, out)
    (out / "part-00099.parquet").write_bytes((out / "part-00000.parquet").read_bytes())
    with pytest.raises(
        UserError, match=r"(?s)found 1 parts that this batch does not have, expected its 4:.*part-00099"
    ):
        in_parts(model, photos, out)
    in_parts(model, photos, out, PartOptions(1, 8, new=True))
    assert tables(out).num_rows == 29


def test_a_changed_summary_and_a_lost_list_are_written_again(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = in_parts(model, photos, out)
    whole = (out / "_SUCCESS").read_bytes()
    changed = json.loads(whole)
    changed["parts"][0]["name"] = "../../elsewhere"
    (out / "_SUCCESS").write_text(json.dumps({**changed, "photos": 999}))
    (out / "_unreadable.parquet").unlink()
    again = in_parts(model, photos, out)
    assert (again.parts, again.photos, again.retained) == (first.parts, 29, 4)
    assert (out / "_SUCCESS").read_bytes() == whole and (out / "_unreadable.parquet").exists()
    written = (out / "_SUCCESS").stat().st_mtime_ns
    in_parts(model, photos, out)
    assert (out / "_SUCCESS").stat().st_mtime_ns == written


def test_a_table_that_was_left_for_a_part_without_photos_is_deleted(model: Path, photos: Path, tmp_path: Path) -> None:
    for i in range(8):
        (photos / "blue" / f"00{i}.jpg").write_bytes(b"no photo")
    out = tmp_path / "out"
    in_parts(model, photos, out)
    (out / "part-00000.parquet").write_bytes((out / "part-00001.parquet").read_bytes())
    assert in_parts(model, photos, out).retained == 3
    assert not (out / "part-00000.parquet").exists()


def test_parts_without_a_plan_are_refused(model: Path, photos: Path, tmp_path: Path) -> None:
    in_parts(model, photos, tmp_path / "out")
    (tmp_path / "out" / "_plan.json").unlink()
    with pytest.raises(UserError, match=r"found parts without _plan\.json"):
        in_parts(model, photos, tmp_path / "out")


@pytest.mark.parametrize("change", [{"part": "0" * 64}, {"photos": 3}, {"unreadable": [[99, "no"]]}, {"etag": "other"}])
def test_a_receipt_that_does_not_fit_is_not_believed(
    model: Path, photos: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    file = tmp_path / "out" / "_parts" / "part-00001.json"
    in_parts(model, photos, tmp_path / "out")
    before = tables(tmp_path / "out")
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert in_parts(model, photos, tmp_path / "out").retained == 3
    assert tables(tmp_path / "out").equals(before)


def test_a_damaged_plan_or_receipt_is_an_error_with_what_to_do(model: Path, photos: Path, tmp_path: Path) -> None:
    in_parts(model, photos, tmp_path / "out")
    for name in ("_parts/part-00001.json", "_plan.json"):
        (tmp_path / "out" / name).write_text('{"digest": "../../etc", "parts": 7}')
        with pytest.raises(RunError, match=rf"{name}.*\. Start anew there with --new"):
            in_parts(model, photos, tmp_path / "out")
    assert in_parts(model, photos, tmp_path / "out", PartOptions(1, 8, new=True)).photos == 29


def test_when_no_photo_can_be_read_there_is_no_summary(model: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for i in range(10):
        (bad / f"{i}.jpg").write_bytes(b"no photo")
    with pytest.raises(DataError, match="none of 10 photos could be read"):
        in_parts(model, bad, tmp_path / "out")
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert not list((tmp_path / "out").glob("part-*"))


def test_a_part_of_unreadable_photos_has_no_table(model: Path, photos: Path, tmp_path: Path) -> None:
    for i in range(8):
        (photos / "blue" / f"00{i}.jpg").write_bytes(b"no photo")
    whole = predict(model, photos, out=tmp_path / "whole.parquet", batch_size=4)
    found = in_parts(model, photos, tmp_path / "out")
    assert [Path(part).name for part in found.parts] == [f"part-0000{i}.parquet" for i in (1, 2, 3)]
    assert tables(tmp_path / "out").equals(pq.read_table(tmp_path / "whole.parquet"))
    assert found.unreadable == whole.unreadable and len(found.unreadable) == 8
    assert in_parts(model, photos, tmp_path / "out").retained == 4


def test_a_second_driver_is_refused(model: Path, photos: Path, tmp_path: Path) -> None:
    with (
        held(open_store(f"{tmp_path}/out/_lease")),
        pytest.raises(RunError, match=r"another raytl \(pid \d+ on .*\) is writing there"),
    ):
        in_parts(model, photos, tmp_path / "out")


def test_more_workers_than_cpus_and_workers_without_ray_are_refused(model: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--workers: 999 actors of 1 CPU each do not fit"):
        in_parts(model, photos, tmp_path / "out", PartOptions(workers=999))
    alone = Machine(compute=ComputeConfig(cluster="none"))
    with pytest.raises(
        ConfigError, match=r"--workers 2: several workers need Ray; expected 1 with compute\.cluster none"
    ):
        in_parts(model, photos, tmp_path / "out", PartOptions(workers=2), machine=alone)
    assert not (tmp_path / "out").exists()


@pytest.mark.s3
def test_a_prefix_is_predicted_into_another(
    model: Path, photos: Path, tmp_path: Path, bucket: str, s3_client: Any
) -> None:
    upload(s3_client, bucket, photos)
    s3_client.put_object(Bucket=bucket, Key="in/notes.txt", Body=b"x")
    whole = predict(model, f"s3://{bucket}/in/", out=tmp_path / "whole.parquet", batch_size=4)
    found = in_parts(model, f"s3://{bucket}/in/", f"s3://{bucket}/out/")
    assert found.left_out == whole.left_out and len(found.left_out) == 1
    keys = [each["Key"] for each in s3_client.list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]]
    assert [key for key in keys if key.endswith(".parquet")] == [
        "out/_unreadable.parquet", *(f"out/part-0000{i}.parquet" for i in range(4))
    ]  # fmt: skip
    bodies = [s3_client.get_object(Bucket=bucket, Key=part.partition(f"{bucket}/")[2])["Body"] for part in found.parts]
    parts = pa.concat_tables([pq.read_table(pa.BufferReader(body.read())) for body in bodies])
    assert parts.equals(pq.read_table(tmp_path / "whole.parquet"))
    assert f's3://{bucket}/in/red/new line, "ü" .jpg' in parts["path"].to_pylist()
    s3_client.put_object(Bucket=bucket, Key="in/green/000.jpg", Body=(photos / "red" / "000.jpg").read_bytes())
    with pytest.raises(UserError, match=r"(?s)photos: other photos, or changed ones.*part-00001"):
        in_parts(model, f"s3://{bucket}/in/", f"s3://{bucket}/out/")


@pytest.mark.s3
def test_a_photo_that_is_deleted_meanwhile_is_listed(
    model: Path, photos: Path, tmp_path: Path, bucket: str, s3_client: Any
) -> None:
    upload(s3_client, bucket, photos)

    def delete(event: Any) -> None:
        if isinstance(event, Work) and event.done == 8:
            s3_client.delete_object(Bucket=bucket, Key="in/red/000.jpg")

    found = in_parts(model, f"s3://{bucket}/in/", f"{tmp_path}/out/", on_event=delete)
    assert [each.path for each in found.unreadable] == [
        f"s3://{bucket}/in/blue/005.jpg",
        f"s3://{bucket}/in/red/000.jpg",
    ]


@pytest.mark.s3
def test_a_manifest_in_a_bucket_names_the_photos(
    model: Path, photos: Path, tmp_path: Path, bucket: str, s3_client: Any
) -> None:
    upload(s3_client, bucket, photos)
    s3_client.put_object(Bucket=bucket, Key="in/some.csv", Body=b"path\nred/000.jpg\ngreen/001.jpg\n")
    found = in_parts(model, f"s3://{bucket}/in/some.csv", f"s3://{bucket}/out/")
    assert found.photos == 2


@pytest.mark.s3
def test_an_empty_prefix_and_a_missing_bucket_are_errors(
    model: Path, photos: Path, tmp_path: Path, bucket: str, s3_client: Any
) -> None:
    with pytest.raises(DataError, match="no such object; expected a prefix"):
        in_parts(model, f"s3://{bucket}/nothing/", f"s3://{bucket}/out/")
    with pytest.raises(Exception, match="no-such-bucket"):
        in_parts(model, photos, "s3://no-such-bucket/out/")


def test_an_output_without_permission_fails_before_any_photo(
    model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Any, key: str, content: bytes, expected: str | None = None) -> Any:
        raise Denied(f"{self.uri}/{key}: access denied")

    monkeypatch.setattr("raytl.store.local.LocalStore.put_bytes", denied)
    monkeypatch.setattr("raytl.batch_inference.part.answers_of", None)
    with pytest.raises(Denied, match="_lease"):
        in_parts(model, photos, tmp_path / "out")


def test_a_run_that_changed_meanwhile_is_noticed(model: Path, photos: Path, tmp_path: Path) -> None:
    from raytl.batch_inference.part import Job, Options
    from raytl.store.lease import WriteToken

    output = Output(f"{tmp_path}/out", ENVIRONMENT)
    job = Job(str(model), "0" * 64, "1" * 64, Machine(), Options(), 4, output, WriteToken(output.uri, "x", 1))
    with pytest.raises(RunError, match=r"expected 000000000000, .* the run changed meanwhile"):
        job.predictor(ignore)
