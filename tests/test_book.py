"""The book is true: README and guides are run, block by block; links resolve, and nothing is left untold."""

import re
import runpy
import shlex
import shutil
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import typer

from grokscope import hookspecs
from grokscope.cli import app

ROOT = Path(__file__).parent.parent
BOOK = [ROOT / "README.md", *sorted((ROOT / "examples" / "guides").glob("*.md"))]
PAGES = [*BOOK, *sorted((ROOT / "examples" / "reference").rglob("*.md")), ROOT / "examples" / "CHANGELOG.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:tests|examples|grokscope|plugins)/[\w./-]+\w)`|\b(tests/[\w./-]+\.(?:sh|py|txt))\b")
TEXT = {path: path.read_text() for path in PAGES if path.exists()}
SVG = "{http://www.w3.org/2000/svg}"
TOO_LONG = ("reproduce", "league")  # minutes of training each; tests/reproduce and tests/cli run small ones


def title(path):
    return path.relative_to(ROOT).as_posix()


def slug(heading):
    """The name that a page's viewer gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def commands(text):
    lines = [line for line in text.splitlines() if line.startswith("$ grokscope ")]
    return [shlex.split(line[2:], comments=True)[1:] for line in lines]


class Reader:
    """Who follows a page: in an empty folder, with the runs that it speaks of, one block after the other."""

    def __init__(self, cli, run, folder):
        self.cli = cli
        self.names = {}
        several = [str(run), str(shutil.copytree(run, folder / "other"))]
        self.words = {"RUN": [str(run)], "decay/*": several, "runs/*": several}

    def follow(self, language, text):
        if language == "python":
            self.write(text)
        elif language == "toml":
            tomllib.loads(text)
        elif language == "console":
            for command in commands(text):
                self.run(command)

    def write(self, text):
        """Run a snippet; one that begins with a file's name is saved there too."""
        named = re.match(r"# (\w+\.py)\n", text)
        if named:
            Path(named[1]).write_text(text)
        exec(compile(text, "snippet", "exec"), self.names)

    def run(self, command):
        if command[0] in TOO_LONG and "--list" not in command:
            typer.main.get_command(app).commands[command[0]].make_context(
                command[0], command[1:], resilient_parsing=True
            )
            return
        if command[0] == "import" and "theirs/*.pth" in command:
            write_published_checkpoints(Path("theirs"))
        ended = self.cli(*small([word for given in command for word in self.words.get(given, [given])]))
        assert ended.code == 0, f"grokscope {shlex.join(command)} ended with {ended.code}: {ended.err}"


def small(arguments):
    """The same command on a task of seconds: fewer steps, a smaller modulus, one process."""
    settings = ("p=13", "steps=2", "checkpoint_every=1", "log_every=1")
    if arguments[0] == "train":
        arguments += ["--steps", "2", "--checkpoint-every", "1", "--set", "training.log_every=1"]
        arguments += ["--p", "13"] if arguments[1] == "modadd" else []
    if arguments[0] == "sweep":
        arguments = [word for word in arguments if word not in ("--set", "steps=1000")]
        arguments += ["--workers", "1", *(word for each in settings for word in ("--set", each))]
    if arguments[0] == "analyze" and "--steps" in arguments:
        arguments[arguments.index("--steps") + 1] = "0:20"
    if arguments[0] in ("analyze", "predict", "report"):
        arguments += ["--steps", "last"]
    return arguments


def write_published_checkpoints(folder):
    """Untrained checkpoints in the shapes of Nanda et al.'s published code."""
    import torch

    folder.mkdir()
    block = {f"attn.{name}": torch.randn(4, 32, 128) for name in ("W_K", "W_Q", "W_V")}
    block |= {"attn.W_O": torch.randn(128, 128), "attn.mask": torch.ones(3, 3).tril()}
    block |= {"mlp.W_in": torch.randn(512, 128), "mlp.b_in": torch.randn(512)}
    block |= {"mlp.W_out": torch.randn(128, 512), "mlp.b_out": torch.randn(128)}
    state = {"embed.W_E": torch.randn(128, 114), "pos_embed.W_pos": torch.randn(3, 128)}
    state |= {f"blocks.0.{name}": value for name, value in block.items()}
    state["unembed.W_U"] = torch.randn(128, 114)
    for epoch in (0, 100):
        torch.save(state, folder / f"epoch_{epoch}.pth")


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A repository of the Hub on this machine, whose revisions are the folders that a page has made."""
    monkeypatch.syspath_prepend(ROOT / "tests" / "importing")
    from loopback import Hub

    class Saved(Hub):
        @property
        def revisions(self):
            folders = sorted(Path("out").glob("checkpoint-*"))
            return {
                folder.name.replace("checkpoint-", "step"): {
                    file.name: file.read_bytes() for file in folder.iterdir()
                }
                for folder in folders
            }

    hub = Saved(name="EleutherAI/pythia-70m")
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    yield
    hub.close()


@pytest.fixture
def forgotten(tmp_path):
    """Modules that a page has made are not those that another test means by the same name."""
    yield
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("path", BOOK, ids=title)
@pytest.mark.usefixtures("forgotten")
def test_a_page_can_be_followed(path, cli, run_path, tmp_path, monkeypatch, request):
    if path.name == "hub.md":
        pytest.importorskip("transformers", reason="pip install 'grokscope[hub]'")
        request.getfixturevalue("served")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(tmp_path / "here")
    reader = Reader(cli, run_path, tmp_path)
    for language, text in BLOCK.findall(TEXT[path]):
        reader.follow(language, text)


def test_blocks_are_of_a_known_language():
    known = {"python", "toml", "console", "sh", "yaml", ""}
    for path in BOOK:
        assert {language for language, _ in BLOCK.findall(TEXT[path])} <= known


@pytest.mark.parametrize("path", TEXT, ids=title)
def test_links_lead_somewhere(path):
    for target in LINK.findall(BLOCK.sub("", TEXT[path])):
        if target.startswith(("https://", "#")):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve()
        assert there.exists(), f"{title(path)} leads to {target}, which is not there"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), flags=re.MULTILINE)
            assert anchor in map(slug, headings), f"{title(path)} leads to {target}: no such heading"


@pytest.mark.parametrize("path", BOOK, ids=title)
def test_files_exist(path):
    for names in FILE.findall(TEXT[path]):
        name = next(filter(None, names))
        assert (ROOT / name).exists(), f"{path.name} names {name}, which is not there"


def test_every_guide_is_in_the_readme_and_so_is_every_page_of_the_reference():
    named = {(ROOT / target).resolve() for target in LINK.findall(TEXT[ROOT / "README.md"])}
    assert set(BOOK[1:]) <= named
    assert set((ROOT / "examples" / "reference").glob("*.md")) <= named


def test_every_command_and_every_hook_is_shown():
    told = "\n".join(TEXT[path] for path in BOOK)
    for name in typer.main.get_command(app).commands:
        assert f"grokscope {name}" in told, f"no guide shows `grokscope {name}`"
    hooks = [name for name in vars(hookspecs) if name.startswith("grokscope_")]
    assert hooks
    for hook in hooks:
        assert f"`{hook}()`" in told, f"no guide tells of {hook}"
        assert "Called once" in getattr(hookspecs, hook).__doc__


def test_the_guide_to_speed_shows_its_results(capsys):
    tables = runpy.run_path(str(ROOT / "examples" / "speed_tables.py"))
    assert tables["main"]("--check") == 0, capsys.readouterr().out


def courses(svg):
    """The words of a picture, and the points of each of its lines."""
    every = list(ElementTree.fromstring(svg).iter())
    lines = {each.get("id"): next(each.iter(f"{SVG}path")) for each in every if "line-" in each.get("id", "")}
    points = {name: [float(x) for x in re.findall(r"[\d.]+", path.get("d"))] for name, path in lines.items()}
    return [each.text for each in every if each.tag == f"{SVG}text"], points


def test_the_picture_of_time_beside_pairs_is_drawn_from_its_results():
    drawn = runpy.run_path(str(ROOT / "examples" / "memory_picture.py"))["drawn"]()
    words, points = courses((ROOT / "examples" / "memory.svg").read_bytes())
    new_words, new_points = courses(drawn)
    told = "python examples/memory_picture.py examples/memory.svg draws it anew"
    assert len(points) > 2
    assert (words, points.keys()) == (new_words, new_points.keys()), told
    for name, course in new_points.items():
        assert points[name] == pytest.approx(course, abs=0.5), f"{name}: {told}"


def test_the_readme_is_short_and_guides_are_read_in_ten_minutes():
    assert len((ROOT / "README.md").read_bytes()) <= 10_000
    for path in BOOK[1:]:
        words = len(re.sub(r"^    .*$", "", BLOCK.sub("", TEXT[path]), flags=re.MULTILINE).split())
        assert words < 2200, f"{title(path)} has {words} words, tables too; 220 a minute are read"
