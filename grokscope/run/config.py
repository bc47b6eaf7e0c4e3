"""What a run is of: its configuration, the hashes that identify it, and run.toml that holds it."""

from __future__ import annotations

import functools
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grokscope.declare import canonical_json
from grokscope.errors import DamagedFile, RunError, SettingError, StorageError, reason_of
from grokscope.run.files import sha256_hex
from grokscope.run.outcome import OUTCOME, checked_outcome
from grokscope.run.remote import Unreachable
from grokscope.run.sites import Site
from grokscope.run.store import read_bytes

FORMAT = 1
RUN_FILE = "run.toml"
TABLES = ("task", "model", "training")
LOCAL = "local"
DTYPES = ("float32", "float64")
RESERVED = (  # other columns of a table of several runs
    *("run", "step", "measure", "layer", "column", "value", "text"),
    *("plugin", "version", "parameters", "baseline"),
    *("train_loss", "test_loss", "train_accuracy", "test_accuracy"),
)
IMPORTED = "imported"  # a fourth table, only in runs made of checkpoints that something else trained
RECORDED = "recorded"  # likewise, only in runs that somebody else's loop writes
BESIDE = (IMPORTED, RECORDED)
_TOML_CAP = 1 << 20
_MOST_DOTS = 40
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"' + r"|'[^']*'")
_UNSET = "unset"  # TOML has no null: the settings that are None are listed by name


def checked_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` as run.toml gives it back.

    `recipe`, the tables task, model and training, and `imported` or `recorded` where the checkpoints were.

    A table `local`, of where things were on the machine that trained, and `outcome`, what says that the
    network has generalised, are kept beside them when they are there; like the recipe's name they are no part
    of what identifies the run.

    Raises SettingError for a setting that run.toml cannot hold.
    """
    plain: dict[str, Any] = {"recipe": str(config.get("recipe") or "")}
    if config.get(LOCAL):
        plain[LOCAL] = _places(config[LOCAL])
    if config.get(OUTCOME):
        plain[OUTCOME] = checked_outcome(config[OUTCOME])
    for table in TABLES:
        if not isinstance(config.get(table), Mapping):
            raise SettingError(
                f"a run's configuration must have the tables {', '.join(TABLES)}; {table} is missing"
            )
        plain[table] = _toml_value(config[table], table)
    for table in BESIDE:
        if isinstance(config.get(table), Mapping):
            plain[table] = _toml_value(config[table], table)
    return plain


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the sha256 of the tables without the training seed: runs that differ in it share the hash.

    Settings that are None do not count: a later grokscope with one more of them still knows its earlier runs.
    """
    tables = {table: _without_none(config[table]) for table in _tables(config)}
    tables["training"].pop("seed", None)
    return hash_of(tables)


def hash_of(value: Any) -> str:
    """Return the sha256 of the canonical JSON of `value`."""
    return sha256_hex(canonical_json(value).encode())


def seed_of(config: Mapping[str, Any]) -> int:
    """Return the training seed, 0 when there is none. Raises SettingError when it is no whole number."""
    seed = config["training"].get("seed")
    if seed is not None and type(seed) is not int:
        raise SettingError(f"training.seed must be a whole number, got {_short(seed)}")
    return seed or 0


def run_id(config: Mapping[str, Any]) -> str:
    """Return the same 16 hexadecimal digits for the same configuration and seed."""
    return sha256_hex(f"{config_hash(config)}\n{seed_of(config)}".encode())[:16]


def default_directory(config: Mapping[str, Any]) -> Path:
    """Return runs/<task>-<recipe>-<8 digits of the configuration's hash>-s<seed>."""
    config = checked_config({**config, LOCAL: {}})
    words = (config["task"].get("name", ""), config["recipe"], config_hash(config)[:8], f"s{seed_of(config)}")
    return Path("runs", "-".join(re.sub(r"[^\w.]+", "_", str(word)) for word in words if word))


def tells_partly(config: Mapping[str, Any]) -> bool:
    """Whether points of the run's curve may tell some metrics alone: what somebody else's loop logged."""
    return RECORDED in config or bool(config.get(IMPORTED, {}).get("curves"))


def first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return in words the first setting in which two configurations differ; "" when they are the same.

    The recipe is only a name: what it sets is in the tables.
    """
    left, right = dict(_settings(one)), dict(_settings(other))
    for name in sorted(left.keys() | right.keys()):
        if canonical_json(left.get(name)) != canonical_json(right.get(name)):
            return f"{name} is {left.get(name)!r} there and {right.get(name)!r} here"
    return ""


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the settings in which configurations differ, by name, each with one value per run or None.

    Names are bare where no other setting has them (`task` for `task.name`), else dotted.
    """
    tables = [dict(_settings({table: config[table] for table in TABLES})) for config in configs]
    names = list(dict.fromkeys(name for table in tables for name in table))
    bare = Counter(_bare(name) for name in names)
    return {
        _bare(name) if bare[_bare(name)] == 1 and _bare(name) not in RESERVED else name: [
            table.get(name) for table in tables
        ]
        for name in names
        if len({canonical_json(table.get(name)) for table in tables}) > 1
    }


def is_seed(setting: str) -> bool:
    """Tell whether a setting only draws: runs that differ in seeds alone are repetitions of one another.

    >>> is_seed("training.seed"), is_seed("split_seed"), is_seed("seeded")
    (True, True, False)
    """
    return setting.rpartition(".")[2].rpartition("_")[2] == "seed"


def _bare(name: str) -> str:
    table, _, last = name.partition(".")
    return table if last == "name" else last


def to_toml(config: Mapping[str, Any]) -> bytes:
    """Return run.toml for a checked `config`."""
    import tomli_w

    unset = [name for name, value in _settings(config) if value is None]
    head = {"format": FORMAT, "grokscope": _version(), "run": run_id(config), "config": config_hash(config)}
    tables = {
        table: _without_none(config[table]) for table in (*_tables(config), LOCAL, OUTCOME) if table in config
    }
    return tomli_w.dumps({**head, "recipe": config["recipe"], _UNSET: unset, **tables}).encode()


def read_config(run: Site) -> dict[str, Any]:
    """Return the configuration in the run.toml of directory `run`. Raises RunError when it is no run."""
    path = run / RUN_FILE
    if isinstance(path, Path) and not path.parent.is_dir():
        what = "it is no directory" if path.parent.exists() else "there is no such directory"
        raise RunError(f"{run} is no run: {what}; `grokscope train` makes one")
    try:
        return _config_in(read_bytes(path, _TOML_CAP), run)
    except FileNotFoundError:
        raise RunError(f"{run} is no run: it has no {RUN_FILE}; `grokscope train` makes one") from None
    except DamagedFile as error:
        raise _unreadable(path, error) from error


def _config_in(data: bytes, run: Site) -> dict[str, Any]:
    """Return the configuration in `data`, the run.toml of directory `run`. Raises RunError."""
    path = run / RUN_FILE
    try:
        text = data.decode()
        _refuse_deep_keys(text)
        found = tomllib.loads(text)
        if type(found["format"]) is not int or found["format"] < 1:
            raise ValueError(f"its format must be {FORMAT}, got {_short(found['format'])}")
        if found["format"] > FORMAT:
            later = _short(found.get("grokscope"))
            raise RunError(f"{run} was made by a later grokscope ({later}); update grokscope to read it")
        config = checked_config(_with_none(found))
        _check_kinds(config)
        recorded, own = found["run"], run_id(config)
    except (SettingError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, error) from error
    if recorded != own:
        raise RunError(
            f"{path} was changed: its settings are not those that run {_short(recorded)} was trained with; "
            "undo the change, or train a new run with the new settings"
        )
    return config


def _unreadable(path: Site, error: Exception) -> RunError:
    reason = reason_of(error).replace(f"{path} must", "it must")
    return RunError(
        f"{path} cannot be read as a run's configuration: {reason}; put the file back as grokscope wrote it"
    )


def holds_run(path: Site, run: str) -> bool:
    """Whether directory `path` is, now, the run of that id. Raises Unreachable where nobody knows."""
    try:
        return _id_in(read_bytes(path / RUN_FILE, _TOML_CAP), path) == run
    except Unreachable:
        raise
    except (FileNotFoundError, DamagedFile, RunError, StorageError):
        return False


def require_run(path: Site, run: str) -> None:
    """Raise StorageError unless directory `path` is, now, the run of that id."""
    if not holds_run(path, run):
        raise StorageError(
            f"{path} is no longer this run: it was renamed, moved or deleted, and nothing more is written; "
            "move it back and run the same command again"
        )


@contextmanager
def still_there(path: Site, run: str) -> Iterator[None]:
    """Say of a write that fails that the run is gone, where that is why."""
    try:
        yield
    except (StorageError, FileNotFoundError):
        require_run(path, run)
        raise


@functools.lru_cache(maxsize=64)  # it is asked before each write, and its answer hangs on the bytes alone
def _id_in(data: bytes, path: Site) -> str:
    return run_id(_config_in(data, path))


def _check_kinds(config: Mapping[str, Any]) -> None:
    """Check the settings that are read wherever a run is opened; others are checked where they are used."""
    for table in ("task", "model"):
        if not isinstance(config[table].get("name"), str):
            raise SettingError(f"{table}.name must be text, got {_short(config[table].get('name'))}")
    training = config["training"]
    for name, kind in (("loss", str), ("dtype", str), ("device", str), ("steps", int)):
        if name in training and type(training[name]) is not kind:
            raise SettingError(f"training.{name} must be {kind.__name__}, got {_short(training[name])}")
    if training.get("dtype", "float32") not in DTYPES:
        raise SettingError(f"training.dtype must be {' or '.join(DTYPES)}, got {_short(training['dtype'])}")
    imported = config.get(IMPORTED, {})
    rename = imported.get("rename", [])
    if not isinstance(rename, list) or not all(isinstance(rule, str) for rule in rename):
        raise SettingError(f"imported.rename must be a list of texts, got {_short(rename)}")
    ties = imported.get("ties", {})
    if not isinstance(ties, dict) or not all(isinstance(name, str) for name in ties.values()):
        raise SettingError(f"imported.ties must be names by name, got {_short(ties)}")


def _refuse_deep_keys(text: str) -> None:
    """Refuse keys of hundreds of parts, on which a TOML reader spends time that grows with their square."""
    if '"""' in text or "'''" in text:
        raise ValueError("it holds texts of several lines, which grokscope does not write")
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _MOST_DOTS and _TEXT.sub("", line).count(".") > _MOST_DOTS:
            raise ValueError(f"line {number} has a name of more than {_MOST_DOTS} parts")


def _places(table: Any) -> dict[str, str]:
    """Return the table `local`, which holds places of this machine and nothing else."""
    if not isinstance(table, Mapping):
        raise SettingError(f"{LOCAL} must be a table, got {_short(table)}")
    for name, value in table.items():
        if not isinstance(value, str) or "://" in value or "\0" in value:
            raise SettingError(f"{LOCAL}.{name} must be a place on this machine, got {_short(value)}")
    return dict(table)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _tables(config: Mapping[str, Any]) -> tuple[str, ...]:
    return (*TABLES, *(table for table in BESIDE if table in config))


def _settings(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting of the tables by its dotted name."""
    for name, value in config.items() if prefix else [(table, config[table]) for table in _tables(config)]:
        if isinstance(value, Mapping) and value:
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _toml_value(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _toml_value(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        if None in value:
            raise SettingError(f"{where} must not hold None in a list")
        return [_toml_value(item, where) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{where} must be finite, got {value}")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise SettingError(
        f"{where} must be text, a number, yes or no, or a list of these, got {type(value).__name__}"
    )


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, Mapping) else value
        for name, value in table.items()
        if value is not None
    }


def _with_none(found: dict[str, Any]) -> dict[str, Any]:
    unset = found.get(_UNSET, [])
    if not isinstance(unset, list) or not all(isinstance(name, str) for name in unset):
        raise ValueError(f"{_UNSET} must be a list of names, got {_short(unset)}")
    for name in unset:
        *tables, last = name.split(".", _MOST_DOTS)
        place = found
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise ValueError(f"{_UNSET} names {_short(name)}, and {table} is no table")
        place[last] = None
    return found


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("grokscope")
    except PackageNotFoundError:
        return "unknown"
