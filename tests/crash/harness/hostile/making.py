"""Files as an attacker, a broken disk or a careless program would leave them in a run, made by code.

A case is a function of the run's folder. Beside the run lies `canary.txt`, which no command may read or
change; the module `canary` writes a file when it is imported, which no command may do.
"""

import hashlib
import json
import math
import os
import pickle
import shutil
import struct
import zipfile
from io import BytesIO

CASES = {}
FAR = 7 << 30  # bytes of a sparse file
ESCAPE = "\x1b]0;owned\x07\x1b[2J"


def case(function):
    CASES[function.__name__] = function
    return function


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


def canary_of(run):
    return run.parent / "canary.txt"


def newest(run):
    return max(path for path in (run / "checkpoints").glob("*.safetensors"))


def sparse(path, size=FAR):
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def linked(path, target):
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def fifo(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def parts(path):
    """A safetensors file as its header and the rest."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:start]), data[start:]


def sealed(path, header, rest=b""):
    """Write a safetensors file of ours with a true seal, whatever the header says."""
    header["__metadata__"] = {**header.get("__metadata__", {}), "seal": "0" * 64}
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    whole = len(text).to_bytes(8, "little") + text + rest
    seal = hashlib.sha256(whole).hexdigest().encode()
    path.write_bytes(whole.replace(b'"seal":"' + b"0" * 64, b'"seal":"' + seal, 1))


def metadata(path, **changes):
    header, rest = parts(path)
    header["__metadata__"] |= changes
    sealed(path, header, rest)


def segment(run, fill):
    """Add a segment under its true name whose contents `fill(file)` writes."""
    import h5py

    with h5py.File("x", "w", driver="core", backing_store=False, libver=("earliest", "v110")) as file:
        fill(file)
        file.flush()
        add_segment(run, file.id.get_file_image())


def add_segment(run, data):
    (run / "results" / f"{hashlib.sha256(data).hexdigest()}.h5").write_bytes(data)


def stored(run, **changes):
    """Add a segment of a sound cell whose key is changed."""
    from dataclasses import replace

    from grokscope.run import Run, results

    cell = next(iter(Run.open(run).cells().values()))
    add_segment(run, results.encode([replace(cell, key=replace(cell.key, **changes))]))


@case
def config_empty(run):
    (run / "run.toml").write_bytes(b"")


@case
def config_not_utf8(run):
    (run / "run.toml").write_bytes(b"\xff\xfe" * 100)


@case
def config_deep_names(run):
    (run / "run.toml").write_text(".".join("a" * 200_000) + " = 1\n")


@case
def config_deep_lists(run):
    (run / "run.toml").write_text("a = " + "[" * 100_000 + "]" * 100_000)


@case
def config_sparse(run):
    sparse(run / "run.toml")


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


@case
def checkpoint_empty(run):
    newest(run).write_bytes(b"")


@case
def checkpoint_of_a_length_too_large(run):
    newest(run).write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


@case
def checkpoint_of_deep_json(run):
    text = b"[" * 500_000
    newest(run).write_bytes(len(text).to_bytes(8, "little") + text)


@case
def checkpoint_flipped(run):
    path = newest(run)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@case
def checkpoint_sparse(run):
    sparse(newest(run))


@case
def checkpoint_fifo(run):
    fifo(newest(run))


@case
def checkpoint_folder(run):
    path = newest(run)
    path.unlink()
    path.mkdir()


@case
def checkpoint_link_to_the_canary(run):
    path = newest(run)
    path.unlink()
    path.symlink_to(canary_of(run).parent / "nowhere")


@case
def checkpoint_device(run):
    linked(newest(run), "/dev/zero")


@case
def checkpoint_endless_link(run):
    linked(newest(run), newest(run))


@case
def checkpoint_step_beyond_numbers(run):
    metadata(newest(run), curve=f"[[{1 << 70},1,1,1,1]]")


@case
def checkpoint_curve_is_no_list(run):
    metadata(newest(run), curve='{"a":1}')


@case
def checkpoint_of_another_run(run):
    metadata(newest(run), run="f" * 64)


@case
def checkpoint_of_a_later_format(run):
    metadata(newest(run), format="grokscope 999")


@case
def checkpoint_loss_is_words(run):
    metadata(newest(run), train_loss=ESCAPE)


@case
def checkpoint_of_other_shapes(run):
    header, _ = parts(newest(run))
    for name in header:
        if name != "__metadata__":
            header[name] |= {"shape": [1], "data_offsets": [0, 4]}
            break
    only = {key: header[key] for key in ("__metadata__", name)}
    sealed(newest(run), only, b"\0" * 4)


@case
def checkpoint_of_complex_numbers(run):
    header, _ = parts(newest(run))
    new, end = {"__metadata__": header["__metadata__"]}, 0
    for name, entry in header.items():
        if name != "__metadata__":
            size = 8 * max(1, math.prod(entry["shape"]))
            new[name] = {"dtype": "C64", "shape": entry["shape"], "data_offsets": [end, end + size]}
            end += size
    sealed(newest(run), new, b"\0" * end)


@case
def checkpoint_of_many_dimensions(run):
    header, _ = parts(newest(run))
    only = {"__metadata__": header["__metadata__"]}
    only["w"] = {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]}
    sealed(newest(run), only, b"\0" * 4)


@case
def checkpoint_of_overlapping_tensors(run):
    header, rest = parts(newest(run))
    names = [name for name in header if name != "__metadata__"]
    header[names[1]] = {**header[names[0]]}
    sealed(newest(run), header, rest)


@case
def checkpoints_is_a_file(run):
    (run / "checkpoints").rename(run / "elsewhere")
    (run / "checkpoints").write_bytes(b"")


@case
def checkpoints_is_a_link(run):
    (run / "checkpoints").rename(run.parent / "elsewhere")
    (run / "checkpoints").symlink_to(run.parent / "elsewhere")


@case
def resume_of_other_shapes(run):
    path = run / "resume.safetensors"
    header, rest = parts(path)
    name = next(name for name in header if "exp_avg" in name)
    shape = header[name]["shape"]
    header[name]["shape"] = [1, *reversed(shape)]
    sealed(path, header, rest)
    newest(run).unlink()


@case
def resume_without_a_state(run):
    path = run / "resume.safetensors"
    header, _ = parts(path)
    sealed(path, {"__metadata__": header["__metadata__"]})
    newest(run).unlink()


@case
def resume_of_words_for_numbers(run):
    metadata(run / "resume.safetensors", step="first")


@case
def resume_sparse(run):
    sparse(run / "resume.safetensors")
    newest(run).unlink()


@case
def resume_link_out(run):
    linked(run / "resume.safetensors", canary_of(run))
    newest(run).unlink()


@case
def segment_of_noise(run):
    add_segment(run, bytes(range(256)) * 100)


@case
def segment_under_another_name(run):
    (run / "results" / f"{'0' * 64}.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)


@case
def segment_with_a_link_out(run):
    import h5py

    def fill(file):
        file.attrs["format"] = 1
        file["rows"] = h5py.ExternalLink(str(canary_of(run)), "/")
        file.create_group("arrays")

    segment(run, fill)


@case
def segment_stored_elsewhere(run):
    def fill(file):
        file.attrs["format"] = 1
        file.create_dataset("rows", (10,), "u1", external=[(str(canary_of(run)), 0, 10)])
        file.create_group("arrays")

    segment(run, fill)


@case
def segment_that_is_virtual(run):
    import h5py

    def fill(file):
        file.attrs["format"] = 1
        layout = h5py.VirtualLayout((10,), "u1")
        layout[:] = h5py.VirtualSource(str(canary_of(run)), "x", (10,))
        file.create_virtual_dataset("rows", layout)
        file.create_group("arrays")

    segment(run, fill)


@case
def segment_of_many_groups(run):
    def fill(file):
        file.attrs["format"] = 1
        for number in range(20_000):
            file.create_group(f"g{number}")

    segment(run, fill)


@case
def segment_that_takes_gigabytes(run):
    def fill(file):
        file.attrs["format"] = 1
        file.create_dataset("rows", (3 << 30,), "u1", chunks=(1 << 22,), compression="gzip", fillvalue=1)
        file.create_group("arrays")

    segment(run, fill)


@case
def segment_of_a_later_format(run):
    segment(run, lambda file: file.attrs.__setitem__("format", 999))


@case
def segment_fifo(run):
    fifo(run / "results" / f"{'1' * 64}.h5")


@case
def segment_sparse(run):
    sparse(run / "results" / f"{'2' * 64}.h5", 900 << 20)


@case
def segment_link_out(run):
    linked(run / "results" / f"{'3' * 64}.h5", canary_of(run))


@case
def result_whose_parameters_are_no_json(run):
    stored(run, parameters="]")


@case
def result_whose_parameters_are_no_object(run):
    stored(run, parameters="[1,2]")


@case
def result_whose_parameters_are_deep(run):
    stored(run, parameters="[" * 100_000)


@case
def result_of_a_measure_with_control_characters(run):
    stored(run, measure=f"robustness:{ESCAPE}")


@case
def results_is_a_link(run):
    (run / "results").rename(run.parent / "elsewhere")
    (run / "results").symlink_to(run.parent / "elsewhere")


@case
def quarantine_is_a_link(run):
    (run.parent / "elsewhere").mkdir()
    (run / "results" / "quarantine").symlink_to(run.parent / "elsewhere")
    segment_under_another_name(run)


@case
def index_of_noise(run):
    (run / "index.h5").write_bytes(bytes(range(256)) * 100)


@case
def index_flipped(run):
    data = bytearray((run / "index.h5").read_bytes())
    for at in range(len(data) // 3, len(data), len(data) // 7):
        data[at] ^= 0x10
    (run / "index.h5").write_bytes(data)


@case
def index_forged(run):
    """Every stored number is another one, with checksums that fit."""
    import h5py

    with h5py.File(run / "index.h5", "r+") as file:
        table = file["results/rows"][()]
        table["value"] = 42.0
        file["results/rows"][...] = table


@case
def index_sparse(run):
    sparse(run / "index.h5", 1 << 30)


@case
def index_fifo(run):
    fifo(run / "index.h5")


@case
def index_link_out(run):
    linked(run / "index.h5", canary_of(run))


@case
def index_folder(run):
    (run / "index.h5").unlink()
    (run / "index.h5").mkdir()


class Bomb:
    """A pickle that runs code when it is read."""

    def __reduce__(self):
        return __import__, ("canary",)


def pickled(run, content, records=()):
    """A file of torch.save's zip format beside the run."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/version", "3\n")
        for name, data in records:
            file.writestr(f"archive/data/{name}", data)
    (run.parent / "theirs.pt").write_bytes(stream.getvalue())


@case
def pickle_that_runs_code(run):
    pickled(run, pickle.dumps({"w": Bomb()}, 2))


@case
def pickle_of_nested_keys(run):
    pickled(run, b"\x80\x02}" + b"(" + b")" + b"\x85" * 150 + b"K\x01u.")


@case
def pickle_cut_off(run):
    pickled(run, pickle.dumps({"w": [1.0] * 100}, 2)[:40])


@case
def pickle_of_doubled_lists(run):
    """Each list holds the one before twice: 2 to the 60th elements in some hundred bytes."""
    pickled(run, b"\x80\x02]" + b"".join(b"q%c](h%ch%ce" % (n, n, n) for n in range(60)) + b".")
