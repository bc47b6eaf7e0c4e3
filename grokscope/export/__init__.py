"""Results that leave grokscope: tables in files, event files for TensorBoard. Imports no torch."""

from grokscope.export.collected import Collected, collect
from grokscope.export.events import check_tensorboard, write_events
from grokscope.export.files import table_kind, write_table
from grokscope.export.tables import Table, as_dict, long_table, measured_columns, wide_table

__all__ = [
    "Collected",
    "Table",
    "as_dict",
    "check_tensorboard",
    "collect",
    "long_table",
    "measured_columns",
    "table_kind",
    "wide_table",
    "write_events",
    "write_table",
]
