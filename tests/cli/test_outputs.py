"""Every output that a command names goes through a link, keeps a mode, and into a pipe."""

import os
import re
import stat
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WRITERS = {
    "csv": ("analyze", "RUN", "-m", "weight_norm", "--csv"),
    "score.csv": ("score", "RUN", "-m", "weight_norm", "--csv"),
    "predict.csv": ("predict", "RUN", "-m", "weight_norm", "--csv"),
    "export.csv": ("export", "RUN", "-q", "-o"),
    "export.json": ("export", "RUN", "-q", "-o"),
    "export.parquet": ("export", "RUN", "-q", "-o"),
    "plot.png": ("plot", "RUN", "-o"),
    "plot.pdf": ("plot", "RUN", "-o"),
    "report.html": ("report", "RUN", "-m", "weight_norm", "-o"),
}


@pytest.fixture(scope="module")
def measured(trained, tmp_path_factory):
    import shutil

    from grokscope import analyze

    path = shutil.copytree(trained, tmp_path_factory.mktemp("measured") / "run")
    analyze(path, "weight_norm")
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_links_modes_and_pipes(cli, measured, tmp_path, name):
    def write(place):
        words = [str(measured) if word == "RUN" else word for word in WRITERS[name]]
        ended = cli(*words, place)
        assert ended.code == 0, ended.err
        return ended

    target = tmp_path / "real" / name
    target.parent.mkdir()
    target.write_bytes(b"old")
    target.chmod(0o600)
    (tmp_path / name).symlink_to(target)
    write(tmp_path / name)
    assert (tmp_path / name).is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(target.parent) == [name]
    whole = target.read_bytes()
    assert len(whole) > 100

    pipe = tmp_path / f"pipe.{name}"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe)
    reader.join(60)
    assert read == [whole]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_pipe_without_an_ending_gets_what_is_usual(cli, measured, tmp_path):
    begins = {"export": b"run,step", "plot": b"\x89PNG", "report": b"<!doctype html>"}
    for command, start in begins.items():
        pipe = tmp_path / command
        os.mkfifo(pipe)
        read = []
        reader = threading.Thread(
            target=lambda read=read, pipe=pipe: read.append(pipe.read_bytes()), daemon=True
        )
        reader.start()
        more = ("-m", "weight_norm") if command == "report" else ()
        assert cli(command, measured, *more, "-q", "-o", pipe).code == 0
        reader.join(60)
        assert read[0][: len(start)].lower() == start.lower()
        assert cli(command, measured, *more, "-q", "-o", tmp_path / "none").code == 2


def test_event_files_replace_but_follow_no_link(cli, measured, tmp_path):
    pytest.importorskip("tensorboard")
    given = ("export", measured, "-q", "--tensorboard", tmp_path / "events")
    assert cli(*given).code == 0
    [file] = (tmp_path / "events" / "run").iterdir()
    file.chmod(0o600)
    assert cli(*given).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (tmp_path / "mine").write_bytes(b"mine")
    file.unlink()
    file.symlink_to(tmp_path / "mine")
    ended = cli(*given)
    assert (ended.code, "it is a link" in ended.err) == (1, True)
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_nothing_but_the_run_s_own_files_is_written_in_another_way():
    writing = re.compile(
        r"atomic_write\(|write_bytes\(|write_text\(|savefig\((?!data)|open\([^)]*[\"'][wax]b?[\"']"
    )
    for path in sorted((ROOT / "grokscope").rglob("*.py")):
        room = path.relative_to(ROOT / "grokscope").parts[0]
        if room in ("cli", "report", "export", "reproduce", "statistics", "analysis"):
            found = [line for line in path.read_text().splitlines() if writing.search(line)]
            assert [line for line in found if "sys.stdout" not in line] == [], path
