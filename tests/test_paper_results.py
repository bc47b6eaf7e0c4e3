"""The guides on the papers tell what the committed data gives, and their pictures are drawn from it."""

import io
import runpy
from pathlib import Path

import numpy as np
import pytest

from grokscope import load_plugins
from grokscope.report.figures import picture
from grokscope.reproduce.kept import Kept

EXAMPLES = Path(__file__).parents[1] / "examples"
RESULTS, GUIDES = EXAMPLES / "results", EXAMPLES / "guides"
SCRIPT = runpy.run_path(str(EXAMPLES / "paper_tables.py"))
PAPERS = {"clauw": 9, "golechha": 4, "tan": 16}
GALLERY = sorted((EXAMPLES / "gallery").glob("*.png"))


@pytest.fixture(scope="module")
def judged():
    return {paper: SCRIPT["judged"](paper) for paper in PAPERS}


@pytest.mark.parametrize("paper", PAPERS)
def test_the_tables_are_those_of_the_data(judged, paper):
    found = judged[paper]
    assert len(found) == PAPERS[paper]
    assert not [failure for each in found for failure in each.failures]
    guide = (GUIDES / f"papers-{paper}.md").read_text()
    table = "\n".join(SCRIPT["verdicts"](found))
    assert table in guide, f"run python examples/paper_tables.py {paper}; put this into the guide"
    page = SCRIPT["page"](paper, found)
    assert (RESULTS / f"{paper}.md").read_text() == f"{page}\n", "run it with --page too"


def test_the_data_is_small_and_names_no_place_of_a_machine():
    tables = [path for paper in PAPERS for path in (RESULTS / paper).iterdir()]
    assert sum(path.stat().st_size for path in RESULTS.rglob("*.csv")) < 5_000_000
    for path in tables:
        assert path.name in ("runs.csv", "groups.csv", "courses.csv")
        assert "/" not in path.read_text().replace("train/test", "")


def grey(png):
    """A picture in blocks of about 20 pixels: other fonts and antialiasing leave these nearly as they are."""
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(png) if isinstance(png, bytes) else png)[..., :3].mean(-1)
    high, wide = (20 * (side // 20) for side in pixels.shape)
    return pixels.shape, pixels[:high, :wide].reshape(high // 20, 20, wide // 20, 20).mean((1, 3))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=() if path.stem == "tan-8" else pytest.mark.slow, id=path.stem)
        for path in GALLERY
    ],
)
def test_pictures_are_drawn_from_the_data(path):
    plugins, name = load_plugins(), path.stem
    figure = plugins.figures[name]
    kept = Kept.read(RESULTS / figure.paper.key)
    drawn = picture(kept.reproduction(figure, plugins).draw(), "png")
    shape, blocks = grey(drawn)
    known_shape, known = grey(path)
    assert np.abs(np.subtract(shape, known_shape)).max() <= 20
    same = np.minimum(blocks.shape, known.shape)
    apart = np.abs(blocks[: same[0], : same[1]] - known[: same[0], : same[1]])
    paper = f"examples/results/{figure.paper.key}"
    assert (apart > 0.1).mean() < 0.01, (
        f"grokscope reproduce {name} --from {paper} -o examples/gallery/{name}.png"
    )
