"""Which code of the user's own a run is measured with now, and whether it is what it was."""

from __future__ import annotations

from typing import NamedTuple

from grokscope.analysis.plan import Place
from grokscope.errors import GrokscopeError
from grokscope.registry import Plugins
from grokscope.run import Run, glue
from grokscope.run.code import own_code


class Code(NamedTuple):
    """What code of the user's own makes a run's network.

    Attributes:
        fingerprint: its fingerprint; "" where there is no such code.
        remark: what is to be said of it, or nothing.
    """

    fingerprint: str = ""
    remark: str = ""


NO_CODE = Code()
BROKEN = "broken"  # no code's fingerprint


def code_of(run: Run, plugins: Plugins, place: Place) -> Code:
    """Return the code that `run` is measured with.

    What may not be imported is what it was when the run was last measured; of what cannot be imported nothing
    is stored, and the cells say why.
    """
    if not own_code(run.config):
        return NO_CODE
    before = glue.remembered(run.path)
    if not place.trusted.may_import(run.config):
        return Code(before)
    from grokscope.analysis.engine import Bench

    try:
        now = Bench(run, plugins.tasks, plugins.models, place).fingerprint()
    except GrokscopeError:
        return Code(BROKEN)
    if now != before and run.writable:
        glue.remember(run.path, now)
    return Code(now, _changed(run, now, before))


def _changed(run: Run, now: str, before: str) -> str:
    """Return what is said where the code is not what it was; nothing where it is."""
    said = []
    if before and now != before:
        said.append("what needs the network is computed anew")
    if glue.of_losses(run.path) not in ("", now):
        renews = "importing it again renews them" if run.is_imported else "`fit` measures them anew"
        said.append(f"the losses and accuracies in the run are of the code that it was, and {renews}")
    about = f"{run.path}: the code of {run.config['model']['name']} is not what it was: "
    return about + "; ".join(said) if said else ""
