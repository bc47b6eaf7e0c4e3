"""What a run is of: its configuration, the hashes that identify it, and run.toml that holds it."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grokscope.declare import canonical_json
from grokscope.errors import DamagedFile, RunError, SettingError, StorageError
from grokscope.run.files import read_bytes, sha256_hex

FORMAT = 1
RUN_FILE = "run.toml"
TABLES = ("task", "model", "training")
LOCAL = "local"
RESERVED = (  # other columns of a table of several runs
    *("run", "step", "measure", "layer", "column", "value", "text"),
    *("plugin", "version", "parameters", "baseline"),
    *("train_loss", "test_loss", "train_accuracy", "test_accuracy"),
)
IMPORTED = "imported"  # a fourth table, only in runs made of checkpoints that something else trained
_TOML_CAP = 1 << 20
_UNSET = "unset"  # TOML has no null: the settings that are None are listed by name


def checked_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` as run.toml gives it back: `recipe`, the tables task, model and training, and
    `imported` where the checkpoints were.

    A table `local`, of where things were on the machine that trained, is kept beside them when there is one;
    like the recipe's name it is no part of what identifies the run.

    Raises SettingError for a setting that run.toml cannot hold.
    """
    plain: dict[str, Any] = {"recipe": str(config.get("recipe") or "")}
    if config.get(LOCAL):
        plain[LOCAL] = _plain(config[LOCAL], LOCAL)
    for table in TABLES:
        if not isinstance(config.get(table), Mapping):
            raise SettingError(
                f"a run's configuration must have the tables {', '.join(TABLES)}; {table} is missing"
            )
        plain[table] = _plain(config[table], table)
    if isinstance(config.get(IMPORTED), Mapping):
        plain[IMPORTED] = _plain(config[IMPORTED], IMPORTED)
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
    """Return the training seed, 0 when there is none."""
    return int(config["training"].get("seed", 0))


def run_id(config: Mapping[str, Any]) -> str:
    """Return the same 16 hexadecimal digits for the same configuration and seed."""
    return sha256_hex(f"{config_hash(config)}\n{seed_of(config)}".encode())[:16]


def places(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return where things of this machine were when the run was made, without a data folder that is gone."""
    recorded = dict(config.get(LOCAL, {}))
    if not os.path.isdir(recorded.get("data_dir", "")):
        recorded.pop("data_dir", None)
    return recorded


def default_directory(config: Mapping[str, Any]) -> Path:
    """Return runs/<task>-<recipe>-<8 digits of the configuration's hash>-s<seed>."""
    config = checked_config(config)
    words = (config["task"].get("name", ""), config["recipe"], config_hash(config)[:8], f"s{seed_of(config)}")
    return Path("runs", "-".join(re.sub(r"[^\w.]+", "_", str(word)) for word in words if word))


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


def _bare(name: str) -> str:
    table, _, last = name.partition(".")
    return table if last == "name" else last


def to_toml(config: Mapping[str, Any]) -> bytes:
    """Return run.toml for a checked `config`."""
    import tomli_w

    unset = [name for name, value in _settings(config) if value is None]
    head = {"format": FORMAT, "grokscope": _version(), "run": run_id(config), "config": config_hash(config)}
    tables = {table: _without_none(config[table]) for table in (*_tables(config), LOCAL) if table in config}
    return tomli_w.dumps({**head, "recipe": config["recipe"], _UNSET: unset, **tables}).encode()


def read_config(run: Path) -> dict[str, Any]:
    """Return the configuration in the run.toml of directory `run`. Raises RunError when it is no run."""
    path = run / RUN_FILE
    if not path.parent.is_dir():
        what = "it is no directory" if path.parent.exists() else "there is no such directory"
        raise RunError(f"{run} is no run: {what}; `grokscope train` makes one")
    try:
        found = tomllib.loads(read_bytes(path, _TOML_CAP).decode())
        if found["format"] > FORMAT:
            raise RunError(
                f"{run} was made by a later grokscope ({found.get('grokscope')}); update grokscope to read it"
            )
        config = checked_config(_with_none(found))
        recorded = found["run"]
    except FileNotFoundError:
        raise RunError(f"{run} is no run: it has no {RUN_FILE}; `grokscope train` makes one") from None
    except (
        DamagedFile,
        SettingError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise RunError(f"{path} cannot be read as a run's configuration: {error}") from error
    if recorded != run_id(config):
        raise RunError(
            f"{path} was changed: its settings are not those that run {recorded} was trained with; "
            "undo the change, or train a new run with the new settings"
        )
    return config


def holds_run(path: Path, run: str) -> bool:
    """Whether directory `path` is, now, the run of that id."""
    try:
        return run_id(read_config(path)) == run
    except (RunError, StorageError):
        return False


def _tables(config: Mapping[str, Any]) -> tuple[str, ...]:
    return (*TABLES, IMPORTED) if IMPORTED in config else TABLES


def _settings(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting of the tables by its dotted name."""
    for name, value in config.items() if prefix else [(table, config[table]) for table in _tables(config)]:
        if isinstance(value, Mapping) and value:
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        if None in value:
            raise SettingError(f"{where} must not hold None in a list")
        return [_plain(item, where) for item in value]
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
    for name in found.get(_UNSET, []):
        *tables, last = name.split(".")
        place = found
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = None
    return found


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("grokscope")
    except PackageNotFoundError:
        return "unknown"
