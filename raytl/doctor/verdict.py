"""What an examination means: pure functions from values to findings, one line for all machines where they agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from raytl.doctor.bucket import Reached
from raytl.doctor.finding import Examination, Finding, Level, Silent
from raytl.doctor.links import Link
from raytl.doctor.machine import Disk, Gpu, Machine

GB = 10**9
SKEW_WARN_S, SKEW_ERROR_S = 2.0, 300.0
"""Stores refuse requests that are signed 5 (Swift) to 15 minutes away from their own clock."""
STORE_SKEW_WARN_S = 5.0
LEAST_FREE_GB = {"cache": (5.0, 20.0), "temporary files": (1.0, 5.0), "shared memory": (0.25, 2.0)}
"""An error below the first, a warning below the second."""
LEAST_FILES, FEW_FILES = 1024, 16384
SLOW_BETWEEN, SLOW_WITHIN = 125e6, 250e6
"""Bytes a second: 1 Gbit/s, below which gradients of even small networks take longer than their step."""
SLOW_READ, SLOW_LIST_S = 10e6, 2.0
_TELLING_BYTES = 4 << 20
_NAMED = 3


def findings(seen: Examination) -> list[Finding]:
    """Everything that was found, what is wrong first; one line for all machines that are alike, so that it stays one screen."""
    uris = list(dict.fromkeys(each.uri for each in seen.reached))
    found = [
        *_silent(seen.silent),
        *_versions(seen.machines),
        *_gpus(seen.machines),
        *_links(seen),
        *(finding for uri in uris for finding in bucket(uri, [each for each in seen.reached if each.uri == uri])),
        *_clocks(seen.machines),
        *_disks(seen.machines),
        *_files(seen.machines),
    ]
    order: dict[Level, int] = {"error": 0, "warn": 1, "ok": 2}
    return sorted(found, key=lambda finding: order[finding.level])


def _silent(silent: Sequence[Silent]) -> Iterator[Finding]:
    for each in silent:
        missing = "No module named" in each.reason
        yield Finding(
            "error",
            each.what,
            f"{each.node}: {each.reason}",
            "an answer",
            "install the same raytl and packages there"
            if missing
            else "look whether the machine is up and its ports open to the others (`ray status` lists the nodes)",
        )


def _versions(machines: Sequence[Machine]) -> Iterator[Finding]:
    own = machines[0]
    missing = [name for name, version in own.versions.items() if version is None]
    if missing:
        yield Finding(
            "error", "versions", f"{own.name} lacks {', '.join(missing)}", "all of them", "install raytl again"
        )
    told = ", ".join(f"{name} {version}" for name, version in own.versions.items() if version)
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
            f"{machine.name}: " + ", ".join(f"{name} {there or 'missing'}" for name, there, _ in others),
            ", ".join(f"{name} {here or 'missing'}" for name, _, here in others) + f", as on {own.name}",
            "use one image for all machines, or `raytl submit`, which brings this raytl along",
        )
    if not differing and not missing:
        yield Finding("ok", "versions", f"{told}{_on_all(machines)}")


def _gpus(machines: Sequence[Machine]) -> Iterator[Finding]:
    for machine in machines:
        for number, gpu in enumerate(machine.gpus):
            yield from _ill(machine, number, gpu)
    drivers = sorted({gpu.driver for machine in machines for gpu in machine.gpus})
    if len(drivers) > 1:
        yield Finding("warn", "GPUs", f"drivers {', '.join(drivers)}", "one driver", "use one image for all machines")
    kinds = sorted({gpu.name for machine in machines for gpu in machine.gpus})
    if len(kinds) > 1:
        yield Finding("warn", "GPUs", ", ".join(kinds), "one kind", "the slowest sets the pace of all workers")
    counts = [len(machine.gpus) for machine in machines]
    if not any(counts):
        yield Finding("ok", "GPUs", f"none, so training is on CPUs ({', '.join(str(m.cpus) for m in machines)})")
    else:
        memory = min(gpu.memory_mib for machine in machines for gpu in machine.gpus) / 1024
        yield Finding(
            "ok", "GPUs", f"{'+'.join(map(str, counts))} {' / '.join(kinds)}, {memory:.0f} GiB, driver {drivers[0]}"
        )


def _ill(machine: Machine, number: int, gpu: Gpu) -> Iterator[Finding]:
    where = f"{machine.name}, GPU {number} ({gpu.name})"
    if gpu.ecc_errors:
        yield Finding(
            "error",
            "GPUs",
            f"{where}: {gpu.ecc_errors} uncorrected memory errors",
            "none",
            "drain this node; reset the GPU",
        )
    if gpu.slowed:
        yield Finding(
            "warn", "GPUs", f"{where}: slowed by its hardware", "full clocks", "look at its cooling and power"
        )


def _links(seen: Examination) -> Iterator[Finding]:
    if seen.within:
        worst = min(seen.within, key=lambda link: link.bytes_per_s)
        slowest = f", the slowest of {len(seen.within)}" if len(seen.within) > 1 else ""
        yield _link(
            worst, f"network within {worst.nodes[0]}{slowest}", SLOW_WITHIN, "free its cores, or use larger machines"
        )
    if seen.between is not None:
        where = f"network between {len(seen.between.nodes)} machines"
        yield _link(seen.between, where, SLOW_BETWEEN, "put the workers on one machine, or use a faster network")


def _link(link: Link, where: str, slow: float, advice: str) -> Finding:
    if link.error:
        return Finding(
            "error",
            where,
            link.error,
            "workers that meet",
            "look at the machine's load: its processes did not start in time"
            if len(set(link.nodes)) == 1
            else "open all ports between the machines; more than one interface: set GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME",
        )
    found = f"{link.bytes_per_s / 1e6:,.0f} MB/s ({link.backend}, {link.bytes / 1e6:.0f} MB in {link.seconds:.2f} s)"
    if link.bytes_per_s >= slow:
        return Finding("ok", where, found)
    return Finding("warn", where, found, f"{slow / 1e6:.0f} MB/s", advice)


def bucket(uri: str, reached: Sequence[Reached]) -> list[Finding]:
    """What the machines' reach for one bucket means."""
    found = []
    for error, nodes in _alike((each.error, each.node) for each in reached):
        advice = "check the URI, and the credentials and network of these machines"
        found.append(Finding("error", uri, f"from {nodes}: {error}", "a listing", advice))
    for refused, nodes in _alike((each.refused, each.node) for each in reached):
        advice = "give these machines' role s3:PutObject, s3:GetObject and s3:DeleteObject"
        found.append(Finding("error", uri, f"from {nodes}: {refused}", "leave to write, where runs are kept", advice))
    if there := [each for each in reached if not each.error]:
        found.append(_speed(uri, there))
    for each in there:
        if each.skew_s is not None and abs(each.skew_s) > STORE_SKEW_WARN_S:
            level = _far(each.skew_s)
            told = f"{each.node}'s clock is {each.skew_s:+.0f} s from the store's"
            found.append(Finding(level, uri, told, f"less than {STORE_SKEW_WARN_S:.0f} s", "run chrony or ntpd there"))
    return found


def _speed(uri: str, reached: Sequence[Reached]) -> Finding:
    """How the slowest machine fares."""
    list_s = max(each.list_s for each in reached)
    written = [each.write_s for each in reached if each.write_s is not None]
    read = [each for each in reached if each.read_bytes]
    slowest = min(read, key=lambda each: each.read_rate, default=None)
    many = f", the slowest of {len(reached)} machines" if len(reached) > 1 else ""
    told = [f"{reached[0].objects:,}{'+' if reached[0].more else ''} objects, listed in {list_s:.2f} s"]
    told += [f"1 kB there and back in {max(written):.2f} s"] if written else []
    told += (
        [f"read {slowest.read_rate / 1e6:,.0f} MB/s ({slowest.read_bytes / 1e6:.1f} MB)"]
        if slowest
        else ["nothing to read"]
    )
    found = "; ".join(told) + many
    if list_s <= SLOW_LIST_S and (
        slowest is None or slowest.read_bytes < _TELLING_BYTES or slowest.read_rate >= SLOW_READ
    ):
        return Finding("ok", uri, found)
    expected = f"{SLOW_READ / 1e6:.0f} MB/s, a listing within {SLOW_LIST_S:.0f} s"
    return Finding(
        "warn", uri, found, expected, "use a bucket in the machines' own region; `raytl sync` before training"
    )


def _alike(said: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What was said, each once, with who said it; what is empty was not."""
    who: dict[str, list[str]] = {}
    for text, node in said:
        if text:
            who.setdefault(text, []).append(node)
    return [
        (text, f"{len(nodes)} machines" if len(nodes) > _NAMED else ", ".join(nodes)) for text, nodes in who.items()
    ]


def _far(skew_s: float) -> Level:
    return "error" if abs(skew_s) > SKEW_ERROR_S else "warn"


def _clocks(machines: Sequence[Machine]) -> Iterator[Finding]:
    off = [machine for machine in machines if abs(machine.skew_s) - machine.skew_error_s > SKEW_WARN_S]
    for machine in off:
        yield Finding(
            _far(machine.skew_s),
            "clocks",
            f"{machine.name}: {machine.skew_s:+.1f} s from {machines[0].name}",
            f"less than {SKEW_WARN_S:.0f} s",
            "run chrony or ntpd there",
        )
    if not off and len(machines) > 1:
        most = max(abs(machine.skew_s) + machine.skew_error_s for machine in machines)
        yield Finding("ok", "clocks", f"less than {max(most, 0.001):.3f} s apart")


def _disks(machines: Sequence[Machine]) -> Iterator[Finding]:
    fine: dict[str, float] = {}
    for machine in machines:
        for disk in machine.disks:
            found = _disk(machine, disk)
            if found is None:
                fine[disk.use] = min(fine.get(disk.use, float("inf")), disk.free_bytes / GB)
            else:
                yield found
    if fine:
        yield Finding(
            "ok", "free room", ", ".join(f"{use} {free:,.1f} GB" for use, free in fine.items()) + _on_all(machines)
        )


def _disk(machine: Machine, disk: Disk) -> Finding | None:
    least, little = LEAST_FREE_GB[disk.use]
    free = disk.free_bytes / GB
    if free >= little:
        return None
    advice = {
        "cache": "make room, or set RAYTL_CACHE to a larger disk",
        "temporary files": "make room: Ray keeps its sessions there",
        "shared memory": "give the container more: --shm-size=8g; in Kubernetes an emptyDir with medium: Memory",
    }[disk.use]
    where = f"{machine.name}: {free:.1f} GB free of {disk.total_bytes / GB:.1f} at {disk.path}"
    return Finding("error" if free < least else "warn", f"free room: {disk.use}", where, f"{little:g} GB", advice)


def _files(machines: Sequence[Machine]) -> Iterator[Finding]:
    few = [machine for machine in machines if machine.open_files < FEW_FILES]
    for machine in few:
        yield Finding(
            "error" if machine.open_files < LEAST_FILES else "warn",
            "open files",
            f"{machine.name}: at most {machine.open_files:,}",
            f"{FEW_FILES:,}",
            "raise it: ulimit -n, LimitNOFILE=, --ulimit nofile=65536",
        )
    if not few:
        yield Finding(
            "ok", "open files", f"at most {min(machine.open_files for machine in machines):,}{_on_all(machines)}"
        )


def _on_all(machines: Sequence[Machine]) -> str:
    return f", on all {len(machines)} machines" if len(machines) > 1 else ""
