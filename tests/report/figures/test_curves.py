"""A figure shows the numbers: its lines are the courses, its bands and marks where they must be."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest

import grokscope
from grokscope import UnknownName, UsageError
from grokscope.report.figures import chosen_columns, curves, pareto, picture


def lines(figure):
    """The drawn lines that have a name, by axes and name."""
    return {
        (at, line.get_label()): line
        for at, axes in enumerate(figure.axes)
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def drawn(figure, name):
    found = [line for (_, label), line in lines(figure).items() if label == name]
    assert len(found) == 1, f"{name} is drawn {len(found)} times"
    return found[0]


def with_gid(figure, gid):
    return figure.findobj(lambda artist: artist.get_gid() == gid)


def texts(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def note(figure):
    return " ".join(figure.get_supxlabel().split())


def test_lines_are_the_courses(made_up):
    run = made_up(columns={"m.up": np.arange(61.0) ** 2}, unit="nats")
    figure = curves(run)
    assert drawn(figure, "m.up").get_xdata() == pytest.approx(np.arange(0, 601, 10))
    assert drawn(figure, "m.up").get_ydata() == pytest.approx(np.arange(61.0) ** 2)
    assert drawn(figure, "test accuracy").get_ydata() == pytest.approx(run.curve["test_accuracy"])
    assert drawn(figure, "train accuracy").get_ydata() == pytest.approx(run.curve["train_accuracy"])
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("accuracy", "m.up (nats)")
    assert drawn(figure, "m.up") in right.get_lines()
    assert drawn(figure, "test accuracy") in left.get_lines()
    assert left.get_ylim()[0] < 0 < 1 < left.get_ylim()[1]


def test_memorisation_and_grokking_are_marked(made_up):
    run = made_up(memorised=40, grokked=300)
    figure = curves(run)
    memorised, grokked = run.transitions()
    for name, step in (("M", memorised), ("G", grokked)):
        (mark,) = with_gid(figure, f"mark-{name}")
        assert list(mark.get_xdata()) == [step, step]
        assert [text.get_text() for text in with_gid(figure, f"name-{name}")] == [f"{name} {step}"]


def test_what_never_happens_is_not_marked_but_said(made_up):
    figure = curves(made_up(grokked=None))
    assert with_gid(figure, "mark-M")
    assert not with_gid(figure, "mark-G")
    assert "G grokked (test ≥ 95 %): never" in note(figure)


def test_other_thresholds_move_the_marks(made_up):
    run = made_up()
    figure = curves(run, test=0.3)
    assert with_gid(figure, "mark-G")[0].get_xdata()[0] == run.transitions(test=0.3)[1]
    assert "test ≥ 30 %" in note(figure)


def test_step_zero_is_on_the_log_axis(made_up):
    left = curves(made_up()).axes[0]
    assert left.get_xscale() == "symlog"
    assert left.get_xlim()[0] < 0 < 600 < left.get_xlim()[1]
    assert left.xaxis.get_transform().linthresh == 10
    assert "linear from 0 to 10" in left.get_xlabel()
    assert 0 in left.get_xticks()


def test_without_step_zero_the_axis_is_logarithmic_throughout(made_up):
    left = curves(made_up(steps=np.arange(10, 601, 10))).axes[0]
    assert (left.get_xscale(), left.get_xlabel()) == ("log", "step (log scale)")


def test_a_linear_axis(made_up):
    left = curves(made_up(), x="linear").axes[0]
    assert (left.get_xscale(), left.get_xlabel()) == ("linear", "step")
    with pytest.raises(UsageError, match="log or linear, got 'cubic'"):
        curves(made_up(), x="cubic")


def test_seeds_are_a_mean_in_a_band(made_up, compared):
    base = np.sqrt(np.arange(61.0))
    grokked = [300, 320, 400, 500, None]
    runs = [made_up(f"run-s{seed}", {"m.up": base + seed}, grokked=step) for seed, step in enumerate(grokked)]
    figure = curves(compared(runs, seed=[0, 1, 2, 3, 4]))
    line = drawn(figure, "m.up")
    assert line.get_ydata() == pytest.approx(base + 2)
    (band,) = line.axes.collections
    edges = band.get_paths()[0].vertices
    for step, mean in zip([0, 300, 600], [base[0], base[30], base[60]], strict=True):
        here = edges[edges[:, 0] == step][:, 1]
        assert (here.min(), here.max()) == pytest.approx((mean, mean + 4))
    assert "mean over 5 runs; bands: lowest to highest run" in note(figure)
    steps = [run.transitions()[1] for run in runs[:4]]
    assert with_gid(figure, "mark-G")[0].get_xdata()[0] == np.median(steps)
    assert sorted(with_gid(figure, "runs-G")[0].get_xdata()) == sorted(steps)
    assert "4 of 5 runs" in note(figure)


def test_a_run_that_stopped_early_counts_as_far_as_it_went(made_up, compared):
    whole = made_up("a", {"m.up": np.full(61, 3.0)})
    part = made_up("b", {"m.up": np.full(31, 1.0)}, steps=np.arange(0, 301, 10))
    line = drawn(curves(compared([whole, part], seed=[0, 1])), "m.up")
    assert line.get_ydata() == pytest.approx([2.0] * 31 + [3.0] * 30)


def test_a_checkpoint_of_one_run_alone_moves_no_mean(made_up, compared):
    """As where one was stopped, and went on: the others count by the line between their neighbours."""
    scheduled = np.arange(0, 601, 10)
    stopped = np.insert(scheduled, 31, 305)
    high = made_up("a", {"m.up": scheduled / 100 + 4}, steps=scheduled)
    low = made_up("b", {"m.up": stopped / 100}, steps=stopped)
    line = drawn(curves(compared([high, low], seed=[0, 1])), "m.up")
    assert line.get_xdata() == pytest.approx(stopped)
    assert line.get_ydata() == pytest.approx(stopped / 100 + 2)


def test_what_one_run_has_no_value_of_is_not_drawn_between_its_others(made_up, compared):
    whole, gap = np.full(61, 3.0), np.full(61, 1.0)
    gap[20:40] = np.nan
    line = drawn(
        curves(compared([made_up("a", {"m.up": whole}), made_up("b", {"m.up": gap})], seed=[0, 1])), "m.up"
    )
    assert line.get_ydata() == pytest.approx([2.0] * 20 + [3.0] * 20 + [2.0] * 21)


def test_settings_make_groups_in_their_order(made_up, compared):
    runs = [made_up(f"r{at}", {"m.up": np.full(61, float(at))}) for at in range(6)]
    settings = {"weight_decay": [10, 10, 0.1, 0.1, 2, 2], "seed": [0, 1] * 3}
    figure = curves(compared(runs, **settings))
    accuracies, values = figure.axes
    found = [line for line in values.get_lines() if not line.get_label().startswith("_")]
    assert [line.get_label() for line in found] == ["0.1", "2", "10"]
    assert [line.get_ydata()[0] for line in found] == [2.5, 4.5, 0.5]
    assert len({line.get_color() for line in found}) == 3
    (legend,) = with_gid(figure, "groups")
    assert [text.get_text() for text in legend.get_texts()] == ["0.1", "2", "10"]
    assert legend.get_title().get_text() == "modadd clauw, 6 runs by weight_decay"
    assert accuracies.get_ylabel() == "accuracy"
    assert values.get_shared_x_axes().joined(accuracies, values)


def test_groups_are_told_by_no_more_settings_than_it_takes(made_up, compared):
    runs = [made_up(f"r{at}") for at in range(3)]
    figure = curves(compared(runs, hidden=["8", "8", "9"], lr=[0.1, 0.2, 0.3], seed=[0, 1, 2]))
    (legend,) = with_gid(figure, "groups")
    assert [text.get_text() for text in legend.get_texts()] == ["0.1", "0.2", "0.3"]
    assert "also differ in hidden" in note(figure)


def test_groups_that_do_not_grok_say_so(made_up, compared):
    runs = [made_up("a", grokked=300), made_up("b", grokked=None), made_up("c", grokked=None)]
    figure = curves(compared(runs, decay=[1, 1, 0], seed=[0, 1, 0]))
    (legend,) = with_gid(figure, "groups")
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["0 (1 runs, does not grok)", "1 (2 runs, 1 of 2 grok)"]


def test_groups_without_accuracies_have_no_panel_for_them(made_up, compared):
    runs = [made_up(name) for name in "ab"]
    for run in runs:
        for split in ("train", "test"):
            run.curve[f"{split}_accuracy"][:] = np.nan
    figure = curves(compared(runs, weight_decay=[1, 2]), "m.up")
    (axis,) = figure.axes
    assert "m.up" in axis.get_title(loc="left")
    (legend,) = with_gid(figure, "groups")
    assert [text.get_text() for text in legend.get_texts()] == ["1", "2"]
    assert "memorised" not in note(figure)


def test_normalised_columns_share_an_axis(made_up):
    rising, falling = np.linspace(5, 9, 61), np.linspace(100, -100, 61)
    figure = curves(made_up(columns={"m.up": rising, "m.down": falling}), normalise=True)
    left, right = figure.axes
    assert drawn(figure, "m.up").get_ydata() == pytest.approx(np.linspace(0, 1, 61))
    assert drawn(figure, "m.down").get_ydata() == pytest.approx(np.linspace(1, 0, 61))
    assert left.get_ylim() == right.get_ylim()
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["m.up", "m.down"]


def test_every_run_is_normalised_by_itself(made_up, compared):
    runs = [made_up(f"r{at}", {"m.up": (at + 1) * np.arange(61.0)}) for at in range(2)]
    line = drawn(curves(compared(runs, seed=[0, 1]), normalise=True), "m.up")
    assert line.get_ydata() == pytest.approx(np.linspace(0, 1, 61))


def test_many_columns_are_small_multiples(made_up):
    names = [f"m{at}.value" for at in range(12)]
    figure = curves(made_up(columns={name: np.arange(61.0) * at for at, name in enumerate(names)}))
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == names
    assert all(panels[0].get_shared_x_axes().joined(panels[0], axes) for axes in panels)
    for at, name in enumerate(names):
        assert drawn(figure, name).get_ydata() == pytest.approx(np.arange(61.0) * at)


def test_too_many_panels_are_refused(made_up):
    many = made_up(columns={f"m{at}.value": np.arange(61.0) for at in range(31)})
    with pytest.raises(UsageError, match="room for 30 panels, got 31"):
        curves(many)


def test_columns_by_layer_only_when_asked_for(made_up):
    columns = {"m.all": np.arange(61.0)} | {f"m.l2:layers.{at}": np.full(61, at) for at in range(3)}
    run = made_up(columns=columns)
    assert [label for _, label in lines(curves(run, "m"))][2:] == ["m.all"]
    figure = curves(run, "m", per_layer=True)
    labels = [label for _, label in lines(figure)]
    assert {"layers.0", "layers.1", "layers.2", "m.all"} < set(labels)
    assert drawn(figure, "layers.2").get_ydata() == pytest.approx(np.full(61, 2))


def test_words_are_never_drawn(made_up):
    run = made_up(text=["m.method"])
    assert "m.method" not in [label for _, label in lines(curves(run))]
    with pytest.raises(UnknownName, match=r"unknown column 'm\.method'"):
        curves(run, "m.method")


def test_what_names_stand_for(made_up):
    columns = {name: np.arange(61.0) for name in ("a.x", "a.y", "b.x", "a.z:layers.0")}
    run = made_up(columns=columns)
    assert chosen_columns(run) == ["a.x", "a.y", "b.x"]
    assert chosen_columns(run, "a") == ["a.x", "a.y"]
    assert chosen_columns(run, "a", per_layer=True) == ["a.x", "a.y", "a.z:layers.0"]
    assert chosen_columns(run, "y, b.x") == ["a.y", "b.x"]
    assert chosen_columns(run, ["*.x"]) == ["a.x", "b.x"]
    assert chosen_columns(run, "loss,a.x,a") == ["train_loss", "test_loss", "a.x", "a.y"]
    assert chosen_columns(run, "z:layers.0") == ["a.z:layers.0"]
    with pytest.raises(UsageError, match=r"'x' is more than one: say a\.x or b\.x"):
        chosen_columns(run, "x")
    with pytest.raises(UnknownName, match="unknown column 'w'"):
        chosen_columns(run, "w")


def test_without_columns_there_are_the_losses(made_up):
    run = made_up(columns={})
    figure = curves(run)
    assert drawn(figure, "train").get_ydata() == pytest.approx(run.curve["train_loss"])
    assert figure.axes[1].get_yscale() == "log"
    assert not [label for _, label in lines(curves(run, [])) if "accuracy" not in label]


def test_gaps_stay_gaps_and_lone_points_are_seen(made_up):
    values = np.arange(61.0)
    values[[10, 12]] = np.nan, np.inf
    line = drawn(curves(made_up(columns={"m.up": values})), "m.up")
    assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [10, 12]
    assert line.get_markevery() == [11]
    assert line.get_marker() == "o"


@pytest.mark.parametrize("values", [np.full(61, np.nan), np.full(61, 7.0), np.full(61, 1e300)])
@pytest.mark.parametrize("normalise", [False, True])
def test_what_does_not_vary_is_drawn_without_a_warning(made_up, values, normalise, recwarn):
    figure = curves(made_up(columns={"m.up": values}), normalise=normalise)
    assert picture(figure, "png").startswith(b"\x89PNG")
    assert not [str(warning.message) for warning in recwarn]


@pytest.mark.parametrize("steps", [[0], [600], [0, 10]])
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_one_point_is_seen(made_up, steps, scale, recwarn):
    run = made_up(columns={"m.up": np.ones(len(steps))}, steps=steps)
    figure = curves(run, x=scale)
    low, high = figure.axes[0].get_xlim()
    assert low < steps[0] <= steps[-1] < high
    if len(steps) == 1:
        assert drawn(figure, "m.up").get_markevery() == [0]
    assert picture(figure, "svg")
    assert not [str(warning.message) for warning in recwarn]


def test_nothing_measured_is_refused(compared):
    with pytest.raises(UsageError, match="at least one measured run"):
        curves(compared([]))


class Phase:
    def __init__(self, name, start, end):
        self.name, self.start, self.end = name, start, end


class Found:
    def __init__(self, *found):
        self.found = [Phase(*phase) for phase in found]


def test_phases_are_shaded_and_named(made_up):
    found = Found(("feature learning", 0, 40), ("emergence", 50, 300), ("decoupling", 400, 600))
    figure = curves(made_up(), phases={"run-s0": found}, size=(14, 4))
    spans = [with_gid(figure, f"phase-{at}")[0] for at in range(3)]
    edges = [(span.get_x(), span.get_x() + span.get_width()) for span in spans]
    assert edges == [(0, 45), (45, 300), (400, 600)]
    assert [with_gid(figure, f"phase-name-{at}")[0].get_text() for at in range(3)] == [
        "feature\nlearning",
        "emergence",
        "decoupling",
    ]
    narrow = curves(made_up(), phases={"run-s0": found}, x="linear", size=(3, 3))
    assert [with_gid(narrow, f"phase-name-{at}")[0].get_text() for at in range(3)] == ["1", "2", "3"]
    assert "2 emergence (50–300)" in note(narrow)


def test_phases_of_several_runs_are_not_laid_over_one_another(made_up, compared):
    found = Found(("emergence", 50, 300))
    runs = compared([made_up("a"), made_up("b")], seed=[0, 1])
    assert not with_gid(curves(runs, phases={"a": found, "b": found}), "phase-0")


def test_pareto_points_are_the_columns_coloured_by_step(made_up):
    across, up = np.arange(61.0), np.arange(61.0) ** 2
    up[3] = np.nan
    figure = pareto(made_up(columns={"m.a": across, "m.b": up}, unit="nats"), "a", "m.b")
    (points,) = figure.axes[0].collections
    there = np.isfinite(up)
    assert np.asarray(points.get_offsets()) == pytest.approx(np.column_stack([across, up])[there])
    assert np.asarray(points.get_array()) == pytest.approx(np.arange(0, 601, 10)[there])
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("m.a (nats)", "m.b (nats)")
    assert figure.axes[1].get_ylabel() == "step (log scale, linear from 0 to 10)"
    assert [text.get_text() for text in with_gid(figure, "name-G")] == ["G 290"]


def test_pareto_has_a_panel_per_group_on_the_same_axes(made_up, compared):
    runs = [made_up(f"r{at}", {"m.a": np.arange(61.0), "m.b": np.full(61, at)}) for at in range(4)]
    figure = grokscope.plot(compared(runs, decay=[1, 1, 2, 2], seed=[0, 1] * 2), pareto=("m.a", "m.b"))
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == ["decay 1", "decay 2"]
    assert [len(axes.collections) for axes in panels] == [2, 2]
    assert panels[0].get_ylim() == panels[1].get_ylim()


HOSTILE = "$\\frac{a}{b}$ \x1b[31m<script>\nline $x_$"


def test_hostile_names_are_only_text(made_up, compared):
    runs = [made_up(f"{HOSTILE}{at}", {f"m.{HOSTILE}": np.arange(61.0)}) for at in range(2)]
    for figure in (
        curves(runs[0], normalise=True, phases={runs[0].run: Found((HOSTILE, 0, 600))}),
        curves(compared(runs, **{HOSTILE: ["$a$", "$\\bad$"]})),
        pareto(runs[0], f"m.{HOSTILE}", f"m.{HOSTILE}"),
    ):
        data = picture(figure, "svg")
        assert b"<script" not in data
        assert b"\x1b[31m" not in data
        shown = " ".join(texts(figure))
        assert r"\$" in shown
        assert shown.replace(r"\$", "").count("$") == 0
        assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("format", "head"), [("png", b"\x89PNG\r\n\x1a\n"), ("svg", b"<?xml"), ("pdf", b"%PDF-1.")]
)
def test_files_are_valid_and_the_same_every_time(made_up, format, head):
    first, second = (picture(curves(made_up()), format) for _ in range(2))
    assert first.startswith(head)
    assert first == second
    figure = curves(made_up())
    assert picture(figure, format) == first == picture(figure, format)
    for word in (b"CreationDate", b"ModDate", b"dc:date", b"Matplotlib v"):
        assert word not in first
    if format == "svg":
        from xml.etree import ElementTree

        assert ElementTree.fromstring(first).tag.endswith("svg")


def test_an_unknown_format_is_refused(made_up):
    with pytest.raises(UsageError, match="png, svg, pdf, got 'gif'"):
        picture(curves(made_up()), "gif")


def test_a_user_s_settings_change_nothing(made_up):
    plain = picture(curves(made_up()), "svg")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "text.usetex": True}):
        assert picture(curves(made_up()), "svg") == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_a_notebook_shows_the_figure(made_up):
    assert curves(made_up())._repr_png_().startswith(b"\x89PNG")


def test_no_pyplot_and_no_matplotlib_before_a_figure_is_drawn():
    code = (
        "import sys, numpy as np\n"
        "import grokscope.report.figures as figures\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from grokscope.results import Results\n"
        "curve = {k: np.arange(3.0) for k in "
        "('step', 'train_loss', 'test_loss', 'train_accuracy', 'test_accuracy')}\n"
        "run = Results('r', {'step': [0, 1, 2]}, {}, curve=curve)\n"
        "figures.picture(figures.curves(run), 'png')\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_matplotlib_is_one_sentence(made_up, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"needs matplotlib: pip install 'grokscope\[report\]'$"):
        curves(made_up())


def test_grey_print_tells_neighbouring_lines_apart():
    from matplotlib.colors import to_rgb

    from grokscope.report.figures.style import of_groups, of_lines

    def grey(look):
        return np.dot(to_rgb(look.colour), [0.299, 0.587, 0.114])

    for count in range(2, 6):
        light = [grey(look) for look in of_groups(list(range(count)))]
        assert min(np.diff(light)) > 0.08
    for looks in (of_lines(5, ordered=False), of_groups(list("abcdef"))):
        assert len({(str(look.dashes), look.marker) for look in looks}) == len(looks)
