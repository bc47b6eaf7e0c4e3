"""The notebook in examples runs from top to bottom, and is kept without what it printed."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "examples" / "tour.ipynb"


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Jupyter with this interpreter as its only kernel, and with nothing of the user's."""
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    for name in (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "MPLCONFIGDIR",
    ):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.delenv("MPLBACKEND", raising=False)


@pytest.fixture
def ran(kernel, tmp_path):
    """The notebook after it has run in an empty folder; outputs by cell."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (tmp_path / "empty").mkdir()
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path / "empty")}})
    client.execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def shown(outputs, kind="text/plain"):
    return "\n".join(output.data[kind] for output in outputs if kind in output.get("data", {}))


def test_it_runs_from_top_to_bottom(ran):
    memorised, grokked = (int(step) for step in shown(ran["train"]).strip("()").split(","))
    assert 20 <= memorised <= 100 < grokked <= 350
    assert "oinfo" in shown(ran["stored"])
    for cell in ("plot", "own", "compare"):
        assert shown(ran[cell], "image/png"), f"{cell} draws nothing"
    assert "weight_decay" in shown(ran["sweep"])
    assert not [output for outputs in ran.values() for output in outputs if output.output_type == "stream"]


def test_it_is_kept_tidy():
    text = NOTEBOOK.read_text()
    notebook = json.loads(text)
    nbformat.validate(notebook)
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        assert not cell.get("outputs"), "outputs are not kept: they would be of another day"
        assert cell.get("execution_count") is None
        assert cell["metadata"] == {}
