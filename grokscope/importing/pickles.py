"""What a PyTorch file says about itself, found out before torch is let near it: no code runs, nothing grows.

`torch.load(weights_only=True)` refuses code, but it allocates what a file declares before it looks whether so
much is there: 1.5 KB can ask for 4 GB. Here the pickle is read with every name in it replaced by a dummy,
and the storages that it declares are held against those that are stored.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from grokscope.errors import FIRST_WORDS, DamagedFile, reason_of

ZIP_MAGIC = b"PK\x03\x04"
_ENTRY_MAGIC = b"PK\x01\x02"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_PICKLE_CAP = 64 << 20
_MOST_RECORDS = 100_000  # of a zip file
_MOST_DIMENSIONS = 64
_NESTED = 1_000  # values in a key, counted as often as they are reached: so long its hash takes
_WORK = 5_000_000  # values that dicts, sets and calls may be made of, counted in the same way
_TORCH = "torch"
_ELEMENT = {
    **dict.fromkeys(("UntypedStorage", "BoolStorage", "ByteStorage", "CharStorage"), 1),
    **dict.fromkeys(("QInt8Storage", "QUInt8Storage"), 1),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("FloatStorage", "IntStorage", "QInt32Storage"), 4),
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    "ComplexDoubleStorage": 16,
}
_PLAIN = {
    ("collections", "OrderedDict"),
    ("collections", "Counter"),
    ("builtins", "set"),
    ("builtins", "complex"),
    ("__builtin__", "set"),
    ("__builtin__", "complex"),
    (_TORCH, "Size"),
    (_TORCH, "device"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor_v3"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_parameter_with_state"),
    ("torch._utils", "_rebuild_qtensor"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("_codecs", "encode"),
}
_ONLY_NAMED = {(_TORCH, "Tensor"), ("torch.nn.parameter", "Parameter")}  # called, they allocate what is asked
_REFUSED = {
    pickle.BYTEARRAY8,
    pickle.NEXT_BUFFER,
    pickle.READONLY_BUFFER,
    pickle.EXT1,
    pickle.EXT2,
    pickle.EXT4,
    pickle.PERSID,
}
_TYPES = {
    *("float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2"),
    *("float8_e5m2fnuz", "float8_e8m0fnu", "complex32", "complex64", "complex128", "bool"),
    *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "qint8", "quint8", "qint32"),
    *("per_tensor_affine", "per_tensor_symmetric", "per_channel_affine", "per_channel_symmetric"),
    "per_channel_affine_float_qparams",
}
_TENSORS = {  # of other kinds, by what makes them
    "_rebuild_sparse_tensor": "sparse tensors, which networks here do not take: save them with .to_dense()",
    "_rebuild_nested_tensor": "nested tensors, which networks here do not take",
    "_rebuild_meta_tensor_no_storage": "tensors on the meta device, which have no values",
    "_rebuild_wrapper_subclass": "tensors of a subclass, such as DTensor: save whole, plain tensors",
}


@dataclass
class Declared:
    """What the pickles of one file ask for: names that are not plain data, and bytes by storage."""

    foreign: list[str] = field(default_factory=list)
    storages: dict[str, int] = field(default_factory=dict)

    def refuse_foreign(self, where: Path) -> None:
        """Raise DamagedFile when the file needs more than tensors, numbers and text."""
        makers = {name.rpartition(".")[2] for name in self.foreign} - {"_get_layout"}
        kinds = [_TENSORS[name] for name in sorted(makers) if name in _TENSORS]
        if kinds and len(kinds) == len(makers):
            raise DamagedFile(f"{where} holds {kinds[0]}")
        if self.foreign:
            names = ", ".join(sorted(set(self.foreign))[:3])
            raise DamagedFile(
                f"{where} needs pickle: it holds {names}, and reading that would run code from the file; "
                "save only the state dict (torch.save(model.state_dict(), ...)) where you trust the file"
            )


def check(data: bytes, where: Path) -> None:
    """Raise DamagedFile, with the reason in a sentence, unless `data` is a PyTorch file that is safe to load.

    It must hold plain data only, and every storage that it declares.
    """
    try:
        _check_zip(data, where) if data.startswith(ZIP_MAGIC) else _check_legacy(data, where)
    except DamagedFile:
        raise
    except (EOFError, struct.error) as error:
        raise DamagedFile(f"{where} is no whole PyTorch file: it ends too early") from error
    except Exception as error:  # whatever a hostile pickle makes of the stack
        raise DamagedFile(f"{where} is no whole PyTorch file: {reason_of(error, FIRST_WORDS)}") from error


def looks_like_pickle(data: bytes) -> bool:
    """Whether `data` begins as pickles do that torch or others have written."""
    return data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05"


def _check_zip(data: bytes, where: Path) -> None:
    if data.count(_ENTRY_MAGIC) > _MOST_RECORDS:
        raise DamagedFile(f"{where} must hold at most {_MOST_RECORDS} records")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = {entry.filename: entry for entry in archive.infolist()}
        if len(records) < len(archive.infolist()):
            raise DamagedFile(f"{where} is damaged: a name occurs twice in it")
        if any(_is_root(name) and f"{_root(name)}constants.pkl" in records for name in records):
            raise DamagedFile(f"{where} is TorchScript, which is code: save the state dict instead")
        for entry in records.values():
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise DamagedFile(f"{where} is no PyTorch file: its records must be stored uncompressed")
        if sum(entry.file_size for entry in records.values()) > len(data):
            raise DamagedFile(f"{where} is damaged: it declares more bytes than it holds")
        roots = [_root(name) for name in records if _is_root(name)]
        if len(roots) != 1:
            raise DamagedFile(f"{where} is a zip file and no PyTorch checkpoint: it has no data.pkl")
        if records[f"{roots[0]}data.pkl"].file_size > _PICKLE_CAP:
            raise DamagedFile(f"{where}: its data.pkl must be at most {_PICKLE_CAP} bytes")
        declared = scan(io.BytesIO(archive.read(f"{roots[0]}data.pkl")))
    declared.refuse_foreign(where)
    for key, size in declared.storages.items():
        stored = records.get(f"{roots[0]}data/{key}")
        _check_storage(where, key, size, stored.file_size if stored else 0)


def _is_root(name: str) -> bool:
    return name.endswith("/data.pkl") and name.count("/") == 1


def _root(name: str) -> str:
    return name.removesuffix("data.pkl")


def _check_legacy(data: bytes, where: Path) -> None:
    """Magic number, protocol, system, the object, its storages' keys; then each storage: count, values."""
    stream = io.BytesIO(data)
    first = Declared()
    if _load(stream, first) != LEGACY_MAGIC:
        first.refuse_foreign(where)
        raise DamagedFile(f"{where} is a pickle and no PyTorch checkpoint; it is not read")
    _load(stream, first)
    _load(stream, first)
    declared = scan(stream)
    declared.refuse_foreign(where)
    keys = _load(stream, declared)
    known = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not known or sorted(keys) != sorted(declared.storages):
        raise DamagedFile(f"{where} is damaged: its storages are not those that it declares")
    for key in keys:
        size = declared.storages[key]
        _check_storage(where, key, size, len(data) - stream.tell() - 8)
        struct.unpack("<q", stream.read(8))
        stream.seek(size, io.SEEK_CUR)


def _check_storage(where: Path, key: str, declared: int, stored: int) -> None:
    if not 0 <= declared <= stored:
        raise DamagedFile(
            f"{where} is damaged: storage {key} must be {declared} bytes, and {max(0, stored)} are there"
        )


def scan(stream: io.BytesIO) -> Declared:
    """Return what the pickle at the stream's position asks for; nothing of it is carried out."""
    declared = Declared()
    _load(stream, declared)
    return declared


def _load(stream: io.BytesIO, declared: Declared) -> Any:
    return _Reader(stream, declared, _dummy()).load()


_Unpickler: Any = pickle.__dict__["_Unpickler"]  # typeshed does not have it


def _dummy() -> type:
    """Return a new class that takes anything and does nothing: whatever a pickle does to it is gone after."""

    class Dummy:
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def __call__(self, *args: Any) -> Any:
            return Dummy()

        def __setitem__(self, name: Any, value: Any) -> None: ...
        def __setstate__(self, state: Any) -> None: ...
        def append(self, value: Any) -> None: ...
        def extend(self, values: Any) -> None: ...
        def __iter__(self) -> Iterator[Any]:
            return iter(())

    return Dummy


class _Reader(_Unpickler):
    """The standard library's unpickler, the one in Python (that in C allocates what a file asks for)."""

    # Opcodes that no state dict needs; the first of them allocates as much as it is told to.
    dispatch: ClassVar[dict[int, Any]] = {
        code: act for code, act in _Unpickler.dispatch.items() if bytes([code]) not in _REFUSED
    }

    def __init__(self, stream: io.BytesIO, declared: Declared, dummy: type) -> None:
        super().__init__(stream, encoding="latin1")
        self._declared, self._dummy = declared, dummy
        self._shaped = type("Shaped", (dummy,), {})
        self._quantised = type("Quantised", (self._shaped,), {})
        self._encode, self._only_named = type("Encode", (dummy,), {}), type("Named", (dummy,), {})
        self._typed = type("Typed", (dummy,), {})
        self._tuples: dict[int, tuple[Any, int]] = {}  # by id: the tuple, kept alive, and its values
        self._work = 0

    def _values_in(self, thing: Any) -> int:
        """Return how many values are reached in `thing`, a tuple or a single value."""
        return self._tuples[id(thing)][1] if isinstance(thing, tuple) and thing else 1

    def _spend(self, things: Iterable[Any]) -> None:
        self._work += sum(map(self._values_in, things))
        if self._work > _WORK:
            raise ValueError("it takes more work to read than its size allows")

    def _check_keys(self, keys: Sequence[Any]) -> None:
        """Refuse a key in which few bytes are reached so often that its hash or its text takes for ever."""
        if any(self._values_in(key) > _NESTED for key in keys):
            raise ValueError(f"it has a key in which more than {_NESTED} values are reached")
        self._spend(keys)

    def _note_tuple(self) -> None:
        made = self.stack[-1]
        if made:
            self._tuples[id(made)] = made, 1 + sum(map(self._values_in, made))

    def find_class(self, module: str, name: str) -> Any:
        if module in (_TORCH, "torch.cuda") and name in _ELEMENT:
            return self._named(_ELEMENT[name])
        if (module, name) == ("torch.storage", "UntypedStorage"):
            return self._named(1)
        known = _PLAIN | _ONLY_NAMED
        if (module, name) not in known and not (module == _TORCH and name in _TYPES):
            self._declared.foreign.append(f"{module}.{name}"[:200])
        return self._stand_in(module, name)

    def _stand_in(self, module: str, name: str) -> type:
        """Return the dummy for a name: of its own where what it is called with must be looked at."""
        if (module, name) in _ONLY_NAMED:
            return self._only_named
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        if name == "_rebuild_qtensor":
            return self._quantised
        if name == "_rebuild_from_type_v2":
            return self._typed
        shaped = name.startswith("_rebuild_tensor") or (module, name) == (_TORCH, "Size")
        return self._shaped if shaped else self._dummy

    def _named(self, size: int) -> Any:
        return type("Storage", (self._dummy,), {"size": size})

    def load_reduce(self) -> None:
        function, arguments = self.stack[-2:]
        self._check_call(function, arguments)
        super().load_reduce()

    def _check_call(self, function: Any, arguments: Any) -> None:
        """Refuse a call that would take more memory or work than the file has bytes."""
        for argument in arguments:
            if isinstance(argument, (tuple, list, set, dict)):
                self._spend(argument)
                if function in (self._shaped, self._quantised) and len(argument) > _MOST_DIMENSIONS:
                    raise ValueError(f"a tensor must have at most {_MOST_DIMENSIONS} dimensions")
        if function is self._only_named:
            raise ValueError("it makes tensors of no stored values")
        if function is self._encode and arguments[1:] not in (("latin1",), ("utf-8",), ("ascii",)):
            raise ValueError("it encodes text in a way that no file of torch.save does")
        if function is self._quantised:
            _check_quantised(arguments)
        if function is self._typed:  # it calls the first of its arguments with the third
            self._check_call(arguments[0], arguments[2])

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        self._check_keys(self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        self._check_keys(self.stack[::2])
        super().load_dict()

    def load_additems(self) -> None:
        self._check_keys(self.stack)
        super().load_additems()

    def load_frozenset(self) -> None:
        self._check_keys(self.stack)
        super().load_frozenset()

    def load_tuple(self) -> None:
        super().load_tuple()
        self._note_tuple()

    def load_tuple1(self) -> None:
        super().load_tuple1()
        self._note_tuple()

    def load_tuple2(self) -> None:
        super().load_tuple2()
        self._note_tuple()

    def load_tuple3(self) -> None:
        super().load_tuple3()
        self._note_tuple()

    dispatch |= {
        code[0]: act
        for code, act in (
            (pickle.REDUCE, load_reduce),
            (pickle.SETITEM, load_setitem),
            (pickle.SETITEMS, load_setitems),
            (pickle.DICT, load_dict),
            (pickle.ADDITEMS, load_additems),
            (pickle.FROZENSET, load_frozenset),
            (pickle.TUPLE, load_tuple),
            (pickle.TUPLE1, load_tuple1),
            (pickle.TUPLE2, load_tuple2),
            (pickle.TUPLE3, load_tuple3),
        )
    }

    def persistent_load(self, pid: Any) -> Any:
        word, kind, key, _, count = pid[:5]
        size = getattr(kind, "size", None)
        plain = isinstance(word, (str, bytes)) and isinstance(key, str)
        if (
            not plain
            or word not in ("storage", b"storage")
            or type(count) is not int
            or type(size) is not int
        ):
            raise ValueError("it refers to something that is no storage")
        known = self._declared.storages
        known[key] = max(known.get(key, 0), size * count) if count >= 0 else -1
        made = self._dummy()
        made.__dict__["nbytes"] = known[key]
        return made


def _check_quantised(arguments: Sequence[Any]) -> None:
    """Refuse a quantised tensor of more values than are stored: torch allocates it by its shape."""
    storage, _, shape = arguments[:3]
    whole = isinstance(shape, tuple) and all(type(length) is int and length >= 0 for length in shape)
    if not whole or math.prod(shape) > getattr(storage, "nbytes", 0):
        raise ValueError("a quantised tensor must have as many values as are stored")
