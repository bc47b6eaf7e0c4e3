"""What is read of distributions is what importlib.metadata reads, which is asked about all but folders."""

import importlib.metadata
import subprocess
import sys
import zipfile

import pytest

from grokscope import load_plugins
from grokscope.installed import Distribution, EntryPoint, distributions

SOURCE = """
from grokscope import Column, hookimpl, measure

@measure(columns=[Column("x", "x")])
def zipped(weights):
    "X."
    return {"x": 1.0}

@hookimpl
def grokscope_measures():
    return [zipped]
"""


def told(every):
    return sorted(
        (
            each.metadata["Name"] or "",
            each.metadata["Version"] or "",
            sorted((point.group, point.name, point.value) for point in each.entry_points),
        )
        for each in every
    )


def test_what_is_installed_here_is_told_as_importlib_metadata_tells_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path, str(tmp_path / "nowhere")])
    assert told(distributions()) == told(importlib.metadata.distributions())


ALONE = """
import sys
from grokscope.installed import Distribution, distributions
read = {each.metadata["Name"] for each in distributions() if type(each) is Distribution}
assert "importlib.metadata" not in sys.modules
print(*sorted(read))
"""


def test_where_no_package_brings_a_finder_folders_are_read_without_importlib_metadata():
    """Such a package may be loaded by now in this process."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert {"grokscope", "pytest", "torch"} <= set(done.stdout.split())


@pytest.fixture
def archive(tmp_path, monkeypatch):
    path = tmp_path / "plugins.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("zipped.py", SOURCE)
        file.writestr("zipped-1.2.dist-info/METADATA", "Name: zipped\nVersion: 1.2\n")
        file.writestr("zipped-1.2.dist-info/entry_points.txt", "[grokscope]\nzipped = zipped\n")
    monkeypatch.syspath_prepend(str(path))
    yield path
    sys.modules.pop("zipped", None)


def test_a_plugin_in_an_archive_is_found(archive):
    (plugin,) = [each for each in load_plugins().plugins if each.name == "zipped"]
    assert (plugin.problem, plugin.version) == ("", "1.2")


def test_another_finder_is_asked_too(monkeypatch):
    class Finder:
        @staticmethod
        def find_distributions(context):
            return [Elsewhere()]

        @staticmethod
        def find_spec(name, path=None, target=None):
            return None

    class Elsewhere(importlib.metadata.Distribution):
        def read_text(self, filename):
            return "Name: elsewhere\nVersion: 3\n" if filename == "METADATA" else None

        def locate_file(self, path):
            return path

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert ("elsewhere", "3", []) in told(distributions())


def test_entry_points_with_comments_objects_and_extras(tmp_path):
    text = "# ours\n[other]\na = b\n\n[grokscope]\nx = os.path : join [more]\n y=  math:pi\nz = no module\n"
    (tmp_path / "entry_points.txt").write_text(text)
    points = Distribution(str(tmp_path)).entry_points
    assert [(point.group, point.name) for point in points] == [
        ("other", "a"),
        *(("grokscope", name) for name in "xyz"),
    ]
    assert points[1].load()("a", "b") == "a/b"
    assert points[2].load() == pytest.approx(3.14159265)
    assert EntryPoint("m", "math", "g").load() is __import__("math")
    with pytest.raises(ValueError, match="must be MODULE or MODULE:OBJECT, got 'no module'"):
        points[3].load()
    (tmp_path / "entry_points.txt").write_text("[grokscope]\nno equals sign\n")
    with pytest.raises(ValueError, match="NAME = VALUE in each line, got 'no equals sign'"):
        _ = Distribution(str(tmp_path)).entry_points
