"""The demo from end to end, at its smallest."""

import subprocess
import sys
from pathlib import Path

import pytest

from hardware import flightlog
from inhand import demo, doctor
from inhand.probe import Finding
from policy.evaluate import Evaluation
from tests.inhand.shipped import ship

SMALLEST = demo.Size(
    train=(
        "train.steps=640",
        "train.num_envs=8",
        "train.horizon=20",
        "train.network.hidden=32",
        "train.network.lstm=32",
        "train.threads=1",
        "physics_threads=1",
    ),
    evaluate=("trials=2", "goal.time_limit=2", "randomization=dactyl"),
    deploy=("seconds=2", "rig.camera_rate=0"),
)


def test_every_part_runs_and_leaves_its_files(tmp_path: Path) -> None:
    shipped = ship(tmp_path / "policies")
    result = demo.run(tmp_path, SMALLEST, shipped)
    assert result.training.control_steps == 640
    assert [len(each.successes) for each in result.evaluations.values()] == [2, 2]
    assert result.deployed == demo.better(result.evaluations)
    flown = flightlog.read(tmp_path / "deploy/flight.mcap").metadata["policy"]["directory"]
    policies = {demo.FRESH: tmp_path / "train/policy", demo.DEFAULT: shipped / "small"}
    assert flown == str(policies[result.deployed])
    assert result.deployment.status == 0 and not result.deployment.failure
    assert result.replay is not None and 0 < result.replay.ticks == result.replay.identical
    for name in ("train/policy/contract.json", "eval.mp4", "deploy/flight.mcap", "flight.mp4"):
        assert (tmp_path / name).stat().st_size > 500
    assert all(row["measured"] for row in demo.rows(result))


def test_the_better_policy_is_deployed_and_of_equals_the_default() -> None:
    def deployed(fresh: int, default: int) -> str:
        return demo.better({demo.FRESH: Evaluation((fresh, 1)), demo.DEFAULT: Evaluation((1, default))})

    assert deployed(3, 2) == demo.FRESH
    assert deployed(2, 3) == deployed(3, 3) == demo.DEFAULT
    assert demo.better({demo.FRESH: Evaluation((0,))}) == demo.FRESH


def test_where_it_cannot_run_it_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = Finding("rendering", "egl", "no libEGL", False, "apt-get install libegl1")
    monkeypatch.setattr(doctor, "examine", lambda: [missing])
    monkeypatch.chdir(tmp_path)
    assert demo.main() == 1
    assert "apt-get install libegl1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_heavy_is_imported_after_the_examination() -> None:
    code = "import sys, inhand.demo; print(*sys.modules)"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert {"torch", "mujoco", "zmq", "imageio"}.isdisjoint(run.stdout.split())
