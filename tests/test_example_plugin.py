"""The example plugin is complete: pip installs it into a fresh environment, where it is found and works."""

import os
import shutil
import site
import subprocess
import venv
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "grokscope-kurtosis"


def run(*command: str, cwd: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "120"}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A fresh environment that sees this one's packages, with the example installed from a copy, offline."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder / "env", with_pip=False)
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    # addsitedir and not a plain path: .pth files there, as an editable install's, must be followed too.
    ours = [path for path in site.getsitepackages() if Path(path).is_dir()]
    (packages / "ours.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in ours))
    shutil.copytree(EXAMPLE, folder / "source")
    python = str(folder / "env" / "bin" / "python")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    run(python, "-m", "pip", "install", *options, str(folder / "source"), cwd=folder)
    return python


def test_it_is_found_with_its_family_distribution_and_version(python: str, tmp_path: Path) -> None:
    code = (
        "from grokscope.discovery import load_plugins; (found,) = load_plugins().select(['kurtosis']); "
        "print(found.id, found.distribution, found.version)"
    )
    assert run(python, "-c", code, cwd=tmp_path).split() == [
        "kurtosis:kurtosis",
        "grokscope-kurtosis",
        "0.1.0",
    ]


def test_the_command_shows_it(python: str, tmp_path: Path) -> None:
    listing = run(python, "-m", "grokscope", "measures", cwd=tmp_path)
    assert "Excess kurtosis of each hidden layer's activations" in " ".join(listing.split())
    assert "grokscope-kurtosis 0.1.0" in run(python, "-m", "grokscope", "measures", "kurtosis", cwd=tmp_path)


def test_its_own_tests_pass(python: str, tmp_path: Path) -> None:
    test = shutil.copy(EXAMPLE / "test_kurtosis.py", tmp_path)
    assert "4 passed" in run(python, "-m", "pytest", "-p", "no:cacheprovider", str(test), cwd=tmp_path)


def test_it_is_as_short_as_promised() -> None:
    assert len((EXAMPLE / "grokscope_kurtosis.py").read_text().splitlines()) <= 25
