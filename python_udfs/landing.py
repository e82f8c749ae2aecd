"""Read landing files as Arrow streams: the dbt-duckdb plugin behind the ``landing`` sources.

A staging model first says which files it wants (``landing_plan``, a DuckDB function that its
pre-hook calls), then selects from two sources that stream them:

``<input>_lines``
    ``.jsonl`` and ``.jsonl.gz`` files line by line, and those Parquet files whose column types
    differ from the contract, each row rendered as a line of JSON.
``<input>_rows``
    all other Parquet files, with typed columns; they never pass through JSON.

After the lines of a file comes one row with ``line_number`` 0: the reader's own report of it,
how many complete lines it holds and what was wrong with it. So whatever a file is like, a
build goes on, keeps every line that can be read, and knows what could not.
"""

from __future__ import annotations

import json
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

try:
    from dbt.adapters.duckdb.plugins import BasePlugin
except ImportError:  # a worker of Spark reads files without dbt
    BasePlugin = object

BLOCK_BYTES = 4 << 20
#: A longer line is not kept in memory: its beginning is, and is rejected as no JSON.
MOST_LINE_BYTES = 16 << 20
KEPT_LINE_BYTES = 1000
#: Logs shrink to a tenth or so. A .gz that unpacks to more than this many times its size is none,
#: once it is large enough to matter.
MOST_UNPACKED_TIMES = 200
UNPACKED_BYTES_THAT_MATTER = 64 << 20
BATCH_BYTES = 8 << 20
#: What a batch of Parquet rows may need where all of them hold the longest text of its dictionary.
MOST_BATCH_BYTES = 64 << 20
#: As of a .gz, but Parquet stores what repeats once and packs better.
MOST_PARQUET_TIMES = 1000
PARQUET_BYTES_THAT_MATTER = 256 << 20
#: No Parquet file of distinct requests has more rows than bytes; small ones may.
ROWS_THAT_MATTER = 1_000_000
BATCH_ROWS = 65_536
LANDING_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
EPOCH = datetime(1970, 1, 1)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NEWLINE = 10
#: Half of an escaped UTF-16 pair, as JavaScript and Python write it for a cut-off emoji. It would
#: make the whole line no JSON. A backslash that is itself escaped begins no escape.
LONE_SURROGATE = re.compile(
    rb"(?<!\\)((?:\\\\)*)"
    rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)

REPORT_FIELDS = [
    pa.field("file_path", pa.string()),
    pa.field("line_number", pa.int64()),
    pa.field("file_line_count", pa.int64()),
    pa.field("file_problem", pa.string()),
]
LINES_SCHEMA = pa.schema([*REPORT_FIELDS, pa.field("line", pa.large_string())])


# What a file turned out to be


@dataclass
class FileReport:
    """What the reader says of one file once it has been read."""

    line_count: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def problem(self) -> str | None:
        """The problems in words, or None."""
        return "; ".join(self.problems) or None


def report_batch(path: str, report: FileReport, schema: pa.Schema) -> pa.RecordBatch:
    """One row with ``line_number`` 0 that carries ``report``; all other columns are null."""
    columns = {
        "file_path": pa.array([path], pa.string()),
        "line_number": pa.array([0], pa.int64()),
        "file_line_count": pa.array([report.line_count], pa.int64()),
        "file_problem": pa.array([report.problem], pa.string()),
    }
    arrays = [columns.get(name, pa.nulls(1, schema.field(name).type)) for name in schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


# Text files


class RefusedFileError(OSError):
    """A landing file that is not opened, or not read on; its text says why."""


@contextmanager
def opened(path: Path, root: Path | None = None) -> Iterator[BinaryIO]:
    """Open a landing file, if it is a plain file within ``root``.

    Parameters
    ----------
    path : Path
        The file.
    root : Path, optional
        The folder that links may not lead out of.

    Raises
    ------
    OSError
        If it cannot be opened, or may not be.
    """
    resolved = path.resolve()
    if root is not None and not resolved.is_relative_to(root.resolve()):
        raise RefusedFileError("it is a link that leads out of its folder")
    if not resolved.exists() and "\\x" in path.name:
        raise RefusedFileError("its name is no UTF-8; rename it")
    # A pipe must not make the build wait for somebody who writes to it.
    descriptor = os.open(resolved, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise RefusedFileError("it is a link to a folder; those are not followed")
        if not stat.S_ISREG(mode):
            raise RefusedFileError("it is no plain file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read_blocks(path: Path, report: FileReport, root: Path | None = None) -> Iterator[bytes]:
    """Yield the uncompressed bytes of a text file block by block.

    A gzip file may have several members. Where it is cut off or damaged, what could be
    decompressed before is yielded and the problem is noted in ``report``.
    """
    try:
        with opened(path, root) as file:
            if path.suffix != ".gz":
                while block := file.read(BLOCK_BYTES):
                    yield block
                return
            yield from unpacked_blocks(file, report)
    except zlib.error as error:
        report.problems.append(f"damaged gzip file ({error})")
    except (OSError, RuntimeError) as error:
        # Path.resolve() calls links that go round in a circle a RuntimeError.
        report.problems.append(f"cannot be read ({getattr(error, 'strerror', None) or error})")


def unpacked_blocks(file: BinaryIO, report: FileReport) -> Iterator[bytes]:
    """Yield what a gzip file holds, in blocks of bounded size."""
    inflate = None
    unpacked = 0
    while block := file.read(BLOCK_BYTES):
        while block:
            inflate = inflate or zlib.decompressobj(wbits=31)
            part = inflate.decompress(block, BLOCK_BYTES)
            unpacked += len(part)
            yield part
            block = inflate.unconsumed_tail or inflate.unused_data
            if inflate.eof:
                inflate = None
                # Writers may pad the end of a member with zero bytes.
                block = block.lstrip(b"\0")
            if unpacked > max(
                UNPACKED_BYTES_THAT_MATTER, MOST_UNPACKED_TIMES * (file.tell() - len(block))
            ):
                raise RefusedFileError(
                    f"it unpacks to more than {MOST_UNPACKED_TIMES} times its size, as no log does"
                )
    if inflate is not None:
        report.problems.append("gzip file is cut off")


def complete_lines(path: Path, report: FileReport, root: Path | None = None) -> Iterator[bytes]:
    """Yield the bytes of a text file in blocks that end with a newline.

    An unterminated last line is still being written: it is left out and noted. Of a line that is
    longer than ``MOST_LINE_BYTES`` only the beginning is yielded, with a note that makes it no
    JSON.
    """
    rest = b""
    #: Bytes of the line that `rest` is the beginning of which were dropped.
    dropped = 0
    is_first = True
    for block in read_blocks(path, report, root):
        if dropped:
            end = block.find(b"\n")
            if end < 0:
                dropped += len(block)
                continue
            block = cut_off(rest, len(rest) + dropped + end, report) + block[end:]
            rest, dropped = b"", 0
        block = rest + block
        if is_first and len(block) >= len(BYTE_ORDER_MARK):
            block = block.removeprefix(BYTE_ORDER_MARK)
            is_first = False
        first = block.find(b"\n")
        if first > MOST_LINE_BYTES:
            block = cut_off(block[:KEPT_LINE_BYTES], first, report) + block[first:]
        end = block.rfind(b"\n") + 1
        if end:
            yield block[:end]
        rest = block[end:]
        if len(rest) > MOST_LINE_BYTES:
            dropped = len(rest) - KEPT_LINE_BYTES
            rest = rest[:KEPT_LINE_BYTES]
    if rest.strip() or dropped:
        report.problems.append(
            f"last line is incomplete ({len(rest) + dropped} bytes wait for its end)"
        )


def cut_off(beginning: bytes, size: int, report: FileReport) -> bytes:
    """Stand in for a line of ``size`` bytes that is too long, and note it once in the report."""
    problem = f"holds lines of more than {MOST_LINE_BYTES} bytes, which are cut off"
    if problem not in report.problems:
        report.problems.append(problem)
    return beginning + f"... (cut off; the line has {size} bytes)".encode()


def split_lines(block: bytes) -> tuple[pa.Array, np.ndarray]:
    r"""Split a block that ends with a newline.

    Returns
    -------
    lines : pa.Array of large_string
        The lines without their newline, blank ones left out. Bytes that are not UTF-8 are
        escaped (``\xff``), which is not JSON, so that such a line is rejected, not lost.
    positions : ndarray of int64
        The place of each of them among all lines of the block, from 0.
    """
    if b"\\ud" in block or b"\\uD" in block:
        block = LONE_SURROGATE.sub(rb"\1\\ufffd", block)
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == NEWLINE)
    try:
        block.decode()
    except UnicodeDecodeError:
        escaped = [
            line.decode(errors="backslashreplace").encode() for line in block[:-1].split(b"\n")
        ]
        block = b"\n".join(escaped) + b"\n"
        ends = np.cumsum([len(line) + 1 for line in escaped]) - 1
    starts = np.concatenate([[0], ends[:-1] + 1])
    # The newline stays in the buffer between two lines: an array needs one offset per end,
    # so each line takes its newline along and is trimmed by Arrow, outside the GIL.
    offsets = np.concatenate([starts, [len(block)]]).astype(np.int64)
    lines = pa.Array.from_buffers(
        pa.large_string(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(block)]
    )
    lines = pc.ascii_trim(lines, " \t\r\n")
    is_filled = pc.not_equal(pc.binary_length(lines), 0)
    if pc.all(is_filled).as_py():
        return lines, np.arange(len(ends))
    return lines.filter(is_filled), np.flatnonzero(is_filled.to_numpy(zero_copy_only=False))


def text_batches(path: Path, name: str, root: Path | None = None) -> Iterator[pa.RecordBatch]:
    """Yield a text file's lines as batches of ``LINES_SCHEMA``, then its report."""
    report = FileReport()
    seen = 0
    for block in complete_lines(path, report, root):
        lines, positions = split_lines(block)
        yield lines_batch(name, lines, seen + positions + 1)
        seen += block.count(b"\n")
        report.line_count += len(lines)
    yield report_batch(name, report, LINES_SCHEMA)


def lines_batch(name: str, lines: pa.Array, line_numbers: np.ndarray) -> pa.RecordBatch:
    """Make a batch of ``LINES_SCHEMA`` from the lines of one file."""
    size = len(lines)
    return pa.RecordBatch.from_arrays(
        [
            pa.repeat(pa.scalar(name, pa.string()), size),
            pa.array(line_numbers, pa.int64()),
            pa.nulls(size, pa.int64()),
            pa.nulls(size, pa.string()),
            lines,
        ],
        schema=LINES_SCHEMA,
    )


# Parquet files

is_text = pa.types.is_string, pa.types.is_large_string
is_whole = (pa.types.is_integer,)
is_numeric = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
is_class = (*is_text, pa.types.is_integer)
is_category = (*is_class, pa.types.is_boolean)

#: For each kind of value: the Arrow types that are read as they are, and the type they become.
KINDS: dict[str, tuple[tuple[Callable[[pa.DataType], bool], ...], pa.DataType]] = {
    "text": (is_text, pa.string()),
    "integer": (is_whole, pa.int64()),
    "number": (is_numeric, pa.float64()),
    "instant": ((pa.types.is_timestamp,), pa.timestamp("us")),
    "class": (is_class, pa.string()),
    "category": (is_category, pa.string()),
    "boolean": ((pa.types.is_boolean,), pa.string()),
}

EVENT_COLUMNS = {
    "request_id": "text",
    "model": "text",
    "model_version": "text",
    "role": "text",
    "ts": "instant",
    "status": "integer",
    "latency_ms": "number",
    "inference_time_ms": "number",
    "score": "number",
    "prediction": "class",
}
#: What the streaming path reads: no score, features or attributes.
STREAMED_COLUMNS = {
    name: kind for name, kind in EVENT_COLUMNS.items() if name not in ("score", "prediction")
}
LABEL_COLUMNS = {
    "request_id": "text",
    "model": "text",
    "labeled_at": "instant",
}
#: Objects of any shape: kept as JSON text by the main path, skipped by the streaming one.
EVENT_OBJECTS = ("upstream", "preprocessing")
#: Columns that are only checked.
EVENT_UNKEPT = ("feature_hash", "trace_id")


@dataclass(frozen=True)
class Shape:
    """The typed columns of a ``_rows`` source.

    Attributes
    ----------
    columns : dict of str to kind
        Top-level columns.
    structs : dict of str to (str, dict of str to kind)
        For each struct of the result: the column that it is read from, and its fields.
    objects : tuple of str
        Top-level structs and maps that are read as JSON text, whatever they hold.
    label : bool
        Whether a column ``label`` is read, as ``label_number`` or ``label_text``.
    """

    columns: dict[str, str]
    structs: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    label: bool = False

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the source."""
        fields = [pa.field(name, KINDS[kind][1]) for name, kind in self.columns.items()]
        if self.label:
            fields += [
                pa.field("label_number", pa.float64()),
                pa.field("label_text", pa.string()),
            ]
        for name, (_, members) in self.structs.items():
            fields.append(pa.field(name, struct_type(members)))
        fields += [pa.field(name, pa.string()) for name in self.objects]
        return pa.schema([*REPORT_FIELDS, *fields])

    def wanted(self, names: list[str]) -> list[str]:
        """Those of the columns of a file that are read."""
        sources = {source for source, members in self.structs.values() if members}
        kept = {*self.columns, *sources, *self.objects, *(["label"] if self.label else [])}
        return [name for name in names if name in kept]

    def fits(self, schema: pa.Schema) -> bool:
        """Whether a file of this schema can be read without passing through JSON."""
        if len(set(schema.names)) < len(schema.names):
            return False
        types = {name: schema.field(name).type for name in schema.names}
        for name, kind in self.columns.items():
            if name in types and not is_readable(types[name], kind):
                return False
        if self.label:
            found = types.get("label", pa.null())
            if not (is_readable(found, "number") or is_readable(found, "text")):
                return False
        for source, members in self.structs.values():
            found = types.get(source, pa.null())
            if pa.types.is_null(found):
                continue
            if not pa.types.is_struct(found):
                return False
            inner = {found.field(i).name: found.field(i).type for i in range(found.num_fields)}
            for name, kind in members.items():
                if name in inner and not is_readable(inner[name], kind):
                    return False
        return all(
            is_untyped_readable(name, types[name])
            for name in (*EVENT_OBJECTS, *EVENT_UNKEPT)
            if name in types
        )


def struct_type(members: dict[str, str]) -> pa.StructType:
    """Struct of ``members``; an empty struct is not allowed, so it gets a field `(none)`."""
    fields = [pa.field(name, KINDS[kind][1]) for name, kind in members.items()]
    return pa.struct(fields or [pa.field("(none)", pa.string())])


def is_readable(found: pa.DataType, kind: str) -> bool:
    """Whether a column of type ``found`` is read as ``kind`` without a look at each value."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    return pa.types.is_null(found) or any(check(found) for check in KINDS[kind][0])


def is_untyped_readable(name: str, found: pa.DataType) -> bool:
    """Whether every value of a column without a kind is valid by its type alone."""
    if pa.types.is_null(found):
        return True
    if name in EVENT_OBJECTS:
        return pa.types.is_struct(found) or pa.types.is_map(found)
    return name == "trace_id" and is_readable(found, "text")


def as_kind(values: pa.Array, kind: str) -> pa.Array:
    """Convert a readable column to the type of its kind."""
    target = KINDS[kind][1]
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kind == "instant" and not pa.types.is_null(values.type):
        # Without a zone it is UTC by contract; with one, Arrow already stores UTC.
        return values.cast(pa.timestamp(values.type.unit)).cast(target, safe=False)
    return values.cast(target, safe=False)


def as_json(values: pa.Array) -> pa.Array:
    """Render structs or maps as JSON text, null where they are.

    DuckDB does it thirty times faster than Python, but refuses what JSON would take, such as a map
    with a key twice.
    """
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), pa.string())
    try:
        with duckdb.connect(config={"threads": 1}) as connection:
            rows = connection.from_arrow(pa.table({"value": values}))
            found = rows.project("to_json(value)::varchar as text").to_arrow_table()
            return found["text"].combine_chunks().cast(pa.string())
    except (duckdb.Error, pa.ArrowException):
        is_map = pa.types.is_map(values.type)
        objects = [dict(row) if is_map and row else row for row in values.to_pylist()]
        return pa.array(
            [None if row is None else json.dumps(row, default=json_value) for row in objects],
            pa.string(),
        )


def typed_batch(batch: pa.RecordBatch, name: str, first: int, shape: Shape) -> pa.RecordBatch:
    """Turn rows of a Parquet file that fits ``shape`` into a batch of its schema."""
    size = batch.num_rows
    schema = shape.schema
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    made: dict[str, pa.Array] = {
        "file_path": pa.repeat(pa.scalar(name, pa.string()), size),
        "line_number": pa.array(np.arange(first, first + size), pa.int64()),
    }
    for column, kind in shape.columns.items():
        if column in columns:
            made[column] = as_kind(columns[column], kind)
    if shape.label and "label" in columns:
        label = columns["label"]
        kind = "number" if is_readable(label.type, "number") else "text"
        made[f"label_{kind}"] = as_kind(label, kind)
    for struct, (source, members) in shape.structs.items():
        found = columns.get(source)
        if found is None or not pa.types.is_struct(found.type) or not members:
            continue
        names = [found.type.field(i).name for i in range(found.type.num_fields)]
        # flatten() gives a null child where the struct itself is null; field() would not.
        inner = dict(zip(names, found.flatten(), strict=True))
        made[struct] = pa.StructArray.from_arrays(
            [
                as_kind(inner[member], kind) if member in inner else pa.nulls(size, KINDS[kind][1])
                for member, kind in members.items()
            ],
            fields=list(struct_type(members)),
        )
    for column in shape.objects:
        if column in columns:
            made[column] = as_json(columns[column])
    arrays = [made.get(field.name, pa.nulls(size, field.type)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def json_value(value: Any) -> Any:
    """Render what JSON has no type for, for ``json.dumps(default=...)``."""
    if isinstance(value, datetime):
        # Without a zone it is UTC by contract, as in a file that fits.
        instant = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return instant.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value)


def parquet_batches(
    path: Path, name: str, shape: Shape, as_lines: bool, root: Path | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file, typed or as lines of JSON, then its report."""
    report = FileReport()
    try:
        with opened(path, root) as plain, pq.ParquetFile(plain) as file:
            size, unpacked = path.stat().st_size, 0
            refuse_a_bomb(file, size)
            wanted = None if as_lines else shape.wanted(file.schema_arrow.names)
            for batch in parquet_parts(plain, file, wanted):
                unpacked += batch.nbytes
                if unpacked > max(PARQUET_BYTES_THAT_MATTER, MOST_PARQUET_TIMES * size):
                    raise RefusedFileError(
                        f"it unpacks to more than {MOST_PARQUET_TIMES} times its size, as no log"
                        " does"
                    )
                first = report.line_count + 1
                if as_lines:
                    rendered = [
                        json.dumps(row, default=json_value, ensure_ascii=False)
                        .encode(errors="backslashreplace")
                        .decode()
                        for row in batch.to_pylist()
                    ]
                    numbers = np.arange(first, first + len(rendered))
                    yield lines_batch(name, pa.array(rendered, pa.large_string()), numbers)
                else:
                    yield typed_batch(batch, name, first, shape)
                report.line_count += batch.num_rows
    except RefusedFileError as error:
        report.problems.append(f"cannot be read ({error})")
    except PARQUET_FAILURES as error:
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        report.problems.append(f"cannot be read as Parquet ({problem})")
    yield report_batch(name, report, LINES_SCHEMA if as_lines else shape.schema)


#: RecursionError: types or values that are nested too deeply. It is a RuntimeError, as is what
#: Path.resolve() says of links that go round in a circle.
PARQUET_FAILURES = pa.ArrowException, OSError, ValueError, RuntimeError


def refuse_a_bomb(file: pq.ParquetFile, size: int) -> None:
    """Refuse a file with more rows than bytes: a few of them can say "the same a billion times"."""
    rows = file.metadata.num_rows
    if rows > max(ROWS_THAT_MATTER, size):
        raise RefusedFileError(f"it has {rows} rows in {size} bytes, as no log does")


def parquet_parts(
    plain: BinaryIO, file: pq.ParquetFile, wanted: list[str] | None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file in batches of bounded size.

    A text that repeats is stored once, and is unfolded in each row: a few kilobytes can become any
    number of gigabytes. So fewer rows at once are read where the texts of a dictionary are long.
    """
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    folded = pq.ParquetFile(plain, read_dictionary=texts)
    for group in range(file.num_row_groups):
        longest = 1
        for batch in folded.iter_batches(1, row_groups=[group], columns=wanted):
            longest = max(longest, *map(longest_text, batch.columns), 1)
            break
        if longest > MOST_LINE_BYTES:
            raise RefusedFileError(f"it holds texts of more than {MOST_LINE_BYTES} bytes")
        size = min(BATCH_ROWS, MOST_BATCH_BYTES // longest)
        yield from file.iter_batches(size, row_groups=[group], columns=wanted)


def longest_text(values: pa.Array) -> int:
    """Size in bytes of the longest text in the dictionaries of a column, fields included."""
    if pa.types.is_dictionary(values.type):
        return pc.max(pc.binary_length(values.dictionary)).as_py() or 0
    if pa.types.is_struct(values.type):
        return max(map(longest_text, values.flatten()), default=0)
    if pa.types.is_map(values.type):
        return max(longest_text(values.keys), longest_text(values.items))
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        return longest_text(values.values)
    return 0


def fits(path: Path, shape: Shape, root: Path | None = None) -> bool:
    """Whether a Parquet file can be read typed; a damaged one is reported by its reader."""
    try:
        with opened(path, root) as file:
            return shape.fits(pq.read_schema(file))
    except PARQUET_FAILURES:
        return False


# Which files there are


def recent_files(folder: Path, name: str, since: datetime) -> list[dict[str, Any]]:
    """List the landing files of an input that were written at some moment or later.

    Looks at a folder's entries only: 40,000 files take an eighth of a second. DuckDB opens each of
    them to learn its size, which takes ten times as long.

    Parameters
    ----------
    folder : Path
        The landing folder.
    name : str
        The input, a folder in it.
    since : datetime
        In UTC, without a zone.

    Returns
    -------
    list of dict
        ``file_path``, relative to ``folder`` (so that the same files elsewhere give the same
        tables), ``file_size`` and ``modified_at``, in UTC without a zone.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    found = []
    oldest = since.replace(tzinfo=UTC).timestamp()
    waiting = [str(folder / name)]
    while waiting:
        # Only a folder that is not there is empty: one that cannot be read must not look so.
        with suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                # What vanishes while the folder is read was not there.
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.name.endswith(LANDING_SUFFIXES) or is_folder(entry):
                        # A link to a folder is not followed, but it is no secret either.
                        status = status_of(entry)
                        if status.st_mtime >= oldest:
                            found.append(
                                {
                                    "file_path": as_text(os.path.relpath(entry.path, folder)),
                                    "file_size": status.st_size,
                                    "modified_at": as_moment(status.st_mtime_ns),
                                }
                            )
    return found


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; a link in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def status_of(entry: os.DirEntry) -> os.stat_result:
    """Status of a file; of a link to a folder, or that cannot be followed, the link's own."""
    try:
        return entry.stat(follow_symlinks=not is_folder(entry))
    except FileNotFoundError:
        raise
    except OSError:
        return entry.stat(follow_symlinks=False)


def as_text(name: str) -> str:
    r"""Make text of a file's name: bytes that are not UTF-8 are escaped (``\xff``)."""
    return os.fsencode(name).decode(errors="backslashreplace")


def as_moment(nanoseconds: int) -> datetime:
    """Time that a file was written, in UTC; one that no calendar has is its start or end."""
    try:
        return EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return EPOCH if nanoseconds < 0 else datetime(9999, 12, 31)


# The plugin


class Stream:
    """A stream that can be opened again and again, as DuckDB does to bind and to scan."""

    def __init__(self, schema: pa.Schema, batches: Callable[[], Iterator[pa.RecordBatch]]):
        self._schema = schema
        self._batches = batches

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Open the stream (Arrow PyCapsule interface)."""
        reader = pa.RecordBatchReader.from_batches(self._schema, gathered(self._batches()))
        return reader.__arrow_c_stream__(requested_schema)


def gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join small batches, so that a thousand small files cost what a large one costs."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        waiting.append(batch)
        size += batch.nbytes
        if size >= BATCH_BYTES:
            yield pa.concat_batches(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_batches(waiting)


@dataclass
class Plan:
    """The files that the next scan of an input reads, as (path, name) pairs in ``folder``."""

    folder: Path = Path()
    text: list[tuple[Path, str]] = field(default_factory=list)
    parquet_as_lines: list[tuple[Path, str]] = field(default_factory=list)
    parquet: list[tuple[Path, str]] = field(default_factory=list)

    def root(self, file_path: str) -> Path:
        """Give the folder that a link may not lead out of: that of the input, itself maybe one."""
        return self.folder / Path(file_path).parts[0]


class Plugin(BasePlugin):
    """Serves the ``landing`` sources and registers ``landing_plan`` in DuckDB."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:  # noqa: ARG002
        """Start without a plan: until a staging model makes one, sources are empty."""
        self._plans: dict[str, Plan] = {}
        self._shapes: dict[str, Shape] = {
            "labels": Shape(LABEL_COLUMNS, label=True),
            "streamed_events": Shape(STREAMED_COLUMNS),
        }

    def configure_connection(self, conn: Any) -> None:
        """Register the functions that the staging models call.

        ``landing_plan(input, folder, file_paths)`` returns their number,
        ``landing_files(folder, input, since)`` what ``recent_files`` does.
        """
        conn.create_function(
            "landing_plan",
            self._plan,
            ["VARCHAR", "VARCHAR", "VARCHAR[]"],
            "BIGINT",
            null_handling="special",
            side_effects=True,
        )
        conn.create_function(
            "landing_files",
            lambda folder, name, since: recent_files(Path(folder), name, since),
            ["VARCHAR", "VARCHAR", "TIMESTAMP"],
            "STRUCT(file_path VARCHAR, file_size BIGINT, modified_at TIMESTAMP)[]",
            side_effects=True,
        )

    def load(self, source_config: Any) -> Stream:
        """Give the stream of a source; its meta names the input, the form and the shape."""
        name = source_config["input"]
        if name == "inference_events":
            self._shapes[name] = event_shape(source_config["monitored_models"])
        shape = self._shapes[name]
        if source_config["form"] == "lines":
            return Stream(LINES_SCHEMA, lambda: self._lines(name))
        return Stream(shape.schema, lambda: self._rows(name))

    def default_materialization(self) -> str:
        """Make sources views, so that files are read when a staging model selects from them."""
        return "view"

    def _plan(self, name: str, folder: str, file_paths: list[str] | None) -> int:
        plan = Plan(Path(folder))
        for file_path in file_paths or []:
            entry = (Path(folder) / file_path, file_path)
            if entry[0].suffix != ".parquet":
                plan.text.append(entry)
            elif fits(entry[0], self._shapes[name], plan.root(file_path)):
                plan.parquet.append(entry)
            else:
                plan.parquet_as_lines.append(entry)
        self._plans[name] = plan
        return len(file_paths or [])

    def _lines(self, name: str) -> Iterator[pa.RecordBatch]:
        plan = self._plans.get(name, Plan())
        shape = self._shapes[name]
        for path, file_path in plan.text:
            yield from text_batches(path, file_path, plan.root(file_path))
        for path, file_path in plan.parquet_as_lines:
            yield from parquet_batches(path, file_path, shape, True, plan.root(file_path))

    def _rows(self, name: str) -> Iterator[pa.RecordBatch]:
        plan = self._plans.get(name, Plan())
        shape = self._shapes[name]
        for path, file_path in plan.parquet:
            yield from parquet_batches(path, file_path, shape, False, plan.root(file_path))


def stream_of(
    form: str, *, input: str, folder: str, file_paths: list[str], monitored_models: list[Any]
) -> Stream:
    """Give the stream of some landing files, for a worker that has no dbt.

    Parameters
    ----------
    form : str
        ``lines`` or ``rows``.
    input : str
        ``inference_events`` or ``labels``.
    folder : str
        The landing folder.
    file_paths : list of str
        Relative to it.
    monitored_models : list of dict
        The var of that name.
    """
    plugin = object.__new__(Plugin)
    plugin.initialize({})
    source = {"input": input, "form": form, "monitored_models": monitored_models}
    stream = plugin.load(source)
    plugin._plan(input, folder, file_paths)
    return stream


def event_shape(monitored_models: list[dict[str, Any]]) -> Shape:
    """Shape of the inference events of some models: their features and what they slice by.

    The SQL counterpart is the macro ``event_structs``.

    Parameters
    ----------
    monitored_models : list of dict
        The var of that name, already validated.
    """
    numerical: dict[str, str] = {}
    categorical: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for model in monitored_models:
        for feature in model["features"]:
            name, kind = feature["name"], feature["type"]
            if kind in ("numerical", "timestamp"):
                # SQL makes an age of an instant, once it knows that of the event.
                numerical[name] = "number" if kind == "numerical" else "instant"
            else:
                kind = "boolean" if kind == "boolean" else "category"
                categorical[name] = kind if categorical.get(name, kind) == kind else "category"
        features = {feature["name"].lower() for feature in model["features"]}
        for entry in model.get("slices", []):
            name = entry if isinstance(entry, str) else entry["name"]
            if name.lower() not in features:
                attributes[name] = "category"
    return Shape(
        EVENT_COLUMNS,
        {
            "numerical_features": ("features", numerical),
            "categorical_features": ("features", categorical),
            "attributes": ("attributes", attributes),
        },
        objects=EVENT_OBJECTS,
    )
