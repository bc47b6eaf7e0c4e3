"""The options of `train` and `sweep`: made from what training, the task and its network declare."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli import completing
from grokscope.cli.options import key_values, keyword, left_out, with_parameters
from grokscope.cli.terminal import stdout_to_stderr
from grokscope.declare import Parameter, spelled

if TYPE_CHECKING:
    from grokscope.registry import Plugins
    from grokscope.training.config import Start

Declared = Mapping[str, Mapping[str, Parameter]]  # by table: training, task, model
WRITTEN = "Run"
TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="The task, for example modadd.",
        show_default=False,
        autocompletion=completing.tasks,
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        help="A named configuration, or a TOML file; see `grokscope recipes`.",
        autocompletion=completing.recipes,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="mlp, transformer, ... instead of the recipe's network.",
        autocompletion=completing.models,
    ),
]
SetAnother = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting by its name, dotted or not, for example model.d_model=64; may be repeated.",
    ),
]
JOINED = "__"  # between table and name in the name of a parameter, which may have no dot


@dataclass(frozen=True)
class SettingOption:
    """A setting as an option of a command.

    Attributes:
        table: training, task or model.
        setting: as it is declared.
        flag: what it is called on the command line.
        default: the value that holds where it is not given.
    """

    table: str
    setting: Parameter
    flag: str
    default: Any

    @property
    def name(self) -> str:
        """The name of the parameter that typer fills."""
        return f"{self.table}{JOINED}{self.setting.name}"

    @property
    def dotted(self) -> str:
        """The setting's name as `--set` takes it."""
        return f"{self.table}.{self.setting.name}"

    def read(self, value: Any) -> Any:
        """Return what a given value sets: of an option without one, what its flag stands for."""
        if self.setting.param.flag:
            return self.setting.param.flag if value else "none"
        return value

    def parameter(self) -> inspect.Parameter:
        """Return it as typer reads it from a signature; values are text, and are read by the declaration."""
        from rich.markup import escape

        common: dict[str, Any] = {
            "help": escape(_help(self.setting, self.default)),
            "show_default": False,
            "rich_help_panel": self.setting.param.panel,
        }
        if self.setting.is_flag:
            option = typer.Option(f"{self.flag}/--no-{self.flag.removeprefix('--')}", **common)
            return keyword(self.name, Annotated[bool | None, option], None)
        choices = [spelled(choice) for choice in self.setting.choices]
        option = typer.Option(
            self.flag, metavar=self.setting.metavar, autocompletion=lambda: choices, **common
        )
        return keyword(self.name, Annotated[str | None, option], None)


def _help(setting: Parameter, default: Any) -> str:
    notes = [note for note in (_choice(setting), setting.param.bounds) if note]
    words = setting.param.help + (f" ({'; '.join(notes)})" if notes else "")
    return words if default in (None, "") else f"{words} [default: {spelled(default)}]"


def _choice(setting: Parameter) -> str:
    choices = [spelled(choice) for choice in setting.choices]
    if setting.param.flag:
        others = [choice for choice in choices if choice != setting.param.flag]
        return f"this is {setting.param.flag}; with --set also {', '.join(others)}"
    return f"one of {', '.join(choices)}" if len(choices) > 1 else f"only {choices[0]}" if choices else ""


def with_settings(command: Callable[..., None], options: Sequence[SettingOption] = ()) -> Callable[..., None]:
    """Give a command these options; its own parameter `given` has what they set, by dotted name."""
    own = inspect.signature(command, eval_str=True).parameters.values()

    @functools.wraps(command)
    def run(**values: Any) -> None:
        found = [(option, values.pop(option.name)) for option in options]
        given = {option.dotted: option.read(value) for option, value in found if value is not None}
        command(given=given, **values)

    parts = [option.parameter() for option in options]
    return with_parameters(run, [*(each for each in own if each.name != "given"), *parts])


def options_of(
    declared: Declared, taken: Iterable[str], defaults: Mapping[str, Mapping[str, Any]] | None = None
) -> list[SettingOption]:
    """Return an option for each setting that is declared.

    Its flag is the setting's name, with the table's before it where that is in `taken` or another setting's.
    A value of `defaults` counts in place of the declared default.
    """
    used = set(taken)
    options = []
    for table, parameters in declared.items():
        for name, parameter in parameters.items():
            flag = f"--{name}".replace("_", "-")
            flag = flag if flag not in used else flag.replace("--", f"--{table}-")
            used.add(flag)
            value = (defaults or {}).get(table, {}).get(name, parameter.default)
            options.append(SettingOption(table, parameter, flag, value))
    return options


def asked_settings(
    model: str | None, given: Mapping[str, Any], pairs: Iterable[str] | None
) -> dict[str, Any]:
    """Return what the options of a command set, as `train` takes it."""
    return ({} if model is None else {"model.name": model}) | dict(given) | key_values(pairs or [], "--set")


def for_words(command: Any, made_with: Callable[[Sequence[SettingOption]], Any], words: Iterable[str]) -> Any:
    """Return a command with the options that its words want: the settings of their task and network.

    Without a task they are those of training alone, and no plugin is loaded. `made_with` makes the command
    anew. Raises as `resolve_config` does where the words name a task, network or recipe that is none.
    """
    from grokscope.training.settings import TRAINING

    words = list(words)
    taken = [flag for each in command.params for flag in [*each.opts, *each.secondary_opts]]
    own = {flag: each.name for each in command.params for flag in each.opts if not _is_flag(each)}
    alone = options_of({"training": TRAINING}, taken)
    first = _given(words, own | _flags(alone))
    if "task" not in first:
        return made_with(alone)
    with stdout_to_stderr(), left_out(first.get("no_plugins", [])):
        from grokscope.discovery import load_plugins

        plugins = load_plugins()
    given = _given(words, own | _flags(options_of(_of_all(plugins), taken)))
    if "task" not in given:
        return made_with(alone)
    start = _start(given, plugins)
    options = options_of({"training": TRAINING, **start.declared}, taken, start.tables)
    return made_with(sorted(options, key=lambda option: list(start.declared).index(option.table)))


def _is_flag(parameter: Any) -> bool:
    """Whether a parameter takes no value after its name: an argument has no name, a flag no value."""
    return parameter.param_type_name == "argument" or parameter.is_flag


def _flags(options: Iterable[SettingOption]) -> dict[str, str]:
    return {each.flag: each.name for each in options if not (each.setting.is_flag or each.setting.param.flag)}


def _given(words: Iterable[str], names: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the values that words give the options of `names`, by flag; the task is what belongs to none."""
    given: dict[str, list[str]] = {}
    left = iter(words)
    for word in left:
        flag, equals, value = word.partition("=")
        if flag in names:
            values = [value] if equals else [*itertools.islice(left, 1)]  # while it is typed it may lack one
            given.setdefault(names[flag], []).extend(values)
        elif not word.startswith("-"):
            given.setdefault("task", []).append(word)
    return given


def _of_all(plugins: Plugins) -> Declared:
    """Return the settings of all tasks and networks at once: which words are values of options."""
    from grokscope.training.settings import TRAINING

    factories = [*plugins.tasks.values(), *plugins.models.values()]
    merged: dict[str, Parameter] = {}
    for name, parameter in (pair for factory in factories for pair in factory.parameters.items()):
        if name not in TRAINING and (name not in merged or merged[name].is_flag):
            merged[name] = parameter
    return {"training": TRAINING, "task": merged}


def _start(given: Mapping[str, Sequence[str]], plugins: Plugins) -> Start:
    """Return what the configuration starts from that the words ask for. Raises as `resolve_config`."""
    from grokscope.training.config import MODEL_NAMES, starting_point
    from grokscope.training.subnetwork import UNITS

    options = {"model.name": "model", **{setting: f"training{JOINED}{setting}" for setting in UNITS}}
    settings = {name: given[option][-1] for name, option in options.items() if given.get(option)}
    for pair in given.get("settings", ()):
        name, _, value = pair.partition("=")
        if name.strip() in MODEL_NAMES or name.strip().removeprefix("training.") in UNITS:
            settings[name.strip()] = value.strip()
    return starting_point(
        given["task"][0],
        recipe=given["recipe"][-1] if given.get("recipe") else None,
        settings=settings,
        tasks=plugins.tasks,
        models=plugins.models,
    )
