"""Findings from measurements: tables of values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytl.cluster.on_each_node import results_within
from raytl.doctor.bucket import BucketProbe
from raytl.doctor.diagnosis import findings
from raytl.doctor.finding import Examination, FailedCheck, Finding
from raytl.doctor.links import Link
from raytl.doctor.machine import Disk, Gpu, MachineReport, gpu_of

GB = 10**9
VERSIONS: dict[str, str | None] = {"python": "3.11.7", "raytl": "0.1.0 (code aa)", "ray": "2.60.0"}
DISKS = (
    Disk("cache", "/c", 100 * GB, 200 * GB),
    Disk("temporary files", "/tmp", 100 * GB, 200 * GB),
    Disk("shared memory", "/dev/shm", 8 * GB, 8 * GB),
)
A = MachineReport("10.0.0.1, here", VERSIONS, 8, 32 * GB, (), DISKS, 65536)
B = replace(A, name="10.0.0.2")
H200 = Gpu("H200", 143771, "570.1", 0, False)
LINK = Link(("a", "b"), "gloo", 32 << 20, 0.03)
PROBE = BucketProbe("a", "s3://x", 0.1, 10, False, 0.1, "", 8 << 20, 0.1, 0.3)


def wrong(examination: Examination) -> list[Finding]:
    return [finding for finding in findings(examination) if finding.level != "ok"]


def disks(use: str, free_gb: float) -> tuple[Disk, ...]:
    return tuple(replace(disk, free_bytes=int(free_gb * GB)) if disk.use == use else disk for disk in DISKS)


def test_without_problems_each_check_is_one_line() -> None:
    examination = Examination((A, B), (LINK, LINK), LINK, (PROBE, replace(PROBE, node="b")))
    assert not wrong(examination)
    observed = {finding.check: finding.observed for finding in findings(examination)}
    assert observed["versions"] == "python 3.11.7, raytl 0.1.0 (code aa), ray 2.60.0, on all 2 machines"
    assert observed["GPUs"] == "none; training runs on CPUs (8, 8)"
    assert observed["s3://x"].endswith("read 84 MB/s (8.4 MB), the slowest of 2 machines")
    assert len(findings(examination)) == 8


def test_sixty_four_equal_machines_fit_one_screen() -> None:
    many = tuple(replace(A, name=f"10.0.0.{number}") for number in range(64))
    probes = tuple(replace(PROBE, node=each.name, error="s3://x: 403") for each in many)
    examination = Examination(many, tuple(LINK for _ in many), LINK, probes)
    assert len(findings(examination)) <= 10
    assert "from 64 machines: s3://x: 403" in [finding.observed for finding in wrong(examination)]


@pytest.mark.parametrize(
    ("examination", "level", "check", "observed", "advice"),
    [
        pytest.param(
            Examination((A, replace(B, versions={**VERSIONS, "ray": "2.59.0"}))),
            "error", "versions", "10.0.0.2: ray 2.59.0", "one image", id="another ray",
        ),
        pytest.param(
            Examination((A, replace(B, versions={**VERSIONS, "raytl": None}))),
            "error", "versions", "10.0.0.2: raytl missing", "raytl submit", id="no raytl there",
        ),
        pytest.param(
            Examination((replace(A, versions={**VERSIONS, "ray": None}),)),
            "error", "versions", "10.0.0.1, here: missing ray", "reinstall raytl", id="no ray here",
        ),
        pytest.param(
            Examination((A,), failed=(FailedCheck("machine", "b", "no answer within 60 s"),)),
            "error", "machine", "b: no answer within 60 s", "ports", id="a silent machine",
        ),
        pytest.param(
            Examination((A,), failed=(FailedCheck("s3://x", "b", "ModuleNotFoundError: No module named 'boto3'"),)),
            "error", "s3://x", "b: ModuleNotFoundError", "install", id="a machine without packages",
        ),
        pytest.param(
            Examination((replace(A, gpus=(replace(H200, ecc_errors=3),)),)),
            "error", "GPUs", "10.0.0.1, here, GPU 0 (H200): 3 uncorrected", "drain", id="broken memory",
        ),
        pytest.param(
            Examination((replace(A, gpu_error="Driver/library version mismatch"),)),
            "error", "GPUs", "10.0.0.1, here: nvidia-smi failed: Driver/library", "repair", id="a broken driver",
        ),
        pytest.param(
            Examination((replace(A, gpus=(replace(H200, throttled=True),)),)),
            "warn", "GPUs", "GPU 0 (H200): throttled", "cooling", id="a hot GPU",
        ),
        pytest.param(
            Examination((replace(A, gpus=(H200,)), replace(B, gpus=(replace(H200, driver="535.2"),)))),
            "warn", "GPUs", "drivers 535.2, 570.1", "one image", id="two drivers",
        ),
        pytest.param(
            Examination((replace(A, gpus=(H200, replace(H200, name="T4"))),)),
            "warn", "GPUs", "H200, T4", "slowest", id="two kinds of GPU",
        ),
        pytest.param(
            Examination((A,), within=(LINK, replace(LINK, seconds=1.0))),
            "warn", "network within a, the slowest of 2", "34 MB/s (gloo", "cores", id="slow within",
        ),
        pytest.param(
            Examination((A, B), between=replace(LINK, seconds=1.0)),
            "warn", "network between 2 machines", "34 MB/s (gloo", "faster network", id="slow between",
        ),
        pytest.param(
            Examination((A, B), between=Link(("a", "b"), "gloo", error="b: timed out")),
            "error", "network between 2 machines", "b: timed out", "GLOO_SOCKET_IFNAME", id="no way between",
        ),
        pytest.param(
            Examination((A,), within=(Link(("a", "a"), "gloo", error="a: no answer within 120 s"),)),
            "error", "network within a", "a: no answer", "load", id="a machine that is too busy",
        ),
        pytest.param(
            Examination((A,), probes=(replace(PROBE, error="s3://x: no such bucket"),)),
            "error", "s3://x", "from a: s3://x: no such bucket", "credentials", id="no bucket",
        ),
        pytest.param(
            Examination((A,), probes=(replace(PROBE, write_error="read-only: 403", write_s=None),)),
            "error", "s3://x", "from a: read-only: 403", "s3:PutObject", id="read only",
        ),
        pytest.param(
            Examination((A,), probes=(replace(PROBE, objects=0, write_s=None, read_bytes=0),)),
            "error", "s3://x", "no objects", "URI", id="no data",
        ),
        pytest.param(
            Examination((A,), probes=(replace(PROBE, read_s=10.0),)),
            "warn", "s3://x", "read 1 MB/s", "region", id="a slow bucket",
        ),
        pytest.param(
            Examination((A,), probes=(replace(PROBE, list_s=3.0),)),
            "warn", "s3://x", "listed in 3.00 s", "region", id="a slow listing",
        ),
        pytest.param(
            Examination((A,), probes=(replace(PROBE, skew_s=-30.0),)),
            "warn", "s3://x", "a's clock is -30 s off the store's", "chrony", id="a clock off the store's",
        ),
        pytest.param(
            Examination((A,), probes=(replace(PROBE, skew_s=400.0),)),
            "error", "s3://x", "a's clock is +400 s off the store's", "chrony", id="a clock that stores refuse",
        ),
        pytest.param(
            Examination((A, replace(B, skew_s=3.0, skew_error_s=0.1))),
            "warn", "clocks", "10.0.0.2: +3.0 s off 10.0.0.1", "chrony", id="a clock off",
        ),
        pytest.param(
            Examination((A, replace(B, skew_s=-600.0, skew_error_s=0.1))),
            "error", "clocks", "10.0.0.2: -600.0 s", "chrony", id="a clock far off",
        ),
        pytest.param(
            Examination((replace(A, disks=disks("cache", 12)),)),
            "warn", "free space: cache", "12.0 GB free of 200.0 at /c", "RAYTL_CACHE", id="little room",
        ),
        pytest.param(
            Examination((replace(A, disks=disks("cache", 1)),)),
            "error", "free space: cache", "1.0 GB free", "RAYTL_CACHE", id="no room",
        ),
        pytest.param(
            Examination((replace(A, disks=disks("shared memory", 0.064)),)),
            "error", "free space: shared memory", "0.1 GB free", "--shm-size", id="a container's shared memory",
        ),
        pytest.param(
            Examination((replace(A, open_files=4096),)),
            "warn", "open files", "at most 4,096", "ulimit", id="few files",
        ),
        pytest.param(
            Examination((replace(A, open_files=256),)),
            "error", "open files", "at most 256", "ulimit", id="too few files",
        ),
    ],
)  # fmt: skip
def test_each_problem_is_a_finding_with_advice(
    examination: Examination, level: str, check: str, observed: str, advice: str
) -> None:
    (one,) = wrong(examination)
    assert (one.level, one.check) == (level, check)
    assert observed in one.observed
    assert advice in one.advice
    assert one.expected
    assert findings(examination)[0] == one, "problems come first"


@pytest.mark.parametrize(
    "examination",
    [
        Examination((A, replace(B, skew_s=3.0, skew_error_s=2.5))),
        Examination((A,), probes=(replace(PROBE, read_bytes=1000, read_s=1.0),)),
        Examination((A,), probes=(replace(PROBE, skew_s=None, write_s=None),)),
        Examination((A,), probes=(replace(PROBE, objects=0, read_bytes=0),)),
        Examination((replace(A, gpus=(replace(H200, ecc_errors=None),)),)),
    ],
    ids=[
        "a clock that answered slowly",
        "too little read",
        "a store without a clock",
        "no runs yet",
        "a GPU without ECC",
    ],
)
def test_an_inconclusive_measurement_is_no_finding(examination: Examination) -> None:
    assert not wrong(examination)


def test_without_an_answer_of_any_machine_the_silence_is_the_finding() -> None:
    (one,) = findings(Examination((), failed=(FailedCheck("machine", "a", "no answer within 60 s"),)))
    assert (one.level, one.observed) == ("error", "a: no answer within 60 s")
    assert results_within([], 1.0) == []


def test_a_link_carries_what_a_ring_moves() -> None:
    assert Link(("a", "b"), "gloo", 100, 1.0).bytes_per_s == 100
    assert Link(tuple("abcd"), "gloo", 100, 1.0).bytes_per_s == 150
    assert Link(("a",), "gloo", error="x").bytes_per_s == 0


@pytest.mark.parametrize(
    ("row", "gpu"),
    [
        (["H200", "143771", "570.1", "0", "Not Active"], H200),
        (["H200", "143771", "570.1", "7", "Active"], replace(H200, ecc_errors=7, throttled=True)),
        (["T4", "15360", "535", "[N/A]", "[N/A]"], Gpu("T4", 15360, "535", None, False)),
        (["GH200", "[N/A]", "570", "[N/A]", "Not Active"], Gpu("GH200", 0, "570", None, False)),
    ],
)
def test_a_row_of_nvidia_smi(row: list[str], gpu: Gpu) -> None:
    assert gpu_of(row) == gpu
