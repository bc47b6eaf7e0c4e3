"""Tables in files: which formats there are, and how CSV, JSON and Parquet hold a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import UsageError
from grokscope.export.collected import Collected, Exported, collect
from grokscope.export.tables import Table, long_table, wide_table
from grokscope.extras import from_extra
from grokscope.report.text import csv_of, json_text
from grokscope.run.outputs import is_stream, write_output

if TYPE_CHECKING:
    import pyarrow


def write_table(
    found: Exported | Collected,
    path: str | Path,
    *,
    wide: bool = False,
    steps: str = "all",
    curve: bool = True,
) -> None:
    """Write results to a file whose name ends in .parquet, .csv or .json; equal results give equal bytes.

    Rows are tidy, one per number or word: run, the settings in which the runs differ, step, measure, layer,
    column, value, text, plugin, version, parameters, baseline. `wide` makes one row per run and step with a
    column for every `measure.column` or `measure.column:layer`.

    Args:
        found: a Comparison or Results for what was measured, or a run, several, or their directories for
            everything that is stored in them; nothing is computed.
        path: where to write; a file is at any moment the old one or the new one, a link, pipe or device is
            written to.
        wide: one row per run and step.
        steps: which checkpoints, as for `analyze`.
        curve: also losses and accuracies of training, as the measure `curve`, or as four columns when wide.

    Raises:
        UsageError: another ending, pyarrow is missing, or a wide table would need two values in one place.
        RunError: a directory is no run.
        StorageError: the file cannot be written.
    """
    kind = table_kind(path)
    collected = collect(found, steps)
    write_output(path, FORMATS[kind](wide_table(collected, curve) if wide else long_table(collected, curve)))


def table_kind(path: str | Path) -> str:
    """Return the format that a file's name asks for, CSV for a pipe or device whose name asks for none.

    Raises UsageError for another.
    """
    kind = Path(path).suffix.lower().removeprefix(".") or ("csv" if is_stream(path) else "")
    if kind not in FORMATS:
        endings = ", ".join(f".{each}" for each in FORMATS)
        raise UsageError(f"a table's file must end in {endings}, got {path}")
    if kind == "parquet":
        _pyarrow()
    return kind


def _pyarrow() -> Any:
    with from_extra("parquet", "a Parquet file"):
        import pyarrow.parquet
    return pyarrow


def _parquet(table: Table) -> bytes:
    """Parquet: the types are the table's, `about` is JSON under `grokscope` in the schema's metadata."""
    arrow: pyarrow = _pyarrow()
    types = {
        "whole": arrow.int64(),
        "number": arrow.float64(),
        "truth": arrow.bool_(),
        "text": arrow.string(),
    }
    schema = arrow.schema(
        [(_utf8(name).decode(), types[kind]) for name, kind in table.types.items()],
        metadata={"grokscope": _utf8(json_text(table.about, indent=None))},
    )
    arrays = [
        arrow.array([_utf8(v).decode() if isinstance(v, str) else v for v in values], field.type)
        for field, values in zip(schema, table.columns.values(), strict=True)
    ]
    stream = arrow.BufferOutputStream()
    arrow.parquet.write_table(arrow.Table.from_arrays(arrays, schema=schema), stream, compression="zstd")
    return bytes(stream.getvalue())


def _csv(table: Table) -> bytes:
    return _utf8(csv_of(table.columns))


def _json(table: Table) -> bytes:
    return _utf8(json_text({**table.about, "columns": table.columns}, indent=None) + "\n")


def _utf8(words: str) -> bytes:
    """Words as UTF-8, which cannot hold half a surrogate pair: a question mark stands for it."""
    return words.encode("utf-8", "replace")


FORMATS: Mapping[str, Callable[[Table], bytes]] = {"parquet": _parquet, "csv": _csv, "json": _json}
