"""One command interrupted again and again, and what must be true after each time."""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load

from grokscope.run import checkpoint, segments
from grokscope.run.files import TEMPORARY
from grokscope.run.results import fingerprint
from grokscope.run.verify import verify_run
from harness.scenarios import FOREIGN

TABLE = {0, 1, 3}  # exit codes of a command that was not stopped: done, failed, some failed
KILLS = ("kill", "tear", "moment")


@dataclass
class Account:
    """Counts over all tests of a session, for the table at the end."""

    rows: dict[tuple[str, str], Counter] = field(default_factory=dict)

    def add(self, scenario, how, ended, problems):
        """Take one command that was interrupted."""
        row = self.rows.setdefault((scenario.name, how), Counter())
        row["times"] += 1
        row[f"exit {ended.code}"] += 1
        row["problems"] += bool(problems)

    def table(self):
        """The lines of a table in Markdown, and the sums."""
        if not self.rows:
            return
        yield "| command | how | times | ended with | not as it must be |"
        yield "|---|---|---|---|---|"
        for (name, how), row in self.rows.items():
            codes = ", ".join(f"{key[5:]}: {n}" for key, n in sorted(row.items()) if key.startswith("exit"))
            yield f"| {name} | {how} | {row['times']} | {codes} | {row['problems']} |"
        total = sum(row["times"] for row in self.rows.values())
        kills = sum(row["times"] for (_, how), row in self.rows.items() if how in KILLS)
        bad = sum(row["problems"] for row in self.rows.values())
        yield f"{kills} kills, {total - kills} refused calls; {bad} not as they must be"


ACCOUNT = Account()


def contents(folder):
    """The bytes of every file below `folder` by its name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def cells_of(files, run):
    """Every result in the segments among `files`, by key, as fingerprints."""
    found = {}
    for name, data in files.items():
        path = Path(name)
        if path.parent == Path(run, "results") and segments.NAME.fullmatch(path.name):
            for cell in segments.believed(data, path):
                found.setdefault(cell.key, set()).add(fingerprint(cell))
    return found


def fault_in(name, data):
    """Why the file under a name of a run cannot be believed; "" when it can, None when it is no such file."""
    path = Path(name)
    try:
        sealed = path.parent.name == "checkpoints" and path.suffix == ".safetensors"
        if sealed or path.name == "resume.safetensors":
            checkpoint.verify(data, name)
        elif segments.NAME.fullmatch(path.name):
            segments.believed(data, path)
        elif path.name in ("run.toml", "imported.json", "index.h5"):
            return "" if data else f"{name} is empty"
        elif path.name == "examples.safetensors":
            load(data)
        elif path.name == "code.json":
            json.loads(data)
        else:
            return None
    except Exception as error:
        return f"{name}: {error}"
    return ""


class Trial:
    """One scenario, tried again and again in a folder of its own, against its uninterrupted run."""

    def __init__(self, server, scenario, folder):
        self.server, self.scenario, self.folder = server, scenario, folder
        self.before = contents(scenario.base)
        self.prepare()
        self.whole = self.run()
        assert self.whole.code == 0, self.whole.err
        assert not self.whole.unseen, f"written without the harness seeing it: {self.whole.unseen}"
        self.after = contents(folder)
        self.result = self.outcome()

    def prepare(self):
        """Make the folder as it was before."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.scenario.base, self.folder, symlinks=True)

    def run(self, **plan):
        return self.server.run(self.scenario.argv, self.folder, share=self.scenario.share, **plan)

    def run_again(self):
        """Run once more from the start, without a fault."""
        self.prepare()
        return self.run()

    def outcome(self):
        """What the command is for: checkpoints and outputs as bytes, results by key, foreign files."""
        files = contents(self.folder)
        kept = {
            name: hashlib.sha256(data).hexdigest()
            for name, data in files.items()
            if not segments.NAME.fullmatch(Path(name).name)
            and Path(name).name not in ("index.h5", "resume.safetensors")
        }
        return kept, {run: cells_of(files, run) for run in self.scenario.runs}

    def interrupt(self, how, **plan):
        """Run with a fault, check, run again, check; return what was not as it must be."""
        self.prepare()
        ended = self.run(how=how, **plan)
        problems = [*self.manners(how, ended), *self.state(how, ended)]
        again = self.run()
        if again.code:
            problems.append(f"the same command then ends with {again.code}: {again.err}")
        elif self.outcome() != self.result:
            problems.append(f"the same command then makes something else: {self.difference()}")
        problems += [f"then left behind: {name}" for name in self.temporaries()]
        problems += [f"then verify finds: {finding}" for finding in self.findings()]
        ACCOUNT.add(self.scenario, how, ended, problems)
        where = f"{how} at {plan}: {self.step_at(ended, plan)}"
        return [f"{where}: {problem}" for problem in problems]

    def step_at(self, ended, plan):
        return ended.steps[plan["at"] - 1] if 0 < plan.get("at", 0) <= len(ended.steps) else ""

    def manners(self, how, ended):
        """How it ended: exit codes of the table, a sentence and no traceback, nothing left running."""
        if ended.hung:
            yield "it hung"
        if ended.left:
            yield f"processes left behind: {ended.left}"
        if "Traceback (most recent call last)" in ended.err:
            yield f"a traceback: {ended.err}"
        stopped = how in ("kill", "tear", "moment") and ended.code == -9
        if not stopped and ended.code not in TABLE:
            yield f"exit code {ended.code}"
        if ended.code in (1, 3) and not ended.err.strip():
            yield f"exit code {ended.code} without a word"

    def state(self, how, ended):
        """What is on disk: nothing torn, nothing lost, nothing foreign touched."""
        files = contents(self.folder)
        for name, data in files.items():
            linked = Path(name).parent.name == "checkpoints" and data in self.before.values()
            fault = "" if linked else fault_in(name, data)  # `import --link`: whole is to be the linked file
            if fault:
                yield f"torn: {fault}"
            elif name in self.scenario.outputs:
                if data not in (self.before.get(name), self.after[name]):
                    yield f"torn: {name}"
            elif fault is None and name not in self.before and not TEMPORARY.fullmatch(Path(name).name):
                yield f"unknown file: {name}"
        yield from self.losses(files, ended)

    def losses(self, files, ended):
        for name, data in self.before.items():
            foreign = fault_in(name, data) is None and name not in self.scenario.outputs
            if foreign and files.get(name) != data and not self.swept(name):
                yield f"a foreign file was touched: {name}"
        promised = [*self.before.items()]
        promised += [(name, each) for name, versions in ended.acknowledged.items() for each in versions]
        for name, data in promised:
            stays = Path(name).parent.name == "checkpoints" and Path(name).suffix == ".safetensors"
            gone = name not in files and not (self.swept(name) or segments.NAME.fullmatch(Path(name).name))
            if gone or (stays and files[name] != data):
                yield f"lost: {name}"
        for run in self.scenario.runs:
            there = cells_of(files, run)
            for key, found in cells_of(dict(promised), run).items():
                if not found <= there.get(key, set()):
                    yield f"lost: {key.measure} of {run}"

    def swept(self, name):
        """Whether the file is a temporary one that a process of this machine left."""
        return TEMPORARY.fullmatch(Path(name).name) and Path(name).name not in FOREIGN

    def temporaries(self):
        return [
            name
            for name in contents(self.folder)
            if TEMPORARY.fullmatch(Path(name).name) and Path(name).name not in FOREIGN
        ]

    def findings(self):
        """What verify finds in the runs, beside the files of others that were put there."""
        for place in self.folder.rglob("run.toml"):
            for finding in verify_run(place.parent):
                if finding.file not in FOREIGN:
                    yield finding

    def difference(self):
        now, should = self.outcome(), self.result
        files = {name for name in {*now[0], *should[0]} if now[0].get(name) != should[0].get(name)}
        runs = [run for run in self.scenario.runs if now[1][run] != should[1][run]]
        return sorted(files), runs
