"""What a process that reads a hostile file may take."""

import json
import os
import resource
from pathlib import Path

ROOM, SECONDS = 500 << 20, 10  # beyond what it starts with


def limited(act):
    """Return what `act` returns in a process that may take 500 MB more and ten seconds."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        try:
            answer = json.dumps(act())
        except BaseException as error:
            answer = json.dumps([f"TRACEBACK {type(error).__name__}: {error}"])
        os.write(write, answer.encode()[:60_000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the reading process ended with {status}"
    return json.loads(answer)
