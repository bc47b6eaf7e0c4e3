"""The script that makes the guide's table of verdicts reads the accounts that the command prints."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "verdict_table.py"


def test_a_table_is_made_of_accounts(toy, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ("--seeds", "1", "--quick", "--workers", "1", "-q", "--json")
    for readings in ("l2", "l1,l2"):
        ended = cli("reproduce", "toy-1", *small, "--readings", readings)
        assert ended.code == 0, ended.err
        (tmp_path / f"{readings}.json").write_text(ended.out)
    made = subprocess.run(
        [sys.executable, SCRIPT, "l2.json", "l1,l2.json"], capture_output=True, text=True, check=True
    )
    assert made.stdout.splitlines() == [
        "| figure | l2 | l1 | seeds |",
        "| --- | --- | --- | --- |",
        "| `toy-1` | undecided | undecided | 1 |",
    ]
