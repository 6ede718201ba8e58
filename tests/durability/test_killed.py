"""A worker killed at any moment, and PostgreSQL killed under it, lose no committed sample and double none.

The same scenario as `python -m benchmarks.killed`, which runs it 200 times, a few times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
TIMES = 14


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.usefixtures("any_broker")
def test_every_committed_sample_is_there_exactly_once(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    if database == "postgresql":
        request.getfixturevalue("postgres")  # skips where there is none
    result = tmp_path / "result.json"
    seed = str(int.from_bytes(os.urandom(2)))
    arguments = ["--times", str(TIMES), "--database", database, "--seed", seed, "--json", str(result)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.killed", *arguments],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
    found = json.loads(result.read_text())
    assert (found["times"], found["wrong"]) == (TIMES, [])
    assert found["simulated"] > 0
    assert found["polled"] > 0
