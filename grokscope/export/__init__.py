"""Results that leave grokscope: tables in files, event files for TensorBoard. Imports no torch."""

from grokscope.export.collected import Collected, collect
from grokscope.export.events import check_tensorboard, write_events
from grokscope.export.files import Table, csv_table, long_table, table_kind, wide_table, write_table
from grokscope.export.text import as_dict, csv_text

__all__ = [
    "Collected",
    "Table",
    "as_dict",
    "check_tensorboard",
    "collect",
    "csv_table",
    "csv_text",
    "long_table",
    "table_kind",
    "wide_table",
    "write_events",
    "write_table",
]
