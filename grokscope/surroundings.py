"""What is global in a process, and what a plugin changes for all others: kept as it was, and put back.

Looked after are the settings and random states that numbers depend on (torch's, numpy's, Python's), and what
the rest of a command stands on: the working directory, locale, warning filters, standard streams, signals.
Environment variables, `sys.path` and code that is replaced (`torch.matmul = ...`) are not.
"""

from __future__ import annotations

import functools
import locale
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
OF_THE_GROUP = ("SIGINT", "SIGHUP")  # what a terminal sends to all processes that a command started
_scratch: Any = None  # numpy's global random numbers come from here while plugins run: quick to seed again


class _Global(NamedTuple):
    """One global: how to read it, and how to write what was read."""

    read: Callable[[], Any]
    write: Callable[[Any], Any]
    factory: Callable[[], Any] = lambda: None
    """Returns what it is after its library's import; None where that is not known."""
    blindly: bool = False
    """Whether it is written without a look, which would take longer."""

    def differs(self, before: Any) -> bool:
        if self.blindly:
            return True
        now = self.read()
        return not (now.equal(before) if hasattr(now, "equal") else now == before)


def take_environment(variables: Mapping[str, str]) -> None:
    """Make these this process's environment: one that a server forks has that of the server's start."""
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)


@contextmanager
def signals_blocked(names: Iterable[str] = SIGNALS) -> Iterator[None]:
    """What is started in the block does not get these signals, unless it wants them."""
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Surroundings:
    """The process's global state at the time this is made; `put_back` as often as a plugin has run."""

    def __init__(self) -> None:
        self._kept = {name: each.read() for name, each in _globals().items()}
        self._numpy = _swap_numpy()
        self._scratched = "numpy.random" in sys.modules

    def put_back(self) -> None:
        """Make everything what it was; what was imported since gets its library's own defaults."""
        for name, each in _globals().items():
            before = self._kept[name] if name in self._kept else each.factory()
            if before is not None and each.differs(before):
                with suppress(Exception):  # a working directory may be gone
                    each.write(before)
        numpy = sys.modules.get("numpy.random")
        if numpy is not None and self._scratched:
            numpy.set_bit_generator(_scratch)
            numpy.seed(0)
        elif numpy is not None:  # imported since, when it is seeded by chance
            numpy.set_bit_generator(numpy.MT19937())

    def close(self) -> None:
        """Put everything back for good."""
        self.put_back()
        if self._numpy is not None:
            sys.modules["numpy.random"].set_bit_generator(self._numpy)


@contextmanager
def kept() -> Iterator[None]:
    """Put the process's global state back after the block, whatever a plugin did to it there."""
    before = Surroundings()
    try:
        yield
    finally:
        before.close()


def _swap_numpy() -> Any:
    """Let numpy's global functions draw from a scratch generator; return what they drew from before."""
    global _scratch
    numpy = sys.modules.get("numpy.random")
    if numpy is None or numpy.get_bit_generator() is _scratch:  # not imported, or a block within a block
        return None
    before = numpy.get_bit_generator()
    _scratch = _scratch or numpy.MT19937(0)
    numpy.set_bit_generator(_scratch)
    return before


def _globals() -> dict[str, _Global]:
    found = dict(_PYTHON)
    if threading.current_thread() is threading.main_thread():
        found |= _SIGNALS
    if "numpy" in sys.modules:
        found |= _of_numpy(sys.modules["numpy"])
    if "torch" in sys.modules and hasattr(sys.modules["torch"], "is_anomaly_enabled"):  # else half imported
        found |= _of_torch(sys.modules["torch"]) | _of_gpus(sys.modules["torch"])
    return found


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _write_filters(before: list[Any]) -> None:
    warnings.resetwarnings()  # so that what was decided by the other filters is decided again
    warnings.filters[:] = before  # type: ignore[index]


def _stream(name: str) -> _Global:
    return _Global(lambda: getattr(sys, name), lambda before: setattr(sys, name, before))


def _handler(number: int) -> _Global:
    return _Global(lambda: signal.getsignal(number), lambda before: signal.signal(number, before))


_PYTHON = {
    "the random module's state": _Global(random.getstate, random.setstate, blindly=True),
    "the working directory": _Global(_directory, os.chdir),
    "the locale": _Global(
        lambda: locale.setlocale(locale.LC_ALL), lambda before: locale.setlocale(locale.LC_ALL, before)
    ),
    "the warning filters": _Global(lambda: warnings.filters[:], _write_filters),
    "sys.stdout": _stream("stdout"),
    "sys.stderr": _stream("stderr"),
}
_SIGNALS = {
    f"the handler of {name}": _handler(getattr(signal, name)) for name in SIGNALS if hasattr(signal, name)
}


@functools.cache
def _of_numpy(numpy: Any) -> dict[str, _Global]:
    return {
        "numpy's error handling": _Global(
            numpy.geterr,
            lambda before: numpy.seterr(**before),
            lambda: {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"},
        )
    }


def flushes_denormals() -> bool:
    """Return whether this thread computes 0 where a result is denormal, below its type's normal range."""
    return sys.float_info.min / 2 == 0


@functools.cache
def _of_torch(torch: Any) -> dict[str, _Global]:
    def device() -> str:
        return str(torch.empty(0).device)

    def write_device(before: str) -> None:
        torch.set_default_device(None if before == "cpu" else before)

    def determinism() -> tuple[bool, bool]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )

    def fresh() -> Any:  # torch seeds itself by chance
        return torch.Generator().manual_seed(random.SystemRandom().getrandbits(63)).get_state()

    def write_cudnn(before: tuple[bool, bool]) -> None:
        cudnn.benchmark, cudnn.deterministic = before

    cudnn = torch.backends.cudnn
    return {
        # First, because what follows makes tensors.
        "torch's default device": _Global(device, write_device, lambda: "cpu"),
        "torch's default dtype": _Global(
            torch.get_default_dtype, torch.set_default_dtype, lambda: torch.float32
        ),
        "the number of threads": _Global(torch.get_num_threads, torch.set_num_threads),
        "torch's gradient mode": _Global(torch.is_grad_enabled, torch._C._set_grad_enabled, lambda: True),
        "torch's determinism": _Global(
            determinism,
            lambda before: torch.use_deterministic_algorithms(before[0], warn_only=before[1]),
            lambda: (False, False),
        ),
        "torch's precision of products": _Global(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, lambda: "highest"
        ),
        "torch's flushing of denormal numbers": _Global(
            flushes_denormals, torch.set_flush_denormal, lambda: False
        ),
        "torch's anomaly detection": _Global(
            torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, lambda: False
        ),
        "torch's autocasting": _Global(
            lambda: torch.is_autocast_enabled("cpu"),
            lambda before: torch.set_autocast_enabled("cpu", before),
            lambda: False,
        ),
        "cuDNN's choice of algorithms": _Global(
            lambda: (cudnn.benchmark, cudnn.deterministic),
            write_cudnn,
            lambda: (False, False),
        ),
        "torch's global random state": _Global(torch.get_rng_state, torch.set_rng_state, fresh),
    }


def _of_gpus(torch: Any) -> dict[str, _Global]:
    if not torch.cuda.is_initialized():
        return {}
    return {
        "the random state of every GPU": _Global(
            lambda: [state.tolist() for state in torch.cuda.get_rng_state_all()],
            lambda before: torch.cuda.set_rng_state_all([torch.tensor(s, dtype=torch.uint8) for s in before]),
        )
    }
