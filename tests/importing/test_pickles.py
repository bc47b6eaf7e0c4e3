"""Files that must not be believed: code, sizes that are not there, halves of files, other things."""

import io
import os
import pickle
import struct
import types
import warnings
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
    newer = [torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64]
    noted = torch.nn.Parameter(torch.ones(3))
    noted.of = "layer 1"  # saved with it, by another function
    for legacy in (False, True):  # the older format cannot hold the newer types
        state = {str(kind): torch.ones(3).to(kind) for kind in types + ([] if legacy else newer)}
        state |= {"parameter": torch.nn.Parameter(torch.ones(3)), "noted": noted}
        path = tmp_path / "file.pt"
        path.write_bytes(saved(state, legacy))
        (found,) = read(path).states
        wide = torch.complex128
        assert all(found[name].dtype == value.dtype for name, value in state.items())
        assert all(torch.equal(found[name].to(wide), value.to(wide)) for name, value in state.items())


def test_quantised_tensors_are_the_numbers_that_they_stand_for(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = torch.quantize_per_tensor(torch.tensor([1.0, -2.0]), 0.5, 0, torch.qint8)
        data = saved({"state_dict": {"w": value}, "of": b"bytes"})
        (tmp_path / "file.pt").write_bytes(data)
        assert read(tmp_path / "file.pt").state(0)["w"].tolist() == [1.0, -2.0]
    shape = b"K\x02\x85"
    assert data.count(shape) == 1
    refused(
        tmp_path,
        rewritten(data, lambda content: content.replace(shape, GIANT + b"\x85")),
        "a quantised tensor must have as many values as are stored",
    )


def test_tensors_that_no_network_takes_are_named(tmp_path):
    refused(tmp_path, saved({"w": torch.eye(2).to_sparse()}), r"holds sparse tensors, .* \.to_dense\(\)")
    refused(tmp_path, saved({"w": torch.ones(2, device="meta")}), "on the meta device, which have no values")


TENSOR, TYPED = b"ctorch\nTensor\n", b"ctorch._tensor\n_rebuild_from_type_v2\n"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (TENSOR + GIANT + b"\x85R", "tensors of no stored values"),
        (TYPED + b"(" + TENSOR + b"N" + GIANT + b"\x85}tR", "tensors of no stored values"),
        (TYPED + b"(" + TYPED + b"N(" + TENSOR + b"N" + GIANT + b"\x85}t}tR", "tensors of no stored values"),
        (b"ctorch._utils\n_rebuild_qtensor\n(NK\x00" + GIANT + b"\x85tR", "as many values as are stored"),
        (b"c_codecs\nencode\nU\x01aU\x08punycode\x86R", "encodes text in a way"),
    ],
)
def test_calls_that_allocate_or_work_without_end_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        scan(io.BytesIO(b"\x80\x02" + call + b"."))
