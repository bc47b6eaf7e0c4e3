"""States and steps are found in whatever people put them, and what is not certain is asked for."""

import json
import re
import struct

import pytest
import torch
from safetensors.torch import save_file

from grokscope.errors import DamagedFile, UsageError
from grokscope.importing import inside
from grokscope.importing.inside import find_states
from grokscope.importing.shards import shown_name
from grokscope.importing.sources import find, read
from grokscope.importing.steps import StepRule, step_in

STEPS = [0, 10, 20]
S = [{"fc.weight": torch.full((2, 2), float(step)), "fc.bias": torch.zeros(2)} for step in STEPS]
ADAM = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}

MANY = {
    "grokfast": {"its": list(range(50)), "train_acc": [0.0] * 50, "net_its": STEPS, "net": S},
    "models": {"models": S, "steps": STEPS, "optimizers": [ADAM] * 3},
    "weights and epochs": {"weights": S, "epochs": STEPS},
    "by step": dict(zip(STEPS, S, strict=True)),
    "by step, under a key": {"history": dict(zip(STEPS, S, strict=True)), "lr": 0.1},
    "by a tensor": {"state_dicts": S, "at": torch.tensor(STEPS)},
    "by name": {f"step_{step}": state for step, state in zip(STEPS, S, strict=True)},
    "pairs": list(zip(STEPS, S, strict=True)),
    "pairs the other way": [(state, step) for step, state in zip(STEPS, S, strict=True)],
    "pairs under a key": {"saved": list(zip(STEPS, S, strict=True))},
    "dicts": [{"step": step, "state_dict": state} for step, state in zip(STEPS, S, strict=True)],
    "dicts within": [
        {"iteration": step, "model": {"params": state}, "optimizer": ADAM}
        for step, state in zip(STEPS, S, strict=True)
    ],
    "floats": {"state_dicts": S, "steps": [float(step) for step in STEPS]},
}
ONE = {
    "weights": {"weights": S[1], "step": 10},
    "params": {"params": S[1], "iteration": torch.tensor(10)},
    "model_state": {"model_state": S[1], "global_step": 10, "epoch": 3},
    "nested": {"model": {"state_dict": S[1]}, "step": 10.0},
    "an unknown name": {"my_mlp": S[1], "iter": 10, "optimizer": ADAM},
    "deepspeed": {"module": S[1], "global_steps": 10, "optimizer": {"fp32": S[1]}},
    "a pair": (10, S[1]),
    "epoch": {"model_state_dict": S[1], "epoch": 10},
}


def stored(tmp_path, thing, name="file.pt"):
    torch.save(thing, tmp_path / name)
    return read(tmp_path / name)


@pytest.mark.parametrize("kind", MANY)
def test_several_states_and_their_steps(tmp_path, kind):
    source = stored(tmp_path, MANY[kind])
    assert source.is_list
    assert StepRule().of(source)[0] == STEPS
    assert StepRule(steps="every:5").of(source)[0] == [0, 5, 10]
    assert [state["fc.weight"][0, 0].item() for state in source.states] == STEPS


@pytest.mark.parametrize("kind", ONE)
def test_one_state_and_its_step(tmp_path, kind):
    source = stored(tmp_path, ONE[kind])
    assert not source.is_list
    said = "steps are those that the files call epoch" if kind == "epoch" else ""
    assert StepRule().of(source) == ([10], said)
    assert StepRule(step=7).of(source)[0] == [7]
    assert source.state(0).keys() == S[1].keys()


def test_a_safetensors_file_may_say_its_step(tmp_path):
    save_file(S[1], tmp_path / "a.safetensors", {"step": "10"})
    assert StepRule().of(read(tmp_path / "a.safetensors"))[0] == [10]


def test_a_header_s_length_that_looks_like_a_pickle(tmp_path):
    """A header of 640 bytes begins as a pickle of protocol 2 does."""
    save_file(S[1], tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 640) + data[8:start].ljust(640) + data[start:])
    assert read(tmp_path / "a.safetensors").kind == "safetensors"


def test_which_states_are_meant_can_be_said(tmp_path):
    two = {"teacher": S[0], "student": {"inner": S[2], "step": 20}, "step": 5}
    torch.save(two, tmp_path / "file.pt")
    with pytest.raises(UsageError, match=r"holds states under teacher, student: say with `at` which"):
        read(tmp_path / "file.pt")
    assert StepRule().of(read(tmp_path / "file.pt", "teacher"))[0] == [5]
    found = read(tmp_path / "file.pt", "student.inner")
    assert StepRule().of(found)[0] == [20]
    assert found.state(0)["fc.weight"][0, 0] == 20
    with pytest.raises(
        UsageError, match=r"`at` must be a key in .*file\.pt, got 'pupil': there is teacher, st"
    ):
        read(tmp_path / "file.pt", "pupil")
    ema = stored(tmp_path, {"state_dict": S[0], "ema": S[1], "step": 5})
    assert (ema.found.key, ema.found.others) == ("state_dict", ("ema",))
    listed = find_states({"runs": [{"a.b": S}]}, "file", "runs.0.a.b")
    assert len(listed.entries) == 3


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        ([S[0], {"lr": 0.1}], "entry 1 holds no state dict: .* got a dict of lr"),
        ({"optimizer": {"state": S[0]}}, "got a dict of optimizer"),
        ({"a": {"b": {"c": {"d": {"e": S[0]}}}}}, "got a dict of a"),
        ({}, "got a dict of"),
        ([], "got no dict"),
    ],
)
def test_what_holds_no_state_is_said(thing, words):
    with pytest.raises(DamagedFile, match=words):
        find_states(thing, "file")


def test_steps_that_cannot_be_known_are_asked_for(tmp_path):
    source = stored(tmp_path, {"models": S, "a": [1, 2, 3], "b": [2, 3, 4]})
    with pytest.raises(UsageError, match=r"give `steps` every:N, .* it has a, b"):
        StepRule().of(source)
    assert StepRule(steps="b").of(source)[0] == [2, 3, 4]
    source = stored(tmp_path, {"models": S, "a": [1, 2, 3]})
    assert StepRule().of(source) == ([1, 2, 3], "steps are those that the files call a")
    with pytest.raises(UsageError, match=r"`step` is for one state dict, and .* holds 3"):
        StepRule(step=3).of(source)


def test_few_bytes_that_hold_a_state_very_often_are_refused(monkeypatch):
    monkeypatch.setattr(inside, "MOST_STATES", 100)
    with pytest.raises(DamagedFile, match="must hold at most 100 state dicts, got 101"):
        find_states([S[0]] * 101, "file")
    wide = {f"k{number}": {"lr": 1} for number in range(2000)}
    for _ in range(30):  # looked through once, not as often as it is reached
        wide = {f"k{number}": wide for number in range(2000)}
    with pytest.raises(DamagedFile, match="holds no state dict"):
        find_states(wide, "file")
    endless = {"lr": 1}
    endless["again"] = endless
    with pytest.raises(DamagedFile, match="holds no state dict"):
        find_states(endless, "file")
    number = torch.ones(1).expand(1 << 40)
    assert inside.numbers_beside({"steps": number}, 3) == {}


@pytest.mark.parametrize(
    ("pattern", "name", "step"),
    [
        (r"step_(\d+)", "step_10,000.pt", 10_000),
        (r"step_([\d,]+)", "step_1,210,000.pt", 1_210_000),
        (r"step_([\d_]+)", "step_10_000.pt", 10_000),
        (r"step_(\d+)", "step_10_200.pt", 10),
        (r"step_(\d+)", "step_10,0005.pt", 10),
        (r"step_(\d+)", "step_1000,200.pt", 1000),
        (r"v\d-(\d+)", "v1-20.pt", 20),
        (None, "net_v2_ckpt-1,000.pt", 1000),
        (None, "v2_step7_checkpoint9.pt", 7),
    ],
)
def test_thousands_set_apart(tmp_path, pattern, name, step):
    assert StepRule(pattern).of(stored(tmp_path, S[0], name))[0] == [step]
    assert step_in(name, pattern and re.compile(pattern)) == step  # as of a revision
    assert step_in("main") is step_in("v1-2") is None


@pytest.fixture
def sharded(tmp_path):
    """Folders of a Trainer: two in shards, one whole, and what else lies there."""
    for step, state in zip(STEPS, S, strict=True):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text("{}")
        torch.save(ADAM, folder / "optimizer.pt")
        if not step:
            save_file(state, folder / "model.safetensors")
            continue
        files = {name: f"model-0000{place}-of-00002.safetensors" for place, name in enumerate(state, 1)}
        for name, file in files.items():
            save_file({name: state[name]}, folder / file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return tmp_path


@pytest.mark.parametrize("pattern", ["checkpoint-*", "checkpoint-*/*", "", "**/model*"])
def test_shards_and_a_trainer_s_folders(sharded, pattern):
    paths = find([sharded / pattern])
    assert [shown_name(path) for path in paths] == [
        "checkpoint-0/model.safetensors",
        "checkpoint-10/model.safetensors.index.json",
        "checkpoint-20/model.safetensors.index.json",
    ]
    sources = [read(path) for path in paths]
    assert [StepRule().of(source)[0] for source in sources] == [[step] for step in STEPS]
    for source, state in zip(sources, S, strict=True):
        assert source.state(0).keys() == state.keys()
        assert torch.equal(source.state(0)["fc.weight"], state["fc.weight"])
    assert [source.linkable for source in sources] == [True, False, False]
    assert len({source.sha256 for source in sources}) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.pop("weight_map"), "is no index of shards: 'weight_map' is missing"),
        (lambda table: table.update(weight_map={}), "must name 1 to 10000 files"),
        (lambda table: table.update(weight_map={"a": 3}), "must name 1 to 10000 files"),
        (lambda table: table["weight_map"].update(a="../x"), r"names '../x', which is no file beside it"),
        (lambda table: table["weight_map"].update(a="gone"), "gone is not there"),
        (
            lambda table: table["weight_map"].update(a=table["weight_map"]["fc.bias"]),
            "says that model-00002-of-00002.safetensors holds a, and it does not",
        ),
    ],
)
def test_an_index_that_is_not_true_is_refused(sharded, change, words):
    path = sharded / "checkpoint-10/model.safetensors.index.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    with pytest.raises(DamagedFile, match=words):
        read(path)


def test_shards_without_an_index_are_joined_where_all_are_there(sharded):
    folder = sharded / "checkpoint-10"
    (folder / "model.safetensors.index.json").unlink()
    for pattern in ("checkpoint-10", "checkpoint-10/*.safetensors", "checkpoint-10/*00002*"):
        (path,) = find([sharded / pattern])
        source = read(path)
        assert shown_name(path) == "checkpoint-10/model.safetensors"
        assert StepRule().of(source)[0] == [10]
        assert torch.equal(source.state(0)["fc.weight"], S[1]["fc.weight"])
        assert source.state(0).keys() == S[1].keys()
    first, second = sorted(folder.glob("*-of-*"))
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(DamagedFile, match=r"-00002-of-.* holds fc\..*, and so does a shard before it"):
        read(path)
    first.unlink()
    with pytest.raises(
        DamagedFile, match=r"model\.safetensors is in 2 shards, and model-00001-of-00002\.s.* is not there"
    ):
        read(find([folder])[0])
    (sharded / "net_7-00001-of-00001.safetensors").write_bytes(held)
    (path,) = find([sharded / "net_7*"])
    assert (StepRule().of(read(path))[0], read(path).linkable) == ([7], True)


def test_a_folder_of_nothing(sharded):
    (sharded / "empty").mkdir()
    with pytest.raises(UsageError, match=r"is a folder, and none of model\.safetensors, .* is in it"):
        find([sharded / "empty"])
