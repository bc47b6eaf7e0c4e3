"""One call that imports: every file is read and checked first, then the run is written, or nothing is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grokscope.declare import Factory, listed
from grokscope.discovery import load_plugins
from grokscope.errors import DamagedFile, UsageError
from grokscope.importing.beside import with_beside
from grokscope.importing.curvefiles import Curve, between, read_curves
from grokscope.importing.growth import Known, known_at
from grokscope.importing.layouts import Naming
from grokscope.importing.plan import Checked, Problem, Watch, check, distinct, refuse
from grokscope.importing.reader import Reader
from grokscope.importing.setup import set_up
from grokscope.importing.sources import find
from grokscope.importing.steps import StepRule
from grokscope.models.glue import fingerprint
from grokscope.models.making import MOST_EXAMPLES
from grokscope.run import Run, glue
from grokscope.run.curves import CURVE_COLUMNS
from grokscope.run.imported import Record, contents
from grokscope.run.outcome import OUTCOME
from grokscope.run.rename import read_rules, read_ties
from grokscope.run.sites import Site, site_of
from grokscope.run.store import require_writable
from grokscope.run.verify import verify_run

log = logging.getLogger("grokscope")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be imported: the arguments of `import_checkpoints`, by which they are described."""

    checkpoints: Sequence[str | Path]
    task: str = ""
    model: str = ""
    recipe: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    step_from: str | None = None
    steps: str | None = None
    step: int | None = None
    at: str = ""
    layout: str = "auto"
    rename: Sequence[str] = ()
    strip: Sequence[str] = ()
    tie: Sequence[str] = ()
    link: bool = False
    leave_out: Sequence[str] = ()
    skip_damaged: bool = False
    curves: str | Path | None = None
    layers: Sequence[str] = ()
    positions: str = "auto"
    examples: int = MOST_EXAMPLES
    loss: str | Callable[..., Any] | None = None
    accuracy: str = "positions"
    outcome: str | None = None
    above: float | None = None
    below: float | None = None


def import_checkpoints(
    out: str | Path,
    checkpoints: str | Path | Iterable[str | Path],
    *,
    task: str = "",
    model: str = "",
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    step_from: str | None = None,
    steps: str | None = None,
    step: int | None = None,
    at: str = "",
    layout: str = "auto",
    rename: str | Iterable[str] = (),
    strip: str | Iterable[str] = (),
    tie: str | Iterable[str] = (),
    link: bool = False,
    leave_out: str | Iterable[str] = (),
    skip_damaged: bool = False,
    curves: str | Path | None = None,
    layers: str | Iterable[str] = (),
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
    computed here, on the task's own split, and compared with what the files say of theirs. Read are
    safetensors, also in shards, what `torch.save` wrote (the zip format and the one before it) as far as
    `torch.load(weights_only=True)` reads it, and folders as transformers saves them. All files are read and
    checked before anything is written, and the same call again continues what was interrupted. Importing
    more checkpoints into the run adds them; those that are there must be the same.

    Args:
        out: the run directory to make, or to add to.
        checkpoints: a glob, or several; so with everything below that takes several: one text is one.
        task: a task's name, or `package.module:factory`: a function that returns (train, test), each a pair
            of tensors, a Dataset of pairs or an iterable of batches; or what `@grokscope.task` made.
        model: a model's name, or `package.module:factory`: a function that returns an nn.Module, or what
            `@grokscope.model` made. Arguments with defaults are settings.
        recipe: a recipe's name, or the path of a TOML file: its task, network and settings count where no
            others are given.
        settings: by name, dotted or bare, as for `train`: `{"p": 113, "split": "python"}`; of `training`,
            loss and seed count, others are only recorded.
        step_from: a regular expression that finds the step in a file's name: its first group, or all.
        steps: in files that hold a list: `every:N` (the k-th state is of step k N, from 0), or the name of
            the list of steps beside it. Without it, what the states themselves say, or a list beside them
            that is called steps, epochs or the like, or is the only one that rises.
        step: the step of the one state dict that there is.
        at: the key in each file under which its states are, `outer.inner` for one in another.
        layout: `own` (the network's names), `nanda` (Nanda et al.'s published code), `transformer_lens`, or
            `auto`, the first of them that fits. What wrappers add to names (`module.`, `_orig_mod.` and the
            like, anywhere) and what most names begin with is taken off by itself, of the file's names and of
            the network's.
        rename: rules `OLD=NEW`, which stand over the layout's; see `grokscope.run.rename.Rule`.
        strip: beginnings that are taken off names, where what is taken off by itself is not enough.
        tie: `NAME=OTHER`: the network's tensor NAME, which the files lack, is the one called OTHER.
        link: link safetensors files into the run instead of copying; they are rearranged when they are read.
        leave_out: globs of files that do not count.
        skip_damaged: leave out files that cannot be read, hold no state dict or do not say their step.
        curves: a CSV, JSON or JSON Lines file, or TensorBoard's, of the training's losses and accuracies: the
            run's curve is as fine as it is.
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
            network's, a step that is not to be found or is there twice; several problems in one sentence.
        DamagedFile: a file that needs pickle, is damaged, or is no checkpoint.
        PluginError: a factory that cannot be imported.
        DataError: the task's data is not there.
        RunError: `out` holds another run, other weights at one of the steps, or something else.
        StorageError: a file cannot be written or linked.
    """
    request = Request(
        checkpoints=listed(checkpoints),
        task=task,
        model=model,
        recipe=recipe,
        settings=settings or {},
        step_from=step_from,
        steps=steps,
        step=step,
        at=at,
        layout=layout,
        rename=listed(rename),
        strip=listed(strip),
        tie=listed(tie),
        link=link,
        leave_out=listed(leave_out),
        skip_damaged=skip_damaged,
        curves=curves,
        layers=listed(layers),
        positions=positions,
        examples=examples,
        loss=loss,
        accuracy=accuracy,
        outcome=outcome,
        above=above,
        below=below,
    )
    plan = plan_import(out, request, tasks=tasks, models=models, progress=progress)
    plan.refuse()
    for sentence in plan.remarks:
        (notify or log.warning)(sentence)
    return plan.write()


@dataclass(frozen=True)
class Plan:
    """What an import would write.

    Attributes:
        out: the run directory.
        new: the checkpoints that it would add, by step.
        known: the run that is there already, and its checkpoints.
        remarks: what the user should know, a sentence each.
        problems: what is wrong; with any of them nothing is written.
        files: how many files were looked at.
        is_whole: whether the losses at all steps of the run are of the code as it is now.
    """

    out: Site
    new: Sequence[Checked]
    known: Known
    remarks: Sequence[str]
    problems: Sequence[Problem]
    files: int
    is_whole: bool
    _reader: Reader
    _link: bool
    _curve: Curve
    _code: str
    _outcome: Mapping[str, Any]

    def refuse(self) -> None:
        """Raise what is wrong, if anything is."""
        refuse(self.problems, self.files)

    def write(self) -> Run:
        """Write the run, or what is new in it, and return it."""
        reader = self._reader
        config = self.known.config or self._config()
        run = Run.create(self.out, config | ({OUTCOME: self._outcome} if self._outcome else {}))
        if reader.setup.kept:
            run.keep_examples(reader.setup.kept)
        if self._code:
            glue.remember(run.path, self._code)
        records = self.known.joined(self._with_curves())
        run.save_import(records, reader.kinds)
        _write(run, reader, self.new, {record.step: record for record in records})
        run.refresh_index()
        if self._code and self.is_whole:
            glue.remember(run.path, self._code, losses=self._code)
        if any(item.record.step in self.known.records for item in self.new):
            verify_run(run.path, repair=True)  # results of the files that were written anew are set aside
        return run

    def _with_curves(self) -> list[Record]:
        steps = [*self.known.records, *(item.record.step for item in self.new)]
        pieces = between(self._curve, steps)
        return [replace(item.record, curve=pieces.get(item.record.step, ())) for item in self.new]

    def _config(self) -> dict[str, Any]:
        reader, settled = self._reader, self._reader.setup.config
        last = max(item.record.step for item in self.new)
        return {
            "recipe": "imported",
            **settled,
            "training": {**settled["training"], "dtype": reader.dtype, "steps": last},
            "imported": {
                "layout": reader.renaming.layout,
                "rename": [str(rule) for rule in reader.renaming.rules],
                "link": self._link,
                **({"curves": True} if self._curve.points else {}),
                **({"ties": dict(reader.renaming.ties)} if reader.renaming.ties else {}),
                "contents": contents([item.record for item in self.new]),
                **({"stored": reader.stored} if reader.stored != reader.dtype else {}),
            },
        }


def plan_import(
    out: str | Path,
    request: Request,
    *,
    tasks: Mapping[str, Factory] | None = None,
    models: Mapping[str, Factory] | None = None,
    progress: Watch | None = None,
) -> Plan:
    """Return what importing `request` into `out` would write; nothing is written, but to try a URL.

    What is wrong with files is in its `problems`; what is wrong with the request itself is raised, as by
    `import_checkpoints`, and so is RunError.
    """
    rule = StepRule(request.step_from, request.steps, request.step)
    naming = Naming(request.layout, read_rules(request.rename), request.strip, read_ties(request.tie))
    curve = read_curves(Path(request.curves)) if request.curves else Curve()
    paths = find(request.checkpoints, request.leave_out)
    site = site_of(out)
    require_writable(site)
    rule.check(len(paths))
    goal = request.outcome, request.above, request.below
    said: dict[str, Any] = {}
    if tasks is None or models is None or goal != (None, None, None):
        plugins = load_plugins()
        said = plugins.outcome(*goal)
        tasks = plugins.tasks if tasks is None else tasks
        models = plugins.models if models is None else models
    view: dict[str, Any] = {"layers": list(request.layers)} if request.layers else {}
    view |= {"positions": request.positions} if request.positions != "auto" else {}
    setup = set_up(
        request.task,
        request.model,
        with_beside(request.settings, request.task, request.model, paths),
        tasks,
        models,
        view=view,
        most=request.examples,
        recipe=request.recipe,
        loss=request.loss,
        accuracy=request.accuracy,
    )
    reader = Reader(setup, naming, curve, at=request.at, links=request.link)
    known = known_at(site, request.link, bool(curve.points))
    code = fingerprint(setup.network, setup.made_by) if setup.made_by else ""
    computed = known.records if known.has_losses_of(code) else {}
    found, problems = check(paths, reader, rule, computed, progress or (lambda *_: None))
    if request.skip_damaged:
        for problem in problems:
            if problem.skippable:
                reader.note(f"left out: {problem.error}")
        problems = [problem for problem in problems if not problem.skippable]
        if not found and not problems:
            raise UsageError("`skip_damaged` must leave something: every file of `checkpoints` is left out")
    once, more = distinct(found, request.link, known.linked, reader.note)
    if reader.has_begun:
        once, others = known.new(once, reader, code)
        more += others
    remarks = [
        *reader.remarks,
        *known.remarks(once),
        *curve.remarks([*known.records, *(i.record.step for i in once)]),
    ]
    problems += more
    whole = known.has_losses_of(code) or set(known.records) <= {item.record.step for item in found}
    return Plan(
        site, once, known, remarks, problems, len(paths), whole, reader, request.link, curve, code, said
    )


def _write(run: Run, reader: Reader, new: Sequence[Checked], records: Mapping[int, Record]) -> None:
    for item in sorted(new, key=lambda item: (item.path, item.record.position)):
        record = records[item.record.step]
        if record.linked:
            run.link_checkpoint(record.step, item.path)
            continue
        source = reader.read(item.path)
        if source.sha256 != record.sha256:
            raise DamagedFile(f"{item.path} was changed while it was imported; import it again")
        weights = reader.weights(source.state(max(0, record.position)), str(item.path))
        metrics = dict(zip(CURVE_COLUMNS, record.point, strict=True))
        run.save_checkpoint(record.step, weights, metrics, record.columns, kinds=reader.kinds)
