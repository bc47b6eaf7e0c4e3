"""Discovery: what plugins bring, and the isolation of broken ones."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from grokscope.declare import model, task
from grokscope.discovery import load_plugins, plugin_names
from grokscope.errors import PluginError, UsageError
from grokscope.hookspecs import hookimpl
from grokscope.measure import Column, Measure, measure
from grokscope.registry import Plugin, Plugins

GOOD = """
    from grokscope.hookspecs import hookimpl
    from grokscope.measure import Column, measure

    @measure(columns=[Column("x", "x")])
    def {measure}(weights):
        '''X.'''

    @hookimpl
    def grokscope_measures():
        return [{measure}]
"""
HOOK = """
    from grokscope.hookspecs import hookimpl

    @hookimpl{options}
    def {name}({arguments}):
        {body}
"""


def hook(
    body: str, *, name: str = "grokscope_measures", arguments: str = "", options: str = "", mark: bool = True
) -> str:
    text = HOOK.format(body=body, name=name, arguments=arguments, options=options)
    return text if mark else text.replace("@hookimpl", "")


def install(
    folder: Path,
    name: str,
    source: str,
    *,
    distribution: str = "",
    value: str = "",
    version: str = "1.2",
) -> None:
    """Write a module and the metadata that pip would leave for it."""
    (folder / f"{name}.py").write_text(textwrap.dedent(source))
    info = folder / f"{(distribution or name).replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution or name}\nVersion: {version}\n"
    )
    (info / "entry_points.txt").write_text(f"[grokscope]\n{name} = {value or name}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder on sys.path with one good plugin; modules imported from it are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "healthy", GOOD.format(measure="pulse"))
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def find(plugins: Plugins, name: str) -> Plugin:
    (found,) = [plugin for plugin in plugins.plugins if plugin.name == name]
    return found


BROKEN = {
    "missing dependency": (
        "import no_such_module_of_anybody",
        "it cannot be imported: ModuleNotFoundError: No module named 'no_such_module_of_anybody'",
    ),
    "syntax error": ("def (", "it cannot be imported: SyntaxError:"),
    "raises on import": (
        "raise RuntimeError('no\\nlicence')",
        "it cannot be imported: RuntimeError: no licence",
    ),
    "exits on import": ("raise SystemExit(3)", "it cannot be imported: SystemExit: 3"),
    "exception without text": (
        "class Mute(BaseException):\n    def __str__(self): raise ValueError\nraise Mute",
        "it cannot be imported: Mute",
    ),
    "bad declaration": (
        GOOD.format(measure="a").replace("(weights)", "(model)"),
        "there is no input 'model'",
    ),
    "no hook": (
        "x = 1",
        "it registers nothing; it must have a function grokscope_figures or grokscope_hypotheses",
    ),
    "misspelt hook": (
        hook("return []", name="grokscope_mesures"),
        "there is no hook 'grokscope_mesures': did you mean grokscope_measures?",
    ),
    "misspelt hook without mark": (
        hook("return []", name="grokscope_measure", mark=False),
        "there is no hook 'grokscope_measure': did you mean grokscope_measures?",
    ),
    "marked function of another name": (
        hook("return []", name="register"),
        "there is no hook 'register': hooks are grokscope_figures, grokscope_hypotheses",
    ),
    "misspelt specname": (
        hook("return []", name="bring", options="(specname='grokscope_task')"),
        "there is no hook 'grokscope_task': did you mean grokscope_tasks?",
    ),
    "mark forgotten": (
        hook("return []", mark=False),
        "grokscope_measures is not marked as a hook: write @hookimpl",
    ),
    "wrong arguments": (hook("return []", arguments="manager"), "a hook is not declared as it must be:"),
    "wrapper": (hook("yield", options="(wrapper=True)"), "grokscope_measures cannot be a wrapper"),
    "hook raises": (hook("1 / 0"), "grokscope_measures fails: ZeroDivisionError: division by zero"),
    "hook exits": (hook("raise SystemExit"), "grokscope_measures fails: SystemExit"),
    "hook returns None": (hook("pass"), "grokscope_measures must return a list, got NoneType"),
    "hook returns text": (hook("return 'pmi'"), "grokscope_measures must return a list, got str"),
    "hook yields": (hook("yield 1"), "grokscope_measures must return a list, got generator"),
    "undecorated measure": (
        hook("return [len]"),
        "grokscope_measures must return a list of what @measure makes, got len in it",
    ),
    "same name twice": (
        GOOD.format(measure="a").replace("return [a]", "return [a, a]"),
        "grokscope_measures returns two of the name 'a'",
    ),
    "model among the tasks": (
        """
    from grokscope.declare import model
    from grokscope.hookspecs import hookimpl

    @hookimpl
    def grokscope_tasks():
        return [model(net)]

    def net(task): ...
    """,
        "grokscope_tasks must return a list of what @task makes, got the model net in it",
    ),
    "task of a taken name": (
        """
    from grokscope.declare import task
    from grokscope.hookspecs import hookimpl

    @task
    def modadd(): ...

    @hookimpl
    def grokscope_tasks():
        return [modadd]
    """,
        "its task 'modadd' is also brought by plugin core of grokscope",
    ),
    "object that raises when looked at": (
        "class Odd:\n    def __dir__(self): raise OSError('odd')\nimport sys\nsys.modules[__name__] = Odd()",
        "it fails: OSError: odd",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_named_and_the_others_go_on(site: Path, kind: str) -> None:
    source, sentence = BROKEN[kind]
    install(site, "strange", source, distribution="strange-things")
    plugins = load_plugins()
    broken = find(plugins, "strange")
    assert sentence in broken.problem
    assert "\n" not in broken.problem
    assert (broken.distribution, broken.version) == ("strange-things", "1.2")
    assert (broken.measures, broken.tasks, broken.models) == ((), (), ())
    assert f"plugin strange of strange-things 1.2 is broken: {broken.problem}" in plugins.problems
    assert [registered.id for registered in plugins.select(["pulse", "fit"])] == ["healthy:pulse", "core:fit"]
    with pytest.raises(PluginError, match=r"plugin strange of strange-things 1\.2 is broken"):
        plugins.select(["strange"])


@pytest.mark.parametrize("value", ["strange:nothing", "strange:NONE", "no_such_module", "not a module"])
def test_an_entry_point_that_leads_nowhere_is_a_broken_plugin(site: Path, value: str) -> None:
    install(site, "strange", "NONE = None", value=value)
    assert find(load_plugins(), "strange").problem
    assert load_plugins().select(["pulse"])


def test_the_exception_is_kept_for_its_traceback(site: Path) -> None:
    install(site, "strange", hook("1 / 0"))
    assert isinstance(find(load_plugins(), "strange").error, ZeroDivisionError)


def test_an_interrupt_goes_through(site: Path) -> None:
    install(site, "strange", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugins()


def test_a_damaged_entry_point_file_is_a_broken_plugin(site: Path) -> None:
    install(site, "strange", "")
    (site / "strange-1.2.dist-info" / "entry_points.txt").write_text("[grokscope]\nno equals sign\n")
    assert find(load_plugins(), "strange").problem.startswith("it cannot be imported:")
    assert load_plugins().select(["pulse"])


def test_damaged_metadata_does_not_hide_the_plugin(site: Path) -> None:
    for name in ("nameless", "unnamed"):
        install(site, name, GOOD.format(measure=f"of_{name}"))
        (site / f"{name}-1.2.dist-info" / "METADATA").unlink()
    assert [registered.title for registered in load_plugins().select(["nameless", "unnamed"])] == [
        "of_nameless",
        "of_unnamed",
    ]


def test_an_optional_hook_of_a_later_grokscope_is_passed_over(site: Path) -> None:
    later = hook("return []", name="grokscope_figures", options="(optionalhook=True)")
    install(site, "modern", later + GOOD.format(measure="beat"))
    assert find(load_plugins(), "modern").problem == ""


def test_hooks_may_have_another_name_and_live_on_an_object(site: Path) -> None:
    source = (
        GOOD.format(measure="beat")
        + """
    class Hooks:
        @hookimpl(specname="grokscope_measures")
        def bring(self):
            return [beat]

    hooks = Hooks()
    """
    )
    install(site, "objects", source, value="objects:hooks")
    assert load_plugins().select(["objects"])[0].id == "objects:beat"


def test_a_plugin_name_that_is_taken_is_refused(site: Path) -> None:
    install(site, "core", GOOD.format(measure="fit"), distribution="impostor")
    plugins = load_plugins()
    assert "plugin core of impostor 1.2 is broken: its name is taken by plugin core of grokscope" in "".join(
        plugins.problems
    )
    assert plugins.measures["fit"].distribution == "grokscope"


def test_a_distribution_that_is_on_the_path_twice_counts_once(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = site / "older"
    older.mkdir()
    install(older, "healthy", "raise RuntimeError", version="0.1")
    monkeypatch.setattr(sys, "path", [*sys.path, str(older)])
    assert find(load_plugins(), "healthy").version == "1.2"


def test_names_are_listed_without_importing_anything(site: Path) -> None:
    install(site, "strange", "raise RuntimeError")
    before = set(sys.modules)
    assert {"core", "healthy", "strange"} <= set(plugin_names())
    assert not {"healthy", "strange"} & (set(sys.modules) - before)


def small(name: str, expensive: bool = False) -> Measure:
    @measure(columns=[Column("x", "x")], name=name, expensive=expensive)
    def declared(weights: Any) -> Any:
        """X."""

    return declared


def test_modules_and_objects_can_be_added() -> None:
    extra = ModuleType("somewhere.beats")
    extra.grokscope_measures = hookimpl(lambda: [small("beat")])  # type: ignore[attr-defined]

    class Networks:
        @hookimpl
        def grokscope_tasks(self) -> list[Any]:
            return [task(majority)]

        @hookimpl
        def grokscope_models(self) -> list[Any]:
            return [model(ring)]

    def majority() -> None: ...
    def ring(task: Any) -> None: ...

    plugins = load_plugins(extra=[extra, Networks()])
    assert plugins.select(["beats:beat"])[0].plugin == "beats"
    assert plugins.tasks["majority"].kind == "task"
    assert plugins.models["ring"].kind == "model"
    assert "beats" not in [plugin.name for plugin in load_plugins().plugins]


def test_the_core_brings_its_tasks_and_models_by_the_same_door() -> None:
    plugins = load_plugins()
    assert plugins.plugins[0].name == "core"
    assert "modadd" in plugins.tasks
    assert {"mlp", "transformer", "lstm"} <= set(plugins.models)


def test_loading_the_first_party_plugins_imports_nothing_heavy() -> None:
    code = (
        "import sys; from grokscope.discovery import load_plugins; p = load_plugins(); "
        "assert [r for r in p.registered if r.plugin == 'core'], p.problems; "
        "print([m for m in ('torch', 'scipy', 'numpy', 'h5py', 'pandas') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


# What a plugin costs, and leaving it out


def test_plugins_can_be_left_out(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "strange", "raise RuntimeError")
    monkeypatch.setenv("GROKSCOPE_DISABLE_PLUGINS", "strange, nobody,")
    plugins = load_plugins(without=["healthy"])
    assert not {"strange", "healthy"} & {plugin.name for plugin in plugins.plugins}
    assert plugins.left_out == ("healthy", "strange")
    assert not plugins.problems
    with pytest.raises(UsageError, match="plugin healthy is left out, by `without` or GROKSCOPE_DISABLE"):
        plugins.select(["healthy"])
    with pytest.raises(UsageError, match="healthy, strange may have it, and is left out"):
        plugins.select(["pulse"])


def test_a_slow_import_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [sentence for sentence in load_plugins().slow if "healthy" in sentence]
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr("grokscope.discovery.time.monotonic", lambda: next(clock))
    slow = load_plugins().slow
    assert (
        "plugin healthy of healthy 1.2 took 2.0 s to import, which every command waits for: "
        "what is heavy should be imported inside its functions"
    ) in slow


def test_the_next_plugin_finds_what_the_first_one_found(site: Path) -> None:
    install(site, "first", "import random\nrandom.seed(1)\nSTATE = random.getstate()")
    second = "import first, random\nassert random.getstate() != first.STATE\n"
    install(site, "second", second + textwrap.dedent(GOOD.format(measure="beat")))
    assert find(load_plugins(), "second").problem == ""
