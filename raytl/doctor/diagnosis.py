"""Findings from measurements: pure functions that report equal machines in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from raytl.doctor.bucket import BucketProbe
from raytl.doctor.finding import Examination, FailedCheck, Finding, Level
from raytl.doctor.links import Link
from raytl.doctor.machine import Disk, Gpu, MachineReport

GB = 10**9
SKEW_WARN_S, SKEW_ERROR_S = 2.0, 300.0
"""Stores reject requests whose signing time is off by more than 5 (Swift) to 15 minutes."""
STORE_SKEW_WARN_S = 5.0
MIN_FREE_GB = {"cache": (5.0, 20.0), "temporary files": (1.0, 5.0), "shared memory": (0.25, 2.0)}
"""An error below the first value, a warning below the second."""
MIN_OPEN_FILES, LOW_OPEN_FILES = 1024, 16384
SLOW_BETWEEN, SLOW_WITHIN = 125e6, 250e6
"""Bytes per second: 1 Gbit/s, below which even small networks spend more time on gradients than on the step."""
SLOW_READ, SLOW_LIST_S = 10e6, 2.0
_MIN_SAMPLE_BYTES = 4 << 20
_MAX_NAMES = 3


def findings(examination: Examination) -> list[Finding]:
    """Return all findings, errors first; equal machines share a line, so that the table fits one screen."""
    uris = list(dict.fromkeys(each.uri for each in examination.probes))
    results = [
        *_failed(examination.failed),
        *(_machines(examination.machines) if examination.machines else ()),  # else none has answered
        *_links(examination),
        *(finding for uri in uris for finding in bucket(uri, [each for each in examination.probes if each.uri == uri])),
    ]
    order: dict[Level, int] = {"error": 0, "warn": 1, "ok": 2}
    return sorted(results, key=lambda finding: order[finding.level])


def _machines(machines: Sequence[MachineReport]) -> Iterator[Finding]:
    yield from _versions(machines)
    yield from _gpus(machines)
    yield from _clocks(machines)
    yield from _disks(machines)
    yield from _files(machines)


def _failed(checks: Sequence[FailedCheck]) -> Iterator[Finding]:
    for each in checks:
        missing = "No module named" in each.reason
        yield Finding(
            "error",
            each.check,
            f"{each.node}: {each.reason}",
            "an answer",
            "install the same raytl and packages there"
            if missing
            else "check that the machine is up and its ports are open to the others (`ray status` lists the nodes)",
        )


def _versions(machines: Sequence[MachineReport]) -> Iterator[Finding]:
    own = machines[0]
    missing = [name for name, version in own.versions.items() if version is None]
    if missing:
        yield Finding(
            "error", "versions", f"{own.name}: missing {', '.join(missing)}", "all packages", "reinstall raytl"
        )
    versions = ", ".join(f"{name} {version}" for name, version in own.versions.items() if version)
    differing = [machine for machine in machines if machine.versions != own.versions]
    for machine in differing:
        others = [
            (name, machine.versions.get(name), version)
            for name, version in own.versions.items()
            if machine.versions.get(name) != version
        ]
        yield Finding(
            "error",
            "versions",
            f"{machine.name}: " + ", ".join(f"{name} {version or 'missing'}" for name, version, _ in others),
            ", ".join(f"{name} {version or 'missing'}" for name, _, version in others) + f", as on {own.name}",
            "use one image for all machines, or `raytl submit`, which uploads this raytl",
        )
    if not differing and not missing:
        yield Finding("ok", "versions", f"{versions}{_on_all(machines)}")


def _gpus(machines: Sequence[MachineReport]) -> Iterator[Finding]:
    for machine in machines:
        for number, gpu in enumerate(machine.gpus):
            yield from _gpu_faults(machine, number, gpu)
    for error, names in _nodes_by_text((machine.gpu_error, machine.name) for machine in machines):
        advice = "repair the NVIDIA driver there, or reboot after its update: until then, training runs on CPUs"
        yield Finding("error", "GPUs", f"{names}: nvidia-smi failed: {error}", "the GPUs of the machine", advice)
    drivers = sorted({gpu.driver for machine in machines for gpu in machine.gpus})
    if len(drivers) > 1:
        yield Finding(
            "warn", "GPUs", f"drivers {', '.join(drivers)}", "one driver version", "use one image for all machines"
        )
    kinds = sorted({gpu.name for machine in machines for gpu in machine.gpus})
    if len(kinds) > 1:
        yield Finding("warn", "GPUs", ", ".join(kinds), "one GPU type", "the slowest GPU limits all workers")
    counts = [len(machine.gpus) for machine in machines]
    if not any(counts) and not any(machine.gpu_error for machine in machines):
        yield Finding("ok", "GPUs", f"none; training runs on CPUs ({', '.join(str(m.cpus) for m in machines)})")
    elif any(counts):
        memory = min(gpu.memory_mib for machine in machines for gpu in machine.gpus) / 1024
        yield Finding(
            "ok", "GPUs", f"{'+'.join(map(str, counts))} {' / '.join(kinds)}, {memory:.0f} GiB, driver {drivers[0]}"
        )


def _gpu_faults(machine: MachineReport, number: int, gpu: Gpu) -> Iterator[Finding]:
    where = f"{machine.name}, GPU {number} ({gpu.name})"
    if gpu.ecc_errors:
        yield Finding(
            "error",
            "GPUs",
            f"{where}: {gpu.ecc_errors} uncorrected ECC errors",
            "none",
            "drain this node and reset the GPU",
        )
    if gpu.throttled:
        yield Finding(
            "warn",
            "GPUs",
            f"{where}: throttled by its hardware",
            "full clock speed",
            "check its cooling and power supply",
        )


def _links(examination: Examination) -> Iterator[Finding]:
    if examination.within:
        worst = min(examination.within, key=lambda link: link.bytes_per_s)
        slowest = f", the slowest of {len(examination.within)}" if len(examination.within) > 1 else ""
        yield _link(
            worst,
            f"network within {worst.nodes[0]}{slowest}",
            SLOW_WITHIN,
            "free its CPU cores, or use larger machines",
        )
    if examination.between is not None:
        where = f"network between {len(examination.between.nodes)} machines"
        yield _link(examination.between, where, SLOW_BETWEEN, "put the workers on one machine, or use a faster network")


def _link(link: Link, where: str, slow: float, advice: str) -> Finding:
    if link.error:
        return Finding(
            "error",
            where,
            link.error,
            "connected workers",
            "check the machine's load: its processes did not start in time"
            if len(set(link.nodes)) == 1
            else "open all ports between the machines; with several interfaces, set GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME",
        )
    measured = f"{link.bytes_per_s / 1e6:,.0f} MB/s ({link.backend}, {link.bytes / 1e6:.0f} MB in {link.seconds:.2f} s)"
    if link.bytes_per_s >= slow:
        return Finding("ok", where, measured)
    return Finding("warn", where, measured, f"{slow / 1e6:.0f} MB/s", advice)


def bucket(uri: str, probes: Sequence[BucketProbe]) -> list[Finding]:
    """Return the findings of all machines' probes of one bucket."""
    results = []
    for error, nodes in _nodes_by_text((each.error, each.node) for each in probes):
        advice = "check the URI, and the credentials and network of these machines"
        results.append(Finding("error", uri, f"from {nodes}: {error}", "a listing", advice))
    for write_error, nodes in _nodes_by_text((each.write_error, each.node) for each in probes):
        advice = "grant these machines s3:PutObject, s3:GetObject and s3:DeleteObject"
        results.append(
            Finding("error", uri, f"from {nodes}: {write_error}", "write access, because runs are stored there", advice)
        )
    reachable = [each for each in probes if not each.error]
    if reachable and all(each.lacks_data for each in reachable):
        results.append(Finding("error", uri, "no objects", "images", "check the URI, or upload the images"))
    elif reachable:
        results.append(_speed(uri, reachable))
    for each in reachable:
        if each.skew_s is not None and abs(each.skew_s) > STORE_SKEW_WARN_S:
            level = _skew_level(each.skew_s)
            skew = f"{each.node}'s clock is {each.skew_s:+.0f} s off the store's"
            results.append(
                Finding(level, uri, skew, f"less than {STORE_SKEW_WARN_S:.0f} s", "run chrony or ntpd there")
            )
    return results


def _speed(uri: str, probes: Sequence[BucketProbe]) -> Finding:
    """Return the finding of the slowest machine."""
    list_s = max(each.list_s for each in probes)
    written = [each.write_s for each in probes if each.write_s is not None]
    read = [each for each in probes if each.read_bytes]
    slowest = min(read, key=lambda each: each.read_rate, default=None)
    many = f", the slowest of {len(probes)} machines" if len(probes) > 1 else ""
    facts = [f"{probes[0].objects:,}{'+' if probes[0].more else ''} objects, listed in {list_s:.2f} s"]
    facts += [f"1 kB written and read in {max(written):.2f} s"] if written else []
    facts += (
        [f"read {slowest.read_rate / 1e6:,.0f} MB/s ({slowest.read_bytes / 1e6:.1f} MB)"]
        if slowest
        else ["nothing to read"]
    )
    measured = "; ".join(facts) + many
    if list_s <= SLOW_LIST_S and (
        slowest is None or slowest.read_bytes < _MIN_SAMPLE_BYTES or slowest.read_rate >= SLOW_READ
    ):
        return Finding("ok", uri, measured)
    expected = f"{SLOW_READ / 1e6:.0f} MB/s, a listing within {SLOW_LIST_S:.0f} s"
    return Finding(
        "warn", uri, measured, expected, "use a bucket in the machines' region, or run `raytl sync` before training"
    )


def _nodes_by_text(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return each distinct text with the nodes that reported it; empty texts are skipped."""
    nodes_of: dict[str, list[str]] = {}
    for text, node in pairs:
        if text:
            nodes_of.setdefault(text, []).append(node)
    return [
        (text, f"{len(nodes)} machines" if len(nodes) > _MAX_NAMES else ", ".join(nodes))
        for text, nodes in nodes_of.items()
    ]


def _skew_level(skew_s: float) -> Level:
    return "error" if abs(skew_s) > SKEW_ERROR_S else "warn"


def _clocks(machines: Sequence[MachineReport]) -> Iterator[Finding]:
    skewed = [machine for machine in machines if abs(machine.skew_s) - machine.skew_error_s > SKEW_WARN_S]
    for machine in skewed:
        yield Finding(
            _skew_level(machine.skew_s),
            "clocks",
            f"{machine.name}: {machine.skew_s:+.1f} s off {machines[0].name}",
            f"less than {SKEW_WARN_S:.0f} s",
            "run chrony or ntpd there",
        )
    if not skewed and len(machines) > 1:
        largest = max(abs(machine.skew_s) + machine.skew_error_s for machine in machines)
        yield Finding("ok", "clocks", f"less than {max(largest, 0.001):.3f} s apart")


def _disks(machines: Sequence[MachineReport]) -> Iterator[Finding]:
    free_gb: dict[str, float] = {}
    for machine in machines:
        for disk in machine.disks:
            finding = _disk(machine, disk)
            if finding is None:
                free_gb[disk.use] = min(free_gb.get(disk.use, float("inf")), disk.free_bytes / GB)
            else:
                yield finding
    if free_gb:
        yield Finding(
            "ok", "free space", ", ".join(f"{use} {free:,.1f} GB" for use, free in free_gb.items()) + _on_all(machines)
        )


def _disk(machine: MachineReport, disk: Disk) -> Finding | None:
    minimum, low = MIN_FREE_GB[disk.use]
    free = disk.free_bytes / GB
    if free >= low:
        return None
    advice = {
        "cache": "free some space, or set RAYTL_CACHE to a larger disk",
        "temporary files": "free some space: Ray stores its sessions there",
        "shared memory": "enlarge the container's /dev/shm: --shm-size=8g; in Kubernetes, an emptyDir with medium: Memory",
    }[disk.use]
    where = f"{machine.name}: {free:.1f} GB free of {disk.total_bytes / GB:.1f} at {disk.path}"
    return Finding("error" if free < minimum else "warn", f"free space: {disk.use}", where, f"{low:g} GB", advice)


def _files(machines: Sequence[MachineReport]) -> Iterator[Finding]:
    limited = [machine for machine in machines if machine.open_files < LOW_OPEN_FILES]
    for machine in limited:
        yield Finding(
            "error" if machine.open_files < MIN_OPEN_FILES else "warn",
            "open files",
            f"{machine.name}: at most {machine.open_files:,}",
            f"{LOW_OPEN_FILES:,}",
            "raise the limit: ulimit -n, LimitNOFILE=, --ulimit nofile=65536",
        )
    if not limited:
        yield Finding(
            "ok", "open files", f"at most {min(machine.open_files for machine in machines):,}{_on_all(machines)}"
        )


def _on_all(machines: Sequence[MachineReport]) -> str:
    return f", on all {len(machines)} machines" if len(machines) > 1 else ""
