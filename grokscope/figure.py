"""How a paper's figure declares itself, as data: the runs it needs, what is drawn, and what is claimed.

Imports nothing heavy, so that plugins which bring figures load as quickly as those that do not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from grokscope.errors import PluginError
from grokscope.hypothesis import PAIRS, RUNS, Hypothesis

__all__ = ["Asked", "Figure", "Group", "Panel", "Paper", "Reading", "Subnetwork", "Trained", "asked"]

_KEY = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Paper:
    """A paper: how it is cited, its number on arXiv, and where its captions were read."""

    key: str
    cited: str
    arxiv: str


@dataclass(frozen=True)
class Trained:
    """Runs of one recipe that differ in their seed only, or in what their sources say.

    Attributes:
        task, recipe, settings: what `sweep` is called with.
        quick: settings that `--quick` puts over them.
        seeds: how many, from 0.
    """

    task: str
    recipe: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 3


@dataclass(frozen=True)
class Subnetwork:
    """Runs of a part of the networks of another group: the units of the most synergistic multiplet.

    Attributes:
        of: the group whose runs are the sources.
        column: `measure.column`; the multiplet is the one that its measure finds where it is largest.
        inverse: whether the other units are kept instead.
        parameters: of the measure, by `measure.parameter`.
    """

    of: str
    column: str
    inverse: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def measure(self) -> str:
        """The measure that finds the multiplet."""
        return self.column.partition(".")[0]


@dataclass(frozen=True)
class Group:
    """Runs that are shown and checked together, under one name, and what is measured on them.

    Attributes:
        runs: what is trained.
        measures: what is measured; the curves of loss and accuracy are there anyway.
        steps: which checkpoints are measured, as `--steps` of `analyze`; `quick_steps` with `--quick`.
        parameters: of the measures, by `measure.parameter`.
        stand_ins: what is trained instead where the task's data is not at hand: the first whose data is.
        columns: columns that are read in place of others, by the name that panels and the check use.
    """

    runs: Trained | Subnetwork
    measures: tuple[str, ...] = ()
    steps: str = "all"
    quick_steps: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stand_ins: tuple[Trained, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """One way to read what a paper leaves open: what is laid over the groups before a claim is judged.

    Attributes:
        name: what `--readings` calls it; neither `all` nor `primary`, and without a comma.
        takes: what it takes for what, and why that can be defended, in a sentence.
        recipes: the recipe that is trained instead, by the recipe of the group.
        settings: of training, over those of the groups.
        parameters: of the measures that a group has, over its own.
        columns: columns that are read in place of others, by the name that panels and the check use.
        tasks: whose groups it is laid over; all when empty.
    """

    name: str
    takes: str
    recipes: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()

    def of(self, group: Group) -> Group:
        """Return the group as this reading has it."""
        runs = group.runs
        if isinstance(runs, Subnetwork):
            return replace(group, runs=replace(runs, parameters=self._over(runs.parameters, (runs.measure,))))
        return replace(
            group,
            runs=self._trained(runs),
            parameters=self._over(group.parameters, group.measures),
            stand_ins=tuple(map(self._trained, group.stand_ins)),
            columns={**group.columns, **_of_measures(self.columns, group.measures)},
        )

    def _trained(self, runs: Trained) -> Trained:
        recipe = None if runs.recipe is None else self.recipes.get(runs.recipe, runs.recipe)
        return replace(runs, recipe=recipe, settings={**runs.settings, **self.settings})

    def _over(self, parameters: Mapping[str, Any], measures: tuple[str, ...]) -> dict[str, Any]:
        return {**parameters, **_of_measures(self.parameters, measures)}


def _of_measures(named: Mapping[str, Any], measures: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if name.partition(".")[0] in measures}


PUBLISHED = Reading("as published", "the settings that the paper gives")


@dataclass(frozen=True)
class Panel:
    """One panel: courses of groups over steps, or two columns against each other.

    Attributes:
        groups: whose runs.
        left, right: columns on the left and right axis; metrics of the curve are columns too.
        title: what stands above it.
        normalise: every course from 0 to 1 over its run, as Clauw et al. draw synergy and redundancy.
        pareto: `left` is (x, y), drawn against each other and coloured by step.
        log_y: the right axis is logarithmic.
        smooth: columns of measures are drawn as `courses.smoothed` has them; stored values stay as they are.
    """

    groups: tuple[str, ...]
    left: tuple[str, ...] = ("train_accuracy", "test_accuracy")
    right: tuple[str, ...] = ()
    title: str = ""
    normalise: bool = False
    pareto: bool = False
    log_y: bool = False
    smooth: bool = False


@dataclass(frozen=True)
class Asked:
    """One part of a figure's claim: a hypothesis, and the figure's groups that it is asked of.

    Attributes:
        hypothesis: about `runs`, or about `pairs`: then it gets runs of one seed, one of each group.
        groups: of the figure, as many as the hypothesis takes, in its order.
    """

    hypothesis: Hypothesis
    groups: tuple[str, ...]

    @property
    def rule(self) -> str:
        """What is checked and where, in a sentence."""
        return f"{' and '.join(self.groups)}: {self.hypothesis.rule}"


def asked(hypothesis: Hypothesis, *groups: str) -> Asked:
    """Return a part of a claim: the hypothesis, asked of these groups of the figure.

    Raises PluginError where the hypothesis cannot be asked so.
    """
    if hypothesis.about not in (RUNS, PAIRS):
        about = hypothesis.about
        raise PluginError(
            f"hypothesis {hypothesis.name}: a figure asks about runs or pairs, it is about {about}"
        )
    wanted = len(hypothesis.groups) if hypothesis.about == PAIRS else 1
    if len(groups) != wanted:
        named = f"a figure must name {wanted} of its groups for it, got {list(groups)}"
        raise PluginError(f"hypothesis {hypothesis.name}: {named}")
    return Asked(hypothesis, groups)


@dataclass(frozen=True)
class Figure:
    """One figure of a paper.

    Attributes:
        paper, number: which.
        title: its caption, or what it shows.
        claim: what the paper says of it.
        where: the paper's section.
        groups: the runs it needs, by name; a group may need one before it.
        panels: what is drawn.
        asks: the claim, part by part.
        reconstructed: why the form is a reconstruction, when the paper's own was not at hand.
        beyond: by the name of a circumstance ("quick", "stand-in") why nothing can be decided under it.
        readings: the ways to read the paper under which the claim is judged; the first is the primary one.
    """

    paper: Paper
    number: int
    title: str
    claim: str
    where: str
    groups: Mapping[str, Group]
    panels: tuple[Panel, ...]
    asks: tuple[Asked, ...]
    reconstructed: str = ""
    beyond: Mapping[str, str] = field(default_factory=dict)
    readings: tuple[Reading, ...] = (PUBLISHED,)

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise PluginError(f"figure {self.name}: {problem}")

    def _problem(self) -> str:
        """Return what is wrong with the declaration, or nothing."""
        if not _KEY.fullmatch(self.paper.key):
            return f"a paper's key must be letters, digits and underscores, got {self.paper.key!r}"
        if not (self.panels and self.asks and self.readings):
            return "it must have a panel, something that is asked, and a reading"
        known: list[str] = []
        for name, group in self.groups.items():
            if isinstance(group.runs, Subnetwork) and group.runs.of not in known:
                return f"group {name} must come after {group.runs.of}, whose networks it takes parts of"
            known.append(name)
        wanted = {name for panel in self.panels for name in panel.groups}
        wanted |= {name for part in self.asks for name in part.groups}
        missing = sorted(wanted - set(known))
        return f"there is no group {missing[0]!r}; its groups are {', '.join(known)}" if missing else ""

    def under(self, reading: Reading) -> Figure:
        """Return the figure with its groups as `reading` has them."""
        read = {
            name: reading.of(group) if not reading.tasks or self._task(group) in reading.tasks else group
            for name, group in self.groups.items()
        }
        return replace(self, groups=read)

    def _task(self, group: Group) -> str:
        runs = group.runs
        return self._task(self.groups[runs.of]) if isinstance(runs, Subnetwork) else runs.task

    @property
    def name(self) -> str:
        """What the command calls it, for example `clauw-2`."""
        return f"{self.paper.key}-{self.number}"

    @property
    def source(self) -> str:
        """Where in which paper it stands."""
        return f"{self.paper.cited}, arXiv {self.paper.arxiv}, figure {self.number} ({self.where})"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks whose runs it needs."""
        trained = (group.runs for group in self.groups.values())
        return tuple(dict.fromkeys(runs.task for runs in trained if isinstance(runs, Trained)))
