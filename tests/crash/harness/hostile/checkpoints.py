"""Checkpoints and resume states as no training writes them."""

import math
import struct

from harness.hostile.making import (
    ESCAPE,
    GIGABYTE,
    canary_of,
    case,
    fifo,
    linked,
    metadata,
    newest,
    rewritten,
    safetensors,
    sparse,
)


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
    """A whole safetensors file of one tensor of 3 GB of zeros, all holes."""
    size = 3 * GIGABYTE
    start = safetensors({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}})
    sparse(newest(run), len(start) + size, start)


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
    """One tensor of one number is all that is left."""

    def change(header, body):
        name = next(name for name in header if name != "__metadata__")
        only = {**header[name], "shape": [1], "data_offsets": [0, 4]}
        words = header["__metadata__"]
        header.clear()
        header.update({"__metadata__": words, name: only})
        return bytes(4)

    rewritten(newest(run), change)


@case
def checkpoint_of_complex_numbers(run):
    def change(header, body):
        end = 0
        for entry in (entry for name, entry in header.items() if name != "__metadata__"):
            size = 8 * max(1, math.prod(entry["shape"]))
            entry |= {"dtype": "C64", "data_offsets": [end, end + size]}
            end += size
        return bytes(end)

    rewritten(newest(run), change)


@case
def checkpoint_of_many_dimensions(run):
    """One tensor more, of 100 000 dimensions of length 1."""

    def change(header, body):
        header["more"] = {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [len(body), len(body) + 4]}
        return body + bytes(4)

    rewritten(newest(run), change)


@case
def checkpoint_of_overlapping_tensors(run):
    def change(header, body):
        names = [name for name in header if name != "__metadata__"]
        header[names[1]] = {**header[names[0]]}

    rewritten(newest(run), change)


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
    def change(header, body):
        name = next(name for name in header if "exp_avg" in name)
        header[name]["shape"] = [1, *reversed(header[name]["shape"])]

    rewritten(run / "resume.safetensors", change)
    newest(run).unlink()


@case
def resume_without_a_state(run):
    def change(header, body):
        words = header["__metadata__"]
        header.clear()
        header["__metadata__"] = words
        return b""

    rewritten(run / "resume.safetensors", change)
    newest(run).unlink()


@case
def resume_of_words_for_numbers(run):
    metadata(run / "resume.safetensors", step="first")


@case
def resume_sparse(run):
    """7 GB of holes after what was there."""
    path = run / "resume.safetensors"
    sparse(path, 7 * GIGABYTE, path.read_bytes())
    newest(run).unlink()


@case
def resume_link_out(run):
    linked(run / "resume.safetensors", canary_of(run))
    newest(run).unlink()
