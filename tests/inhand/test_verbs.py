"""The verbs as a user runs them, small: training that is killed and resumed, then evaluation, deployment and replay."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hardware import flightlog
from hardware.deploy import DeployReport
from hardware.recorder import RecorderReport
from hardware.statistics import LoopReport
from inhand import deploy
from policy.progress import read_progress

TINY = [
    "train.num_envs=8",
    "train.horizon=20",
    "train.network.hidden=32",
    "train.network.lstm=32",
    "train.ppo.minibatches=2",
    "physics_threads=1",
    "train.threads=1",
]


def inhand(*arguments: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "inhand.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed with -9 amid training and then resumed to its end."""
    directory = tmp_path_factory.mktemp("train") / "run"
    arguments = ["train", f"run={directory}", "train.steps=1_000_000", "train.checkpoint_minutes=0.01", *TINY]
    process = subprocess.Popen([sys.executable, "-m", "inhand.cli", *arguments], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any((directory / "checkpoints").glob("*")) or len(read_progress(directory)) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_at = int(read_progress(directory)[-1]["update"] or 0)
    steps = (killed_at + 4) * 8 * 20
    settings = [f"run={directory}", f"train.steps={steps}", "train.checkpoint_minutes=0.01", *TINY]
    inhand("train", "resume=true", f"out={directory / 'result.json'}", *settings)
    updates = [int(row["update"] or 0) for row in read_progress(directory)]
    assert updates == list(range(1, killed_at + 5))  # each update once, none lost
    return directory


def test_a_killed_run_resumes_and_exports_a_policy(run: Path):
    assert (run / "policy" / "contract.json").is_file()
    assert (run / "curve.png").stat().st_size > 5000
    contract = json.loads((run / "policy" / "contract.json").read_text())
    assert contract["training"]["randomization"]["name"] == "dactyl"
    result = json.loads((run / "result.json").read_text())
    assert result["control_steps"] == contract["training"]["control_steps"]
    assert result["policy"] == str(run / "policy")
    assert result["steps_per_second"] > 0.0 and not result["interrupted"]


def test_an_existing_run_is_not_started_over(run: Path):
    message = inhand("train", f"run={run}", *TINY, status=1)
    assert "resume" in message and len(message.strip().splitlines()) == 1


def test_a_run_is_not_resumed_in_another_world(run: Path):
    message = inhand("train", f"run={run}", "resume=true", "task.goal.law=so3", *TINY, status=1)
    assert "task.goal.law=face_up" in message and len(message.strip().splitlines()) == 1
    message = inhand("train", f"run={run}", "resume=true", "~randomization.physics.object_mass", *TINY, status=1)
    assert "this asks for no randomization.physics.object_mass." in message


def test_evaluation_writes_its_json_and_a_video(run: Path, tmp_path: Path):
    out, video = tmp_path / "eval.json", tmp_path / "trial.mp4"
    text = inhand("eval", str(run / "policy"), "trials=4", "goal.time_limit=2", f"out={out}", f"video={video}")
    assert "mean ± sd" in text
    result = json.loads(out.read_text())
    assert set(result) == {
        "trials", "mean", "sd", "median", "ci95_low", "ci95_high", "dropped", "successes", "plant", "randomization",
        "goal_law", "threshold", "time_limit", "max_successes", "seed", "sample", "policy",
    }  # fmt: skip
    assert result["trials"] == len(result["successes"]) == 4
    assert (result["plant"], result["randomization"], result["goal_law"]) == ("shadow", "none", "face_up")
    assert _frames(video) > 5


def test_a_follower_scores_checkpoints_until_it_is_told_to_stop(run: Path, tmp_path: Path):
    checkpoints = tmp_path / "run" / "checkpoints"
    command = [sys.executable, "-m", "inhand.cli", "eval", "--follow", str(tmp_path / "run"), "--trials=2"]
    command += ["--goal.time_limit", "1", "--physics_threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    whole = sorted((run / "checkpoints").glob("*.pt"))
    assert len(whole) > 1
    evaluations = tmp_path / "run" / "evaluations.jsonl"
    checkpoints.mkdir(parents=True)
    for count, path in enumerate(whole[:-1], start=1):  # without the last, the run has not ended
        (checkpoints / path.name).symlink_to(path)
        deadline = time.monotonic() + 120
        while not evaluations.exists() or len(evaluations.read_text().splitlines()) < count:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and "told to stop" in text and "95 % of the mean" in text
    settings = json.loads(evaluations.read_text().splitlines()[0])["settings"]
    assert (settings["trials"], settings["plant"], settings["randomization"]) == (2, "shadow", "none")

    (checkpoints / whole[-1].name).symlink_to(whole[-1])
    text = inhand("eval", f"follow={tmp_path / 'run'}", "trials=2", "goal.time_limit=1")
    assert "the run has ended" in text
    updates = [json.loads(line)["update"] for line in evaluations.read_text().splitlines()]
    assert updates == [int(path.stem) for path in whole]
    inhand("eval", str(tmp_path / "run" / "best"), "trials=1", "goal.time_limit=1")
    message = inhand("eval", f"follow={tmp_path / 'run'}", "trials=3", "goal.time_limit=1", status=1)
    assert "holds scores with trials = 2, this asks for 3" in message and len(message.strip().splitlines()) == 1


def test_a_run_or_nothing_in_place_of_a_policy_is_told_apart(tmp_path: Path):
    message = inhand("eval", str(tmp_path / "nowhere"), status=1)
    assert "nowhere: no such directory" in message
    (tmp_path / "run/policy").mkdir(parents=True)
    (tmp_path / "run/policy/contract.json").touch()
    message = inhand("export", str(tmp_path / "run"), f"out={tmp_path / 'policy.onnx'}", status=1)
    assert f"is a training run; its policy artefact is {tmp_path / 'run/policy'}" in message
    (tmp_path / "chain/student/checkpoints").mkdir(parents=True)
    message = inhand("eval", f"follow={tmp_path / 'chain'}", status=1)
    assert "chain is a recipe, which has no checkpoints; follow one of student in it" in message


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of policy=DIRECTORY, or NAME, and follow=RUN is needed"),
        (["policy", "follow=run"], "and not both"),
        (["follow=run", "out=eval.json"], "there is no out and no video"),
        (["follow=run", "follow_idle=-1"], "follow_idle is -1.0; allowed: 0 or more"),
    ],
)
def test_what_cannot_be_evaluated_is_said_at_once(arguments: list[str], said: str):
    message = inhand("eval", *arguments, status=2)
    assert said in message and len(message.strip().splitlines()) == 1


def test_evaluation_runs_on_a_hand_that_others_wrote(run: Path, tmp_path: Path):
    out = tmp_path / "eval.json"
    inhand("eval", str(run / "policy"), "plant=gymnasium_robotics", "trials=2", "goal.time_limit=1", f"out={out}")
    assert json.loads(out.read_text())["plant"] == "gymnasium_robotics"
    message = inhand("eval", str(run / "policy"), "plant=menagerie", "plant.directory=elsewhere", status=1)
    assert "plant.directory must hold it" in message and len(message.strip().splitlines()) == 1


def test_adaptive_ranges_have_to_be_given(run: Path):
    message = inhand("eval", str(run / "policy"), "randomization=adr", "trials=2", status=1)
    assert "ranges of no width" in message and len(message.strip().splitlines()) == 1


def test_a_result_is_written_even_if_its_video_cannot_be_drawn(run: Path, tmp_path: Path):
    out = tmp_path / "eval.json"
    arguments = [str(run / "policy"), "trials=1", "goal.time_limit=1", f"out={out}", f"video={tmp_path / 'trial.mp4'}"]
    no_driver = os.environ | {"MUJOCO_GL": "egl", "__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent"}
    done = subprocess.run([sys.executable, "-m", "inhand.cli", "eval", *arguments], env=no_driver, capture_output=True)
    assert done.returncode != 0
    assert json.loads(out.read_text())["trials"] == 1


def test_a_deployment_with_a_failure_has_failed(monkeypatch: pytest.MonkeyPatch):
    loop = LoopReport(stopped="killed")
    result = DeployReport("flight.mcap", 0, "the rig fell silent", loop, RecorderReport({}, {}, {}))
    monkeypatch.setattr(deploy, "deploy", lambda job: result)
    assert deploy.run(deploy.DeployJob(policy="a/policy")) == 1


def test_deployment_leaves_a_log_that_replays_to_the_bit(run: Path, tmp_path: Path):
    flight, video, out = tmp_path / "flight", tmp_path / "flight.mp4", tmp_path / "replay.json"
    inhand("deploy", str(run / "policy"), f"directory={flight}", "seconds=3", "rig.camera_rate=5")
    log = flight / "flight.mcap"
    assert flightlog.read(log).complete
    text = inhand("replay", str(log), f"video={video}", f"out={out}")
    result = json.loads(out.read_text())
    assert result["identical"] == result["ticks"] > 20
    assert f"{result['ticks']} of {result['ticks']} actions identical" in text
    assert _frames(video) > 20


def test_a_missing_policy_is_one_clear_line(tmp_path: Path):
    for verb in ("eval", "deploy"):
        message = inhand(verb, str(tmp_path / "nothing"), status=1)
        assert "nothing" in message and len(message.strip().splitlines()) == 1


def _frames(video: Path) -> int:
    import cv2

    capture = cv2.VideoCapture(str(video))
    count = 0
    while capture.read()[0]:
        count += 1
    return count
