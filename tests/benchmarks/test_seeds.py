"""A step of five seeds one after the other, beside the same five together, both as `sweep` does it."""

import pytest
import seeds

from grokscope.device import denormals_flushed, keep_memory


@pytest.mark.parametrize("recipe", ["parity", "permutation", "xor", "clauw"])
def test_seeds(race, recipe, tmp_path):
    keep_memory()
    alone, joined = (seeds.prepare(recipe, tmp_path, {}, together) for together in (False, True))
    ways = {"one by one": _way(seeds.one_by_one(alone), alone)}
    size = len(alone[0].order.draw()[1])
    with denormals_flushed():
        race(
            f"a step of five seeds of `{recipe}`, {size} examples of each, together",
            _way(seeds.together(joined), joined),
            ways,
            within=1e-3,
        )


def _way(step, runs):
    def way():
        step()
        return seeds.weights(runs)

    return way
