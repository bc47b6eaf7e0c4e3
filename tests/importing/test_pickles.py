"""Files that must not be believed: code, sizes that are not there, halves of files, other things."""

import io
import os
import pickle
import struct
import types
import zipfile

import pytest
import torch

from grokscope.errors import DamagedFile
from grokscope.importing.pickles import LEGACY_MAGIC, check, scan
from grokscope.importing.sources import read


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def saved(thing, legacy=False):
    stream = io.BytesIO()
    torch.save(thing, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def refused(tmp_path, data, words):
    path = tmp_path / "file.pt"
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match=words) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("legacy", [False, True])
def test_code_is_refused_and_does_not_run(tmp_path, legacy):
    made = tmp_path / "made"
    data = saved({"w": torch.ones(2), "extra": Malicious(str(made))}, legacy)
    message = refused(tmp_path, data, r"needs pickle: it holds \w+\.mkdir, and reading that would run code")
    assert "torch.save(model.state_dict(), ...)" in message
    assert not made.exists()


def test_a_plain_malicious_pickle_does_not_run(tmp_path):
    made = tmp_path / "made"
    for protocol in (2, 4, 5):
        refused(tmp_path, pickle.dumps(Malicious(str(made)), protocol), "needs pickle")
    refused(tmp_path, pickle.dumps([1, 2]), "is a pickle and no PyTorch checkpoint")
    assert not made.exists()


def test_a_whole_module_is_refused(tmp_path):
    refused(tmp_path, saved(torch.nn.Linear(2, 2)), r"needs pickle: it holds torch\.nn\.modules\.linear\.L")


def test_hyper_parameters_that_are_objects_are_named(tmp_path):
    data = saved({"state_dict": {"w": torch.ones(2)}, "hyper_parameters": types.SimpleNamespace(lr=1.0)})
    refused(tmp_path, data, r"it holds types\.SimpleNamespace")


def test_allocating_builtins_are_refused(tmp_path):
    class Zeros:
        def __reduce__(self):
            return bytearray, (1 << 32,)

    refused(tmp_path, saved({"w": Zeros()}), r"it holds __builtin__\.bytearray")


def rewritten(data, change):
    """The zip file with its pickle changed by `change`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry.filename, change(content) if entry.filename.endswith("data.pkl") else content)
    return stream.getvalue()


GIANT = b"J" + struct.pack("<i", 1 << 30)  # 4 GiB of float32


def declare_giant(content):
    """A storage of 77 elements declares 2 ** 30."""
    assert content.count(b"KM") == 2  # in the storage, and in the tensor's shape
    place = content.index(b"KM")
    return content[:place] + GIANT + content[place + 2 :]


def test_a_storage_that_is_larger_than_its_file_is_refused_before_it_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("torch.load was called"))
    data = rewritten(saved({"w": torch.ones(77)}), declare_giant)
    assert len(data) < 4096
    refused(tmp_path, data, f"storage 0 must be {4 << 30} bytes, and 308 are there")
    legacy = saved({"w": torch.ones(77)}, legacy=True)
    refused(tmp_path, declare_giant(legacy), f"must be {4 << 30} bytes, and 308 are there")


def test_a_tensor_that_repeats_its_storage_is_refused_where_it_would_grow(tmp_path):
    from grokscope.run.rename import Rule, arrange

    path = tmp_path / "file.pt"
    path.write_bytes(saved({"w": torch.ones(1).expand(1 << 30)}))
    assert path.stat().st_size < 4096
    state = read(path).states[0]
    for rules in ([], [Rule("w", "0")]):
        with pytest.raises(ValueError, match=r"w declares \(1073741824,\) but fewer values"):
            arrange(state, rules)
    assert arrange(state, [Rule("w", "")]) == {}


def test_a_zip_bomb_is_refused(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (64 << 20))
    assert len(stream.getvalue()) < 100_000
    refused(tmp_path, stream.getvalue(), "its records must be stored uncompressed")


def test_records_that_share_their_bytes_are_refused(tmp_path):
    data = bytearray(saved({"w": torch.ones(1000), "v": torch.ones(1000)}))
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    name = next(name for name in sizes if name.endswith("data/0"))
    entry = data.rindex(name.encode()) - 46  # its record in the central directory
    data[entry + 20 : entry + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    refused(tmp_path, bytes(data), "it declares more bytes than it holds")


@pytest.mark.parametrize("legacy", [False, True])
def test_no_part_of_a_file_is_taken_for_a_file(tmp_path, legacy):
    data = saved({"w": torch.ones(5), "v": torch.zeros(3)}, legacy)
    check(data, "whole")
    for length in [*range(0, len(data), 7), len(data) - 1]:
        path = tmp_path / "file.pt"
        path.write_bytes(data[:length])
        with pytest.raises(DamagedFile):
            read(path)


def test_other_things_are_said_to_be_other_things(tmp_path):
    refused(tmp_path, b"", "is empty")
    refused(tmp_path, b"not a checkpoint", "is neither safetensors nor a file of torch.save")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("thesis.tex", "x")
    refused(tmp_path, stream.getvalue(), "is a zip file and no PyTorch checkpoint")
    script = io.BytesIO()
    with zipfile.ZipFile(script, "w", zipfile.ZIP_DEFLATED) as archive:  # as torch.jit.save names them
        for name in ("data.pkl", "code/__torch__.py", "constants.pkl"):
            archive.writestr(f"archive/{name}", b"")
    refused(tmp_path, script.getvalue(), "is TorchScript, which is code")
    refused(tmp_path, saved({"lr": 1.0}), "holds no state dict: .* got a dict of lr")
    refused(tmp_path, saved(torch.ones(2)), "holds no state dict")


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    from safetensors.torch import save

    data = save({"w": torch.ones(5)})
    refused(tmp_path, data[:-1], "must fill")
    start = 8 + int.from_bytes(data[:8], "little")
    header = data[8:start].rstrip()
    doubled = header[:-1] + b"," + header[1:]
    refused(tmp_path, len(doubled).to_bytes(8, "little") + doubled + data[start:], "a name occurs twice")


def test_a_hostile_pickle_ends_in_a_sentence(tmp_path):
    """Every opcode of a good file replaced by every other: never another exception, never code."""
    good = pickle.dumps((LEGACY_MAGIC, {"a": [1, (2, 3)], "b": {4}}, "x" * 9), 2)
    for place in range(2, len(good)):
        for value in range(256):
            data = good[:place] + bytes([value]) + good[place + 1 :]
            with pytest.raises(DamagedFile):
                check(data, "hostile")


def test_what_a_pickle_asks_for_is_found_out():
    stream = io.BytesIO(saved({"w": torch.ones(3), "v": torch.ones(2, dtype=torch.int64)}))
    with zipfile.ZipFile(stream) as archive:
        declared = scan(io.BytesIO(archive.read("archive/data.pkl")))
    assert declared.foreign == []
    assert declared.storages == {"0": 12, "1": 16}


def test_every_type_of_torch_passes(tmp_path):
    types = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.uint8]
    types += [torch.int16, torch.int32, torch.int64, torch.bool, torch.complex64]
    state = {str(kind): torch.ones(3).to(kind) for kind in types}
    state["parameter"] = torch.nn.Parameter(torch.ones(3))
    for legacy in (False, True):
        path = tmp_path / "file.pt"
        path.write_bytes(saved(state, legacy))
        (found,) = read(path).states
        assert all(torch.equal(found[name], value) for name, value in state.items())
