"""Runs that somebody else's loop writes: the loop says which step it is at, the recorder does the rest."""

from grokscope.recording.recorder import Recorder
from grokscope.recording.session import record

__all__ = ["Recorder", "record"]
