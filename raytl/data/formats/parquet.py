"""Read the rows of a Parquet file; it can repeat a 1 GB cell in a few bytes, so bytes are counted before expansion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from raytl.data.formats.cells import CHUNK_ROWS, MAX_ROWS, Cells
from raytl.data.formats.columns import columns_of
from raytl.errors import DataError
from raytl.store.counted import BOMB_BYTES, BOMB_RATIO, ByteCount, TooManyBytes

_CELL_BYTES = 64
"""Memory of an empty cell."""


def parquet_cells(file: Path, given: frozenset[str], labeled: bool) -> Iterator[Cells]:
    """Yield the needed columns of a file; `given` are those defined by the names of its folders.

    Raises:
        DataError: it is not a Parquet file, has too many rows, lacks a column, or inflates to over 100 times its size.
    """
    import pyarrow as pa

    try:
        yield from _chunks(file, given, labeled)
    except pa.ArrowException as exc:
        raise DataError(f"{file}: not a Parquet file ({exc})") from exc
    except TooManyBytes as exc:
        raise DataError(
            f"{file}: its rows inflate to more than {BOMB_RATIO} times its size; expected one short path per row. Rewrite the table"
        ) from exc


def _chunks(file: Path, given: frozenset[str], labeled: bool) -> Iterator[Cells]:
    import pyarrow.parquet as pq

    count = ByteCount(max(BOMB_BYTES, BOMB_RATIO * file.stat().st_size))
    with pq.ParquetFile(file) as opened:
        total = opened.metadata.num_rows
        if total > MAX_ROWS:
            raise DataError(f"{file}: the table has {total:,} rows; expected at most {MAX_ROWS:,}")
        names = opened.schema_arrow.names
        places = columns_of(file, names, given, labeled).places
        selected = [names[place] for place in places if place >= 0]
        texts = _texts_in(opened, selected, count)
    done = 0
    with pq.ParquetFile(file, read_dictionary=texts) as opened:  # repeated cells share memory until they are counted
        for batch in opened.iter_batches(CHUNK_ROWS, columns=selected):
            empty = [None] * batch.num_rows
            paths, labels, splits = (
                _values(batch.column(names[place]), count) if place >= 0 else empty for place in places
            )
            numbers = range(done + 1, done + 1 + batch.num_rows)
            done += batch.num_rows
            yield Cells(numbers, paths, labels, splits, done / total)


def _texts_in(opened: Any, selected: Sequence[str], count: ByteCount) -> list[str]:
    """Return the columns of variable-length text, and count the bytes of fixed-length columns."""
    columns = [opened.schema.column(place) for place in range(len(opened.schema))]
    columns = [column for column in columns if column.path in selected]
    count.add(sum(max(0, column.length) for column in columns) * opened.metadata.num_rows)
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _values(column: Any, count: ByteCount) -> list[Any]:
    """Return the cells of a column after counting their bytes, repeated cells each time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    count.add(len(column) * _CELL_BYTES)
    if not pa.types.is_dictionary(column.type):
        count.add(column.nbytes)
        return list(column.to_pylist())
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
    count.add(pc.sum(lengths).as_py() or 0)
    text = column.cast(column.type.value_type)
    is_text = pa.types.is_string(text.type) or pa.types.is_large_string(text.type)
    return list(text.to_numpy(zero_copy_only=False) if is_text else text.to_pylist())  # ten times faster for text
