"""What `doctor` looks at: the installation against what it declares, and one small run from end to end."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from grokscope.errors import GrokscopeError

SELF_TEST = {
    "task.p": 5,
    "model.hidden": [8],
    "training.steps": 20,
    "training.checkpoint_every": "10",
}
NOT_FOR_USERS = ("dev", "bench")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        group: `versions`, `extras`, `plugins`, `device` or `self-test`.
        name: of the thing.
        found: what was found, in words.
        amiss: whether it keeps grokscope from working as it should; an extra that is not installed does not.
    """

    group: str
    name: str
    found: str
    amiss: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the check as data for JSON."""
        return asdict(self)


def examine() -> list[Check]:
    """Return every check, in order; the self-test works in a temporary folder."""
    return [*_versions(), *_extras(), *_plugins(), _device(), _self_test()]


def _versions() -> Iterator[Check]:
    yield Check("versions", "python", platform.python_version())
    yield Check("versions", "grokscope", version("grokscope"))
    for need in _requirements():
        if need.marker is None:
            yield _against("versions", need)


def _extras() -> Iterator[Check]:
    """Yield a check for each extra; what it needs is asked of the metadata and never imported."""
    needs: dict[str, list[Any]] = {}
    for need in _requirements():
        for extra in _extras_of(need):
            needs.setdefault(extra, []).append(need)
    for extra, wanted in needs.items():
        checks = [_against("extras", need) for need in wanted]
        missing = [check.name for check in checks if check.found == "missing"]
        old = [f"{check.name} {check.found}" for check in checks if check.amiss and check.found != "missing"]
        if missing:
            words = f"without {', '.join(missing)}: pip install 'grokscope[{extra}]'"
        else:
            words = ", ".join(old) or ", ".join(f"{check.name} {check.found}" for check in checks)
        yield Check("extras", extra, words, bool(old))


def _requirements() -> list[Any]:
    from packaging.requirements import Requirement

    return [Requirement(line) for line in requires("grokscope") or ()]


def _extras_of(need: Any) -> Iterable[str]:
    if need.marker is None or need.name == "grokscope":
        return
    marker = str(need.marker)
    if 'extra == "' in marker:
        extra = marker.partition('extra == "')[2].partition('"')[0]
        if extra not in NOT_FOR_USERS:
            yield extra


def _against(group: str, need: Any) -> Check:
    try:
        found = version(need.name)
    except PackageNotFoundError:
        return Check(group, need.name, "missing", True)
    if need.specifier.contains(found, prereleases=True):
        return Check(group, need.name, found)
    return Check(group, need.name, f"{found}, must be {need.specifier}", True)


def _plugins() -> Iterator[Check]:
    from grokscope.discovery import load_plugins

    for plugin in load_plugins().plugins:
        origin = f"{plugin.distribution} {plugin.version}".strip()
        words = f"broken: {plugin.problem}" if plugin.problem else f"of {origin}"
        yield Check("plugins", plugin.name, words, bool(plugin.problem))


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("device", "cuda", torch.cuda.get_device_name())
    return Check(
        "device", "cpu", f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    )


def _self_test() -> Check:
    """Train, measure and read back a tiny network, each through the doors that a user takes."""
    from grokscope.analysis import analyze
    from grokscope.run import Run
    from grokscope.training import train

    try:
        with tempfile.TemporaryDirectory() as folder:
            run = train("modadd", settings=SELF_TEST, out=Path(folder) / "run")
            first = analyze(run)
            again = analyze(run)
            problems = [*Run.open(run.path).problems, *map(str, first.failures)]
            if again.computed:
                problems.append(f"{again.computed} results were not found again")
    except (GrokscopeError, OSError) as error:
        problems = [str(error)]
    if problems:
        return Check("self-test", "train and measure", problems[0], True)
    return Check(
        "self-test", "train and measure", f"{first.computed} results on {len(first.steps)} checkpoints"
    )
