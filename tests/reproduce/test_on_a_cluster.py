"""A figure whose runs are trained and measured on a Dask cluster comes out as it does here."""

import pytest

from grokscope.reproduce import reproduce
from grokscope.reproduce.account import as_dict
from grokscope.run import Run


@pytest.mark.slow
def test_a_figure_on_a_cluster_is_the_figure(toy, tmp_path, dask_client, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GROKSCOPE_DATA_DIR", raising=False)
    here = reproduce(toy, quick=True, out="here")
    there = reproduce(toy, quick=True, out="there", dask=dask_client)
    assert not there.failures
    assert str(as_dict(there)).replace("there/", "here/") == str(as_dict(here))
    paths = list((tmp_path / "here").iterdir())
    assert len(paths) == 4
    for path in paths:
        one, other = Run.open(path), Run.open(tmp_path / "there" / path.name)
        assert [c.sha256 for c in one.checkpoints] == [c.sha256 for c in other.checkpoints]
        assert list(map(repr, one.values())) == list(map(repr, other.values()))
