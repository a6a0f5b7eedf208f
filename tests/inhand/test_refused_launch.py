"""torchrun starts again whatever failed: a refusal must not become the resume of somebody else's run."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["train.num_envs=4", "train.horizon=10", "train.network.hidden=8", "train.network.lstm=8", "randomization=none"]


def train(run: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    command += ["-m", "inhand.cli", "train", f"run={run}", *SMALL, *overrides]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


def content(run: Path) -> dict[str, str]:
    files = (path for path in sorted(run.rglob("*")) if path.is_file())
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_a_launch_that_is_refused_leaves_the_old_run_as_it_was(tmp_path):
    first = train(tmp_path / "old", "train.steps=160")
    assert first.returncode == 0, first.stderr
    before = content(tmp_path / "old")
    assert "launch.json" in before
    second = train(tmp_path / "old", "train.steps=320")
    assert second.returncode != 0
    assert second.stderr.count("already holds checkpoints of a run") >= 2  # at the first start and at the second
    assert content(tmp_path / "old") == before
