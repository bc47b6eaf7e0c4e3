"""Prints constraints that hold every dependency at the lowest version that pyproject.toml admits.

`sh tests/run.sh --lowest` installs with them. torch is left out, and torchvision, which goes with one torch
only: tests/constraints.txt says which torch there is.
"""

import re
import tomllib
from pathlib import Path

FLOOR = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=|==)\s*([0-9][0-9.]*)")
ELSEWHERE = ("torch", "torchvision")


def lowest(project):
    """The constraint of every dependency of `project`, extras included, by name.

    Raises ValueError for a dependency without a floor, and for one that has two.
    """
    extras = project["optional-dependencies"].values()
    found = {}
    for requirement in [*project["dependencies"], *(each for extra in extras for each in extra)]:
        if requirement.startswith("grokscope["):
            continue
        floor = FLOOR.fullmatch(requirement)
        if floor is None:
            raise ValueError(f"{requirement!r} must be a name and a lowest version, as in 'numpy >= 1.26'")
        name, version = floor.groups()
        if found.setdefault(name, version) != version:
            raise ValueError(f"{name} has two lowest versions, {found[name]} and {version}")
    return {name: version for name, version in found.items() if name not in ELSEWHERE}


if __name__ == "__main__":
    pyproject = Path(__file__).parent.parent / "pyproject.toml"
    for name, version in lowest(tomllib.loads(pyproject.read_text())["project"]).items():
        print(f"{name}=={version}")
