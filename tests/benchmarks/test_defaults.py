"""All default measures of some checkpoints together, beside each of them by itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from grokscope import analyze, load_plugins, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clauw` as it memorises, the baseline and four checkpoints."""
    settings = {"training.steps": 400, "training.checkpoint_every": 100}
    return train(
        "modadd", recipe="clauw", settings=settings, out=tmp_path_factory.mktemp("runs") / "clauw"
    ).path


def test_default_measures(race: Any, run: Path) -> None:
    """Reading and storing, and what checkpoints share, is in both; results of other rounds are in none."""
    plugins = load_plugins()
    names = [each.title for each in plugins.select()]
    fresh = run.with_name("fresh")

    def prepare() -> None:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(run, fresh)

    def numbers(names: list[str]) -> dict[tuple[str, ...], float]:
        found = analyze(fresh, names, steps="100:400", plugins=plugins).long()
        told = (
            (str(row["step"]), row["measure"], row["layer"] or "", row["column"], row["value"])
            for row in found
        )
        return {tuple(name): value for *name, value in told if isinstance(value, float)}

    def apart() -> list[float]:
        every = {name: value for each in names for name, value in numbers([each]).items()}
        return [every[name] for name in sorted(every)]

    def together() -> list[float]:
        every = numbers(names)
        return [every[name] for name in sorted(every)]

    race(
        f"all {len(names)} default measures of four checkpoints of `clauw`",
        together,
        {"each of them by itself": apart},
        within=1e-12,
        prepare=prepare,
        targets={"each of them by itself": 3},
    )
