"""The setup of Swift reports what is missing and leaves nothing running."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import swift


def test_missing_packages_are_named_with_the_command_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(swift.SwiftMissing, match=r"swift-proxy-server.*as root: tests/servers/install-swift\.sh"):
        swift.start(tmp_path / "swift")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_extended_attributes_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.setxattr", unsupported)
    with pytest.raises(swift.SwiftMissing, match=r"no extended attributes \(Operation not supported\).*ext4"):
        swift._check_attributes(tmp_path)


@pytest.mark.real_store
def test_started_servers_are_stopped(tmp_path: Path) -> None:
    try:
        running = swift.start(tmp_path / "swift")
    except swift.SwiftMissing as missing:
        pytest.skip(str(missing))
    swift.stop(tmp_path / "swift")
    assert not [pid for pid in running.pids if Path(f"/proc/{pid}").exists()]
    swift.stop(tmp_path / "swift")
