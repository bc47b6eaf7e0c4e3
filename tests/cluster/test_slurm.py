"""The guide's scripts under a real Slurm, where it is installed: a controller and two nodes, all here."""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grokscope import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(
            shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("slurmctld", "slurmd")
        ),
        reason="Slurm is not installed: apt-get install slurm-wlm",
    ),
]
GUIDE = Path(__file__).parents[2] / "examples" / "guides" / "beyond-one-machine.md"
NODES = ("one", "two")
# Without munge: a daemon that a machine has one of.
SETTINGS = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
KillWait=2
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cores} RealMemory=2000
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cores} RealMemory=2000
PartitionName=all Nodes=one,two Default=YES MaxTime=INFINITE State=UP
"""


def scripts():
    """The guide's blocks of shell that Slurm reads, or that make what it reads."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    return [block for block in blocks if "srun" in block or "SLURM" in block]


def free_ports(count):
    bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in bound]
    for each in bound:
        each.close()
    return ports


class Slurm:
    def __init__(self, folder, until):
        self.folder = folder
        for name in ("state", *NODES):
            (folder / name).mkdir()
        settings = SETTINGS.format(
            folder=folder,
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            cores=os.cpu_count(),
            ports=free_ports(3),
        )
        (folder / "slurm.conf").write_text(settings)
        path = [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": ":".join(path)}
        self._daemons = [self._start("slurmctld"), *(self._start("slurmd", "-N", node) for node in NODES)]
        until(lambda: self("sinfo", "--noheader", "--format=%D%t").stdout.split() == ["2idle"], seconds=60)

    def _start(self, name, *options):
        with open(self.folder / "said.log", "a") as log:
            return subprocess.Popen([name, "-D", *options], env=self.environment, stdout=log, stderr=log)

    def __call__(self, *command, **settings):
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=300, **settings
        )

    def submit(self, script, folder):
        """A script of the guide: what `sbatch` says is the number of its job."""
        (folder / "job.sh").write_text(f"#!/bin/sh\n#SBATCH --output=job-%A-%a.txt\n{script}")
        began = self("sbatch", "--parsable", "job.sh", cwd=folder)
        assert began.returncode == 0, began.stderr
        return began.stdout.strip()

    def jobs(self, *states):
        chosen = ["--states", ",".join(states)] if states else []
        return self("squeue", "--noheader", "--format=%i", *chosen).stdout.split()

    def close(self):
        self("scancel", "--user", getpass.getuser())
        for each in reversed(self._daemons):
            each.send_signal(signal.SIGTERM)
        for each in self._daemons:
            each.wait(timeout=60)


@pytest.fixture
def slurm(tmp_path, until):
    (tmp_path / "slurm").mkdir()
    made = Slurm(tmp_path / "slurm", until)
    yield made
    made.close()


def measured(cli, folder):
    """CSV of all runs of a folder, whose results are whole; without where they lie."""
    paths = sorted(map(str, (folder / "runs").iterdir()))
    done = cli("analyze", *paths, "-m", "pmi,oinfo", "--workers", "1", "--csv", "-")
    assert done.code == 0, done.err
    assert [Run.open(path).problems for path in paths] == [[]] * len(paths)
    return done.out.replace(f"{folder}/", "")


def test_job_arrays_as_the_guide_has_them(slurm, cli, tmp_path, until):
    measure, sweep = sorted(
        (block for block in scripts() if "--array" in block), key=lambda text: "sweep" in text
    )
    slurm.submit(sweep.replace("0-99", "0-2"), tmp_path)
    until(lambda: not slurm.jobs())
    runs = sorted((tmp_path / "runs").iterdir())
    assert [path.name[-3:] for path in runs] == ["-s0", "-s1", "-s2"]
    assert all(Run.open(path).steps[-1] == 600 for path in runs)
    alone = shutil.copytree(tmp_path / "runs", tmp_path / "alone" / "runs").parent
    array = slurm.submit(measure, tmp_path)
    until(lambda: slurm.jobs("RUNNING"))
    killed = slurm.jobs("RUNNING")[-1]
    time.sleep(4)
    assert slurm("scancel", "--signal=KILL", killed).returncode == 0
    until(lambda: not slurm.jobs())
    shares = [(tmp_path / f"job-{array}-{number}.txt").read_text() for number in range(8)]
    assert sum("last value" in text for text in shares) >= 7, shares
    assert measured(cli, tmp_path) == measured(cli, alone)


def test_dask_jobqueue_as_the_guide_has_it(slurm, cli, run_path, tmp_path, until):
    pytest.importorskip("dask_jobqueue")
    (script,) = (block for block in scripts() if "SLURMCluster" in block)
    written = re.search(r"slurm.py <<'END'\n(.*?)END\n", script, re.S)[1]
    for guide, here in (("cores=16", f"cores={os.cpu_count()}"), ("32GB", "1GB")):
        assert guide in written
        written = written.replace(guide, here)
    (tmp_path / "slurm.py").write_text(written)
    runs = [shutil.copytree(run_path, tmp_path / "runs" / str(number)) for number in range(3)]
    alone = shutil.copytree(tmp_path / "runs", tmp_path / "alone" / "runs").parent
    ended = slurm(sys.executable, "slurm.py", *map(str, runs), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert all(len(Run.open(path).cells()) == 2 * 7 for path in runs)
    assert measured(cli, tmp_path) == measured(cli, alone)
    until(lambda: not slurm.jobs())
