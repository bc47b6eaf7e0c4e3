"""The first signal is heard, the second ends the process; whatever a plugin prints goes to stderr."""

import signal
import subprocess
import sys

import pytest


def run(code, *arguments, **others):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, **others)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_second_signal_ends_the_process(signum):
    ended = run(
        "import os\n"
        "from grokscope.cli.terminal import on_signal\n"
        "heard = []\n"
        "with on_signal(heard.append):\n"
        f"    os.kill(os.getpid(), {signum.value})\n"
        "    print(heard, flush=True)\n"
        f"    os.kill(os.getpid(), {signum.value})\n"
        "    print('still here')\n"
    )
    assert ended.stdout == f"[{signum.value}]\n"
    assert ended.returncode == -signum


SWALLOWED = """
import os, sys, time, weakref
from grokscope.cli.terminal import Stopped, on_signal, stop_by_exception

class Thing:
    def __del__(self):
        if "__del__" in sys.argv:
            os.kill(os.getpid(), SIGNUM)

thing = Thing()
gone = weakref.ref(thing, lambda ref: os.kill(os.getpid(), SIGNUM)) if "callback" in sys.argv else None
try:
    with on_signal(stop_by_exception):
        del thing
        print("went on")
        time.sleep(60)
except Stopped as stopped:
    print("stopped by", stopped.signum)
sys.unraisablehook is sys.__unraisablehook__ or print("the hook is left")
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", ["__del__", "callback"])
def test_a_signal_where_no_exception_gets_out_is_not_lost(where, signum):
    ended = run(SWALLOWED.replace("SIGNUM", str(signum.value)), where, timeout=30)
    assert ended.stdout == f"went on\nstopped by {signum.value}\n"
    assert (ended.stderr, ended.returncode) == ("", 0)


def test_a_hangup_that_is_ignored_stays_so():
    ended = run(
        "import os, signal\n"
        "from grokscope.cli.terminal import on_signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "heard = []\n"
        "with on_signal(heard.append):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    print(heard)\n"
    )
    assert (ended.stdout, ended.returncode) == ("[]\n", 0)


def test_handlers_are_put_back():
    ended = run(
        "import signal\n"
        "from grokscope.cli.terminal import on_signal\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "with on_signal(print): pass\n"
        "assert signal.getsignal(signal.SIGTERM) is before\n"
    )
    assert ended.returncode == 0


def test_what_is_printed_by_whatever_way_goes_to_stderr():
    ended = run(
        "import os, sys\n"
        "from grokscope.cli.terminal import print_data, stdout_to_stderr\n"
        "with stdout_to_stderr():\n"
        "    print('print')\n"
        "    os.write(1, b'descriptor\\n')\n"
        "    os.system('echo child')\n"
        "print_data('data')\n"
    )
    assert ended.stdout == "data\n"
    assert sorted(ended.stderr.split()) == ["child", "descriptor", "print"]
