"""run.toml as no run has it."""

import json
import shutil

from harness.hostile.making import ESCAPE, GIGABYTE, canary_of, case, fifo, linked, sparse


def words(run, old, new):
    """Replace words in run.toml."""
    path = run / "run.toml"
    text = path.read_text()
    assert old in text, f"{old!r} is not in {text}"
    path.write_text(text.replace(old, new))


def configured(run, **changes):
    """Make the run anew with other settings, by dotted name, and everything that must fit them."""
    from grokscope.run import Run, config

    own = Run.open(run)
    settings = config.read_config(run)
    for name, value in changes.items():
        table, _, key = name.partition("__")
        settings[table][key] = value
    made = Run.create(run.parent / "made-anew", settings)
    for step in own.steps:
        made.save_checkpoint(step, own.weights(step), {})
    shutil.rmtree(run)
    made.path.rename(run)


@case
def config_empty(run):
    (run / "run.toml").write_bytes(b"")


@case
def config_not_utf8(run):
    (run / "run.toml").write_bytes(b"\xff\xfe" * 100)


@case
def config_deep_names(run):
    """One name of 200 000 parts, 400 kB."""
    with (run / "run.toml").open("a") as file:
        file.write("\n[more]\n" + ".".join("a" * 200_000) + " = 1\n")


@case
def config_deep_unset(run):
    """It lists as unset a name of 200 000 parts."""
    words(run, "unset = [", 'unset = ["task.' + ".".join("a" * 200_000) + '",')


@case
def config_deep_lists(run):
    (run / "run.toml").write_text("a = " + "[" * 100_000 + "]" * 100_000)


@case
def config_sparse(run):
    """5 GB of holes after what was there."""
    sparse(run / "run.toml", 5 * GIGABYTE, (run / "run.toml").read_bytes())


@case
def config_fifo(run):
    fifo(run / "run.toml")


@case
def config_folder(run):
    (run / "run.toml").unlink()
    (run / "run.toml").mkdir()


@case
def config_link_out(run):
    linked(run / "run.toml", canary_of(run))


@case
def config_endless_link(run):
    linked(run / "run.toml", run / "run.toml")


@case
def config_device(run):
    linked(run / "run.toml", "/dev/zero")


@case
def config_task_is_code(run):
    configured(run, task__name="canary:factory")


@case
def config_model_is_code(run):
    configured(run, model__name="canary:factory")


@case
def config_local_is_code(run):
    with (run / "run.toml").open("a") as file:
        file.write('\n[local]\nname = "canary:factory"\n')


@case
def config_local_changes_the_task(run):
    with (run / "run.toml").open("a") as file:
        file.write('\n[local]\noperation = "random"\n')


@case
def config_local_is_a_list(run):
    with (run / "run.toml").open("a") as file:
        file.write("\n[local]\ndata_dir = []\n")


@case
def config_seed_is_a_list(run):
    words(run, "seed = 0", "seed = []")


@case
def config_seed_is_huge(run):
    configured(run, training__seed=1 << 62)


@case
def config_negative_size(run):
    configured(run, task__p=-7)


@case
def config_huge_size(run):
    configured(run, task__p=10**9)


@case
def config_control_characters(run):
    words(run, 'recipe = "clauw"', f"recipe = {json.dumps(ESCAPE)}")
