"""One call that imports: every file is read and checked first, then the run is written, or nothing is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.declare import Factory
from grokscope.device import threads
from grokscope.discovery import load_plugins
from grokscope.errors import DamagedFile, UnknownName, UsageError, described
from grokscope.importing.layouts import Renaming, choose, complaint
from grokscope.importing.setup import Setup, set_up
from grokscope.importing.sources import SAFETENSORS, Source, find, read
from grokscope.importing.steps import StepRule
from grokscope.models.glue import fingerprint
from grokscope.models.making import MOST_EXAMPLES
from grokscope.run import Run, glue
from grokscope.run.curves import CURVE_COLUMNS
from grokscope.run.imported import Record, contents
from grokscope.run.kinds import Kinds, kinds_of
from grokscope.run.outcome import OUTCOME
from grokscope.run.rename import Rule, arrange, as_type, read_rules

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("grokscope")
Watch = Callable[[int, int, int], None]


def import_checkpoints(
    out: str | Path,
    checkpoints: str | Path | Iterable[str | Path],
    *,
    task: str,
    model: str,
    settings: Mapping[str, Any] | None = None,
    step_from: str | None = None,
    steps: str | None = None,
    layout: str = "auto",
    rename: Iterable[str] = (),
    link: bool = False,
    layers: Iterable[str] = (),
    positions: str = "auto",
    examples: int = MOST_EXAMPLES,
    loss: str | Callable[..., Any] | None = None,
    accuracy: str = "positions",
    outcome: str | None = None,
    above: float | None = None,
    below: float | None = None,
    tasks: Mapping[str, Factory] | None = None,
    models: Mapping[str, Factory] | None = None,
    progress: Watch | None = None,
    notify: Callable[[str], None] | None = None,
) -> Run:
    """Make the run directory `out` of checkpoints that something else trained, and return the run.

    It is a finished run: `analyze` and `show` work on it, `train` refuses it. Losses and accuracies are
    computed here, on the task's own split. Read are safetensors, state dicts of `torch.save` (the zip format
    and the one before it), lists of state dicts, and what holds either under `state_dict` or `state_dicts`,
    as Lightning's .ckpt does; `torch.load(weights_only=True)` and nothing laxer. All files are read and
    checked before anything is written, and the same call again continues what was interrupted.

    Args:
        out: the run directory to make.
        checkpoints: a glob, or several.
        task: a task's name, or `package.module:factory`: a function that returns (train, test), each a pair
            of tensors, a Dataset of pairs or an iterable of batches; or what `@grokscope.task` made.
        model: a model's name, or `package.module:factory`: a function that returns an nn.Module, or what
            `@grokscope.model` made. Arguments with defaults are settings.
        settings: by name, dotted or bare, as for `train`: `{"p": 113, "split": "python"}`; of `training`,
            loss and seed count, others are only recorded.
        step_from: a regular expression that finds the step in a file's name: its first group, or all.
        steps: in files that hold a list: `every:N` (the k-th state is of step k N, from 0), or the name of
            the list of steps beside it; `steps` or `epochs` where there is one, when not given.
        layout: `own` (the network's names), `nanda` (Nanda et al.'s published code), `transformer_lens`, or
            `auto`, the first of them that fits; also under a prefix such as `model.`.
        rename: rules `OLD=NEW`, which stand over the layout's; see `grokscope.run.rename.Rule`.
        link: link safetensors files into the run instead of copying; they are rearranged when they are read.
        layers: globs of the names of a plain module's hidden layers; all non-linearities when not given, see
            `grokscope.models.plain.Plain`.
        positions: what becomes of positions in a plain module's layers: `auto`, `flatten`, `rows`, `last` or
            `mean`, see there.
        examples: how many of each split of one's own data are kept in the run, at most.
        loss: `cross_entropy`, `mse`, `stablemax_cross_entropy`, or one of your own: a function, or its name,
            `package.module:function`. It is given the logits (rows, outputs) and labels of the rows that have
            one, and returns their mean. When not given it is cross_entropy, or mse of numbers.
        accuracy: `positions`, the share of labels that are answered right, or `sequences`: of examples all
            of whose labels are.
        outcome: what says that the network has generalised, where it is not test accuracy: `test_loss`,
            another column of the curve, or one that is measured, `measure.column`. The same call with another
            one changes it.
        above, below: the bound of the outcome; one of them.
        tasks: the known tasks by name; all that plugins bring when not given.
        models: the known models by name; all that plugins bring when not given.
        progress: called as (done, total, step) after every checkpoint that was checked.
        notify: called with a sentence that the user should know; logged as a warning when not given.

    Raises:
        UsageError: what was asked for cannot be: no such file, task or setting, tensors that are not the
            network's, a step that is not to be found or is there twice.
        DamagedFile: a file that needs pickle, is damaged, or is no checkpoint.
        PluginError: a factory that cannot be imported.
        DataError: the task's data is not there.
        RunError: `out` holds another run, or something else.
        StorageError: a file cannot be written or linked.
    """
    notify = notify or log.warning
    rule = StepRule(step_from, steps)
    paths = find([checkpoints] if isinstance(checkpoints, (str, Path)) else checkpoints)
    said: dict[str, Any] = {}
    if tasks is None or models is None or (outcome, above, below) != (None, None, None):
        plugins = load_plugins()
        said = plugins.outcome(outcome, above, below)
        tasks = plugins.tasks if tasks is None else tasks
        models = plugins.models if models is None else models
    view: dict[str, Any] = {"layers": list(layers)} if layers else {}
    view |= {"positions": positions} if positions != "auto" else {}
    setup = set_up(
        task, model, settings or {}, tasks, models, view=view, most=examples, loss=loss, accuracy=accuracy
    )
    reader = Reader(setup, layout, read_rules(rename))
    reader.begin(paths[0])
    with threads(1):
        found = _distinct(_check(paths, reader, rule, progress or (lambda *_: None)), link, notify)
    for sentence in reader.remarks:
        notify(sentence)
    settled = reader.setup.config
    config = {
        "recipe": "imported",
        OUTCOME: said,
        **settled,
        "training": {**settled["training"], "dtype": reader.dtype, "steps": found[-1].record.step},
        "imported": {
            "layout": reader.renaming.layout,
            "rename": [str(rule) for rule in reader.renaming.rules],
            "link": link,
            "contents": contents([item.record for item in found]),
            **({"stored": reader.stored} if reader.stored != reader.dtype else {}),
        },
    }
    run = Run.create(out, config)
    if reader.setup.kept:
        run.keep_examples(reader.setup.kept)
    if reader.setup.made_by:
        glue.remember(run.path, fingerprint(reader.setup.network, reader.setup.made_by))
    run.save_import([item.record for item in found], reader.kinds)
    _write(run, reader, found)
    run.refresh_index()
    return run


@dataclass(frozen=True)
class Checked:
    """A state dict that fits the network: where it lies, what is recorded of it, and its weights' hash."""

    path: Path
    record: Record
    weights: str
    linkable: bool


class Reader:
    """Reads files, and turns their state dicts into weights of the one network that all are of.

    The renaming is chosen at the first state dict and holds for all.
    """

    def __init__(self, setup: Setup, layout: str, rename: Sequence[Rule]) -> None:
        self.setup = setup
        self._layout, self._rename = layout, rename
        self._last: Source | None = None
        self._cannot_run = False
        self._numbers: set[str] = set()
        self._infinite: dict[int, str] = {}
        self._remarks: list[str] = []
        self.kinds: Kinds
        self.renaming: Renaming
        self.dtype = ""

    @property
    def stored(self) -> str:
        """The types of the parameters in the files, in words."""
        return " and ".join(sorted(self._numbers))

    @property
    def remarks(self) -> list[str]:
        """What the user should know of what was read, a sentence each."""
        said = list(self._remarks)
        if self.stored != self.dtype:
            said.append(f"the checkpoints hold {self.stored} numbers; they are measured in {self.dtype}")
        if self._infinite:
            steps = sorted(self._infinite)
            said.append(
                f"the weights at {_steps(steps)} are not finite ({self._infinite[steps[0]]}): there is no "
                "accuracy where logits are not"
            )
        return said

    def read(self, path: Path) -> Source:
        """Return what `path` holds; the file read last is kept, since one file may hold all."""
        if self._last is None or self._last.path != path:
            self._last = None
            self._last = read(path)
        return self._last

    def begin(self, path: Path) -> None:
        """Choose the renaming by the first state dict, and the network's settings that nobody gave."""
        source = self.read(path)
        state = source.states[0]
        where = f"{path}, entry 0" if source.is_list else str(path)
        self.setup, self.renaming = self._fitting(state, where)
        self.kinds = kinds_of(self.setup.network)
        parameters = self.kinds.of(arrange(state, self.renaming.rules))
        self.dtype = "float64" if _has_float64(parameters) else "float32"
        self.setup.network.to(_torch_type(self.dtype))
        for rule in self.renaming.rules:
            if rule.new == "unembed.weight" and rule.steps == (".T", "[:-1]"):
                outputs = state[rule.old].shape[1]
                self._remarks.append(
                    f"{rule.old} has {outputs} logits, the task {outputs - 1} classes: the last, that of =, "
                    f"is left out, as in Nanda et al.'s analysis; losses are over the {outputs - 1} classes"
                )

    def _fitting(self, state: Mapping[str, Tensor], where: str) -> tuple[Setup, Renaming]:
        """Return the setup whose network the tensors are of.

        It is as it was asked for, else with open settings turned round, where just one way of turning the
        fewest fits.
        """
        try:
            return self.setup, self._choose(self.setup, state, where)
        except UnknownName:
            raise
        except UsageError as error:
            refusal = error
        fitting: list[tuple[str, Setup, Renaming]] = []
        for words, other in self.setup.others():
            if fitting and words.count("=") > fitting[0][0].count("="):
                break
            with suppress(UsageError):
                fitting.append((words, other, self._choose(other, state, where)))
        if not fitting:
            raise refusal
        if len(fitting) > 1:
            ways = " or ".join(words for words, _, _ in fitting)
            raise UsageError(f"{where} fits the network with {ways}: say which with `settings`") from refusal
        ((words, setup, renaming),) = fitting
        self._remarks.append(f"{words} is taken, because the tensors in {where} are those of that network")
        return setup, renaming

    def _choose(self, setup: Setup, state: Mapping[str, Tensor], where: str) -> Renaming:
        return choose(state, setup.network, self._layout, self._rename, where)

    def weights(self, state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
        """Return the state dict. Raises UsageError with names and shapes when it is not the network's."""
        wrong, words = complaint(state, self.renaming.rules, self.setup.network)
        if wrong:
            raise UsageError(f"{where} does not fit the network (layout {self.renaming.layout}): {words}")
        found = self.kinds.whole(arrange(state, self.renaming.rules))
        parameters = self.kinds.of(found)
        if self.dtype == "float32" and _has_float64(parameters):
            raise UsageError(f"{where} holds float64 numbers, and the checkpoints before it float32")
        self._numbers |= {str(value.dtype).removeprefix("torch.") for value in parameters.values()}
        return as_type(found, self.dtype)

    def note_infinite(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """Remember parameters that are not finite."""
        found = [name for name, value in self.kinds.of(weights).items() if not value.isfinite().all()]
        if found:
            self._infinite[step] = found[0] + (f" and {len(found) - 1} more" if len(found) > 1 else "")

    def metrics(self, weights: Mapping[str, Tensor], where: str) -> dict[str, str]:
        """Return losses and accuracies on both splits as text; none, and a remark, where it cannot be run."""
        from grokscope.evaluation import evaluate

        try:
            self.setup.network.load_state_dict(dict(weights))
            self.setup.network.eval()
            found = evaluate(self.setup.network, self.setup.task, self.setup.judged)
        except Exception as error:  # a network of the user's own may raise anything
            if not self._cannot_run:
                reason = described(error)
                self._remarks.append(
                    f"the network cannot be run, so there are no losses, at {where}: {reason}"
                )
            self._cannot_run = True
            return {}
        return {name: repr(value) for name, value in found.items()}


def _torch_type(name: str) -> Any:
    import torch

    return getattr(torch, name)


def _steps(steps: Sequence[int], most: int = 4) -> str:
    more = f" and {len(steps) - most} more" if len(steps) > most else ""
    return f"{'steps' if len(steps) > 1 else 'step'} {', '.join(map(str, steps[:most]))}{more}"


def _has_float64(tensors: Mapping[str, Tensor]) -> bool:
    import torch

    return any(tensor.dtype == torch.float64 for tensor in tensors.values())


def _check(paths: Sequence[Path], reader: Reader, rule: StepRule, progress: Watch) -> list[Checked]:
    """Read and check every file; nothing is written."""
    from grokscope.training.loop import digest

    found = []
    for done, path in enumerate(paths, 1):
        source = reader.read(path)
        for position, (step, state) in enumerate(zip(rule.of(source), source.states, strict=True)):
            where = f"{path}, entry {position}" if source.is_list else str(path)
            weights = reader.weights(state, where)
            reader.note_infinite(step, weights)
            metrics = reader.metrics(weights, where)
            place = position if source.is_list else -1
            record = Record(step, path.name, source.sha256, place, False, metrics)
            found.append(Checked(path, record, digest(weights), source.kind == SAFETENSORS))
            progress(done, len(paths), step)
    return sorted(found, key=lambda item: (item.record.step, item.record.source, item.record.position))


def _distinct(found: Sequence[Checked], link: bool, notify: Callable[[str], None]) -> list[Checked]:
    """Return one for each step, marked as linked where it will be; say which hold the same.

    Raises UsageError for two different ones of a step, and for a file that cannot be linked.
    """
    kept: dict[int, Checked] = {}
    same: dict[str, list[int]] = {}
    linked: set[str] = set()
    for item in found:
        step, before = item.record.step, kept.get(item.record.step)
        if before and before.weights != item.weights:
            raise UsageError(
                f"step {step} is there twice, in {before.path} and in {item.path}, and they differ"
            )
        if before:
            notify(
                f"{item.path} holds the same weights as {before.path} and is of the same step: it is left out"
            )
            continue
        same.setdefault(item.weights, []).append(step)
        if link and not item.linkable:
            raise UsageError(f"`link` is for safetensors files, and {item.path} is none: leave `link` out")
        kept[step] = item
        if link and item.record.sha256 not in linked:  # results are kept by sha256: a file is of one step
            linked.add(item.record.sha256)
            kept[step] = replace(item, record=replace(item.record, linked=True))
    for steps in same.values():
        if len(steps) > 1:
            notify(f"steps {', '.join(map(str, steps))} hold the same weights")
    return list(kept.values())


def _write(run: Run, reader: Reader, found: Sequence[Checked]) -> None:
    for item in sorted(found, key=lambda item: (item.path, item.record.position)):
        record = item.record
        if record.linked:
            run.link_checkpoint(record.step, item.path)
            continue
        source = reader.read(item.path)
        if source.sha256 != record.sha256:
            raise DamagedFile(f"{item.path} was changed while it was imported; import it again")
        weights = reader.weights(source.states[max(0, record.position)], str(item.path))
        metrics = dict(zip(CURVE_COLUMNS, record.point, strict=True))
        run.save_checkpoint(record.step, weights, metrics, kinds=reader.kinds)
