"""No more bytes are read than a limit allows, whatever size a source announces."""

from __future__ import annotations

import io

import pytest

from raytl.store.counted import ByteCount, Counted, TooManyBytes, read_up_to


class Endless:
    """A source of zeros."""

    given = 0

    def read(self, size: int) -> bytes:
        self.given += size
        return bytes(size)


@pytest.mark.parametrize("size", [-1, 1, 64, 10**9])
def test_a_source_without_an_end_is_read_to_one_byte_above_the_bound(size: int) -> None:
    source = Endless()
    counted = Counted(source, ByteCount(1000))
    with pytest.raises(TooManyBytes, match="more than 1,000 bytes received"):
        list(iter(lambda: counted.read(size), b""))
    assert source.given == 1001


def test_bytes_that_are_skipped_count() -> None:
    with pytest.raises(TooManyBytes, match="more than 1,000 bytes received"):
        Counted(Endless(), ByteCount(1000)).seek(5000)


def test_streams_share_a_count() -> None:
    count = ByteCount(10)
    assert Counted(io.BytesIO(b"12345"), count).read() == b"12345"
    assert count.left == 5
    with pytest.raises(TooManyBytes, match="more than 10 bytes received"):
        Counted(io.BytesIO(b"123456"), count).read()


def test_a_source_within_the_limit_is_read_whole() -> None:
    assert read_up_to(io.BytesIO(bytes(5 << 20)), 5 << 20) == bytes(5 << 20)
    counted = Counted(io.BytesIO(b"0123456789"), ByteCount(10))
    assert (counted.read(2), counted.seek(5), counted.read(2), counted.seek(99), counted.read(1)) == (
        b"01",
        5,
        b"56",
        10,
        b"",
    )
