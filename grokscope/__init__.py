"""grokscope: train networks until they grok, keep every checkpoint, and measure the checkpoints afterwards.

Everything public is here. What needs torch, h5py or a plugin is loaded when it is first used, so that
`import grokscope` and the command line's help stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from grokscope.declare import Param, model, task
from grokscope.errors import (
    DamagedFile,
    DataError,
    GrokscopeError,
    MeasureError,
    NotApplicable,
    PluginError,
    RunError,
    SettingError,
    StorageError,
    TrainingError,
    UnfitBaseline,
    UnknownName,
    UsageError,
)
from grokscope.hookspecs import hookimpl
from grokscope.hypothesis import Hypothesis, hypothesis
from grokscope.measure import Column, Measure, measure

if TYPE_CHECKING:
    from grokscope import figure, numbers, objective
    from grokscope.analysis import analyze, analyze_many
    from grokscope.analysis.verifying import verify
    from grokscope.discovery import load_plugins
    from grokscope.export import write_events, write_table
    from grokscope.importing import import_checkpoints
    from grokscope.models.chain import Chain, relu_chain
    from grokscope.models.network import Network
    from grokscope.probe import Probe
    from grokscope.recording import Recorder, record
    from grokscope.registry import Plugins
    from grokscope.report.figures import plot
    from grokscope.report.page import write_report
    from grokscope.results import Comparison, Results
    from grokscope.run import Run
    from grokscope.run.verify import Finding
    from grokscope.statistics import courses
    from grokscope.statistics.phases import Phases, phases
    from grokscope.statistics.predict import Prediction, predict
    from grokscope.statistics.score import Scores, score
    from grokscope.statistics.verdicts import Verdict, verdicts
    from grokscope.tasks.task import Task
    from grokscope.training import train
    from grokscope.training.sweep import Sweep, sweep

__all__ = [
    "Chain",
    "Column",
    "Comparison",
    "DamagedFile",
    "DataError",
    "Finding",
    "GrokscopeError",
    "Hypothesis",
    "Measure",
    "MeasureError",
    "Network",
    "NotApplicable",
    "Param",
    "Phases",
    "PluginError",
    "Plugins",
    "Prediction",
    "Probe",
    "Recorder",
    "Results",
    "Run",
    "RunError",
    "Scores",
    "SettingError",
    "StorageError",
    "Sweep",
    "Task",
    "TrainingError",
    "UnfitBaseline",
    "UnknownName",
    "UsageError",
    "Verdict",
    "analyze",
    "analyze_many",
    "courses",
    "figure",
    "hookimpl",
    "hypothesis",
    "import_checkpoints",
    "load_plugins",
    "measure",
    "model",
    "numbers",
    "objective",
    "phases",
    "plot",
    "predict",
    "record",
    "relu_chain",
    "score",
    "sweep",
    "task",
    "train",
    "verdicts",
    "verify",
    "write_events",
    "write_report",
    "write_table",
]

_LAZY = {
    "Chain": "grokscope.models.chain",
    "Comparison": "grokscope.results",
    "Finding": "grokscope.run.verify",
    "Network": "grokscope.models.network",
    "Phases": "grokscope.statistics.phases",
    "Plugins": "grokscope.registry",
    "Prediction": "grokscope.statistics.predict",
    "Probe": "grokscope.probe",
    "Recorder": "grokscope.recording",
    "Results": "grokscope.results",
    "Run": "grokscope.run",
    "Scores": "grokscope.statistics.score",
    "Sweep": "grokscope.training.sweep",
    "Task": "grokscope.tasks.task",
    "Verdict": "grokscope.statistics.verdicts",
    "analyze": "grokscope.analysis",
    "analyze_many": "grokscope.analysis",
    "courses": "grokscope.statistics.courses",
    "figure": "grokscope.figure",
    "import_checkpoints": "grokscope.importing",
    "load_plugins": "grokscope.discovery",
    "numbers": "grokscope.numbers",
    "objective": "grokscope.objective",
    "phases": "grokscope.statistics.phases",
    "plot": "grokscope.report.figures",
    "predict": "grokscope.statistics.predict",
    "record": "grokscope.recording",
    "relu_chain": "grokscope.models.chain",
    "score": "grokscope.statistics.score",
    "sweep": "grokscope.training.sweep",
    "train": "grokscope.training",
    "verdicts": "grokscope.statistics.verdicts",
    "verify": "grokscope.analysis.verifying",
    "write_events": "grokscope.export",
    "write_report": "grokscope.report.page",
    "write_table": "grokscope.export",
}

_MODULES = ("courses", "figure", "numbers", "objective")  # exported whole


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'grokscope' has no attribute {name!r}")
    home = import_module(_LAZY[name])
    value = home if name in _MODULES else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
