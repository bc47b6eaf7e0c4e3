"""Event files for TensorBoard: one folder per run, written by TensorBoard's own record writer."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grokscope.errors import StorageError, UsageError
from grokscope.export.collected import CURVE, Collected, Exported, Share, collect, finite_points
from grokscope.extras import from_extra
from grokscope.report.text import json_text, printable
from grokscope.run.files import make_folder
from grokscope.run.outputs import write_output

FILE = "events.out.tfevents.0000000000.grokscope"  # always the same: a second export replaces the first
FORMAT = "brain.Event:2"  # the first event of every file says so


def write_events(found: Exported | Collected, folder: str | Path, *, steps: str = "all") -> list[Path]:
    """Write results as TensorBoard event files, a folder of `folder` for each run; return the files.

    Scalars are `measure/column` or `measure/column/layer`, with losses and accuracies of training as
    `curve/train_loss` and so on; the configuration is there as text and as hyperparameters. Words are left
    out. Values are 32-bit floats, the event format's own. Instead of wall times, which results do not have,
    events carry their step in seconds. Writing again replaces the file, and equal results give equal bytes;
    other files are left alone.

    Args:
        found: a Comparison or Results for what was measured, or a run, several, or their directories for
            everything that is stored in them; nothing is computed.
        folder: TensorBoard's --logdir; made when it is not there.
        steps: which checkpoints, as for `analyze`.

    Raises:
        UsageError: tensorboard is missing, or one scalar would need two values at one step.
        RunError: a directory is no run.
        StorageError: a file cannot be written, or is a link.
    """
    check_tensorboard()
    collected = collect(found, steps)
    scalars = [_scalars(collected, share) for share in collected.shares]
    written = []
    for share, name, points in zip(collected.shares, _folders(collected), scalars, strict=True):
        place = Path(folder, name)
        make_folder(place)
        _refuse_links(place, place / FILE)
        write_output(place / FILE, _file(share, points))
        written.append(place / FILE)
    return written


def _refuse_links(*places: Path) -> None:
    """The user named the folder; where a link in it leads, nobody has named."""
    for place in places:
        if place.is_symlink():
            raise StorageError(f"{place} cannot be written: it is a link, and no link is followed there")


def check_tensorboard() -> None:
    """Raise UsageError where tensorboard is missing."""
    with from_extra("tensorboard", "an event file"):
        import tensorboard.compat.proto.event_pb2  # noqa: F401


def _folders(collected: Collected) -> list[str]:
    """A folder's name for every run: its own, without anything that leads elsewhere, each once."""
    taken: list[str] = []
    for share in collected.shares:
        plain = re.sub(r"[^\w.+=-]+", "_", share.run).strip("._") or "run"
        name, number = plain, 1
        while name.lower() in map(str.lower, taken):
            number += 1
            name = f"{plain}-{number}"
        taken.append(name)
    return taken


def _scalars(collected: Collected, share: Share) -> dict[int, dict[str, float]]:
    """The run's scalars by step and tag."""
    titles = collected.variants()
    points: dict[int, dict[str, float]] = {}
    for name, step, number in finite_points(share.curve):
        points.setdefault(step, {})[f"{CURVE}/{name}"] = number
    for value in share.values:
        if value.value is None:
            continue
        title = titles[value.plugin, value.measure, value.parameters]
        tag = printable("/".join(filter(None, (title, value.column, value.layer))))
        if tag in points.setdefault(value.step, {}):
            raise UsageError(
                f"{share.run}: {value.measure} at step {value.step} is stored for several baselines, which a "
                f"scalar has no place for; choose one with `measures` ({value.measure}) and `baseline`"
            )
        points[value.step][tag] = value.value
    return dict(sorted(points.items()))


def _file(share: Share, points: Mapping[int, Mapping[str, float]]) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    stream = io.BytesIO()
    writer = RecordWriter(stream)
    for event in _events(share, points):
        writer.write(event.SerializeToString(deterministic=True))
    return stream.getvalue()


def _events(share: Share, points: Mapping[int, Mapping[str, float]]) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    yield Event(wall_time=0.0, file_version=FORMAT)
    yield Event(wall_time=0.0, step=0, summary=_text("config", _config_text(share.config)))
    hyperparameters = hparams_pb(dict(_flat(share.config)), trial_id=share.run, start_time_secs=0.0)
    yield Event(wall_time=0.0, step=0, summary=hyperparameters)
    for step, scalars in points.items():
        values = [Summary.Value(tag=tag, simple_value=number) for tag, number in scalars.items()]
        yield Event(wall_time=float(step), step=step, summary=Summary(value=values))


def _text(tag: str, words: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    tensor = TensorProto(dtype=DT_STRING, string_val=[words.encode("utf-8", "replace")])
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=tensor)])


def _config_text(config: Mapping[str, Any]) -> str:
    """The configuration as Markdown that shows it as it is: a block, set in by four spaces."""
    return "\n".join(f"    {line}" for line in json_text(config).splitlines())


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    """Every setting by its dotted name, in the types that hyperparameters have."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", ",".join(map(str, value))
        elif value is not None and not (isinstance(value, float) and not math.isfinite(value)):
            yield f"{prefix}{name}", value
