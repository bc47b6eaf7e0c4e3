"""How hostile files are made: whole by every checksum where whoever writes them could make them so."""

import hashlib
import io
import json
import os
import zipfile

import h5py

CASES = {}
GIGABYTE = 1 << 30
ESCAPE = "\x1b]0;owned\x07\x1b[2J"  # a terminal would set its title and clear its screen
ZEROS = "0" * 64  # where a seal will stand


def case(function):
    """Take a function of the run's folder into the corpus, under its own name."""
    CASES[function.__name__] = function
    return function


def canary_of(run):
    return run.parent / "canary.txt"


def newest(run):
    """The newest checkpoint."""
    return max(path for path in (run / "checkpoints").glob("*.safetensors"))


def sparse(path, size, start=b""):
    """A file of `size` bytes that takes next to nothing on disk."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)


def linked(path, target):
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def fifo(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def safetensors(header, body=b""):
    """A safetensors file of any header, with a true seal where it has a place for one."""
    text = json.dumps(header, separators=(",", ":")).encode()
    whole = len(text).to_bytes(8, "little") + text + body
    seal = hashlib.sha256(whole).hexdigest().encode()
    return whole.replace(b'"seal":"' + ZEROS.encode(), b'"seal":"' + seal, 1)


def rewritten(path, change):
    """Change a checkpoint or resume file of ours and seal it again: whoever can write can do so.

    `change(header, body)` changes the header, and returns the body where that is to be another one.
    """
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:start]), data[start:]
    header["__metadata__"]["seal"] = ZEROS
    changed = change(header, body)
    path.write_bytes(safetensors(header, body if changed is None else changed))


def metadata(path, **changes):
    """Change words of the header."""
    rewritten(path, lambda header, body: header["__metadata__"].update(changes))


def hdf5(fill, newest="v108"):
    """The bytes of an HDF5 file that `fill(file)` writes, made without grokscope's own writer."""
    with h5py.File("x", "w", driver="core", backing_store=False, libver=("earliest", newest)) as file:
        file.attrs["format"] = 1
        fill(file)
        file.flush()
        return file.id.get_file_image()


def add_segment(run, data):
    """Put an HDF5 file among the results, under the name that its bytes ask for."""
    (run / "results").mkdir(exist_ok=True)
    (run / "results" / f"{hashlib.sha256(data).hexdigest()}.h5").write_bytes(data)


def zipped(content):
    """A file of torch.save's zip format with any pickle in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()
