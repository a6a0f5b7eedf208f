"""Training runs: resumed to the bit, interrupted, killed."""

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from policy import artefact, checkpoint
from policy.checkpoint import CheckpointError
from policy.curriculum import CurriculumConfig
from policy.network import NetworkConfig
from policy.ppo_config import PPOConfig
from policy.progress import read_progress
from policy.train import TrainConfig, TrainResult, train
from sim.vector_env import Difficulty, Step
from tests.policy.toy import POLICY, ToyEnv

ROOT = Path(__file__).parents[2]
PER_UPDATE = 16 * 10


def config(updates: int, **changes) -> TrainConfig:
    base = TrainConfig(
        seed=3,
        num_envs=16,
        horizon=10,
        threads=1,
        network=NetworkConfig(hidden=16, lstm=8),
        ppo=PPOConfig(chunk=5, epochs=2, minibatches=2, target_kl=0.01, persistence=0.6),
    )
    return replace(base, steps=updates * PER_UPDATE, **changes)


def run(directory: Path, settings: TrainConfig, resume: bool = False, seed: int = 1) -> TrainResult:
    return train(settings, ToyEnv(16, seed), directory, resume, Console(file=io.StringIO()))


def newest(directory: Path) -> dict:
    return checkpoint.load(checkpoint.find(directory / "checkpoints")[-1])


def flatten(value: object, where: str = "") -> dict[str, object]:
    """The leaves of nested containers by path; tensors as their bytes."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    elif isinstance(value, torch.Tensor):
        return {where: (value.dtype, tuple(value.shape), value.numpy().tobytes())}
    else:
        return {where: value}
    return {path: leaf for key, item in items for path, leaf in flatten(item, f"{where}.{key}").items()}


def assert_same_run(first: Path, second: Path) -> None:
    a, b = newest(first), newest(second)
    for content in (a, b):
        content["elapsed"] = content["config"]["checkpoint_minutes"] = content["config"]["until"] = 0.0
    assert flatten(a) == flatten(b)
    timed = {"elapsed", "steps_per_second", "years_per_hour", "rollout_seconds", "update_seconds"}
    rows = [[{k: v for k, v in row.items() if k not in timed} for row in read_progress(d)] for d in (first, second)]
    assert rows[0] == rows[1]


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(tmp_path):
    whole = run(tmp_path / "whole", config(8))
    run(tmp_path / "parts", config(3))
    # another seed for the worlds: all of their state has to come from the checkpoint
    resumed = run(tmp_path / "parts", config(8), resume=True, seed=99)
    assert whole.updates == resumed.updates == 8
    assert whole.control_steps == resumed.control_steps == 8 * PER_UPDATE
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


class HarderEnv(ToyEnv):
    """Drives the point away from the origin, by so much less as there is less gravity."""

    gravity = 1.0

    def set_difficulty(self, difficulty: Difficulty) -> None:
        self.gravity = difficulty.gravity

    def step(self, action: torch.Tensor) -> Step:
        self.pos = self.pos * (1.0 + 0.1 * self.gravity)
        return super().step(action)


def test_a_run_resumed_in_the_middle_of_a_curriculum_equals_an_uninterrupted_one_to_the_bit(tmp_path):
    curriculum = CurriculumConfig(gravity=[[PER_UPDATE, 0.1], [7 * PER_UPDATE, 1.0]])

    def harder(directory: Path, updates: int, resume: bool = False, seed: int = 1) -> None:
        train(config(updates, curriculum=curriculum), HarderEnv(16, seed), tmp_path / directory, resume)

    harder(Path("whole"), 8)
    harder(Path("parts"), 3)
    harder(Path("parts"), 8, resume=True, seed=99)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    rows = read_progress(tmp_path / "whole")
    assert [row["curriculum/gravity"] for row in rows] == pytest.approx([0.1, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0])
    with pytest.raises(CheckpointError, match=r"config\.curriculum\.gravity"):
        run(tmp_path / "parts", config(9), resume=True)


def test_a_curriculum_needs_worlds_with_a_difficulty(tmp_path):
    with pytest.raises(ValueError, match="ToyEnv has none"):
        run(tmp_path / "none", config(1, curriculum=CurriculumConfig(gravity=[[0, 0.5]])))
    assert not (tmp_path / "none").exists()


def test_a_run_that_is_over_tells_the_same_again(tmp_path):
    first, again = (run(tmp_path, config(3), resume=resume) for resume in (False, True))
    for name in ("updates", "control_steps", "elapsed", "steps_per_second", "years_per_hour"):
        assert getattr(first, name) == getattr(again, name) > 0.0


def test_a_run_ends_with_its_budget_or_when_its_policy_reaches_what_was_asked_for(tmp_path):
    assert run(tmp_path / "whole", config(3, until=100.0)).updates == 3
    first = read_progress(tmp_path / "whole")[0]["successes"] or 0.0
    assert first > 0.0
    for resume in (False, True):
        result = run(tmp_path / "sooner", config(3, until=first), resume)
        assert (result.updates, result.interrupted) == (1, False)
    assert newest(tmp_path / "sooner")["over"]
    # more is asked of it: it goes on
    assert run(tmp_path / "sooner", config(3, until=100.0), resume=True).updates == 3
    assert_same_run(tmp_path / "whole", tmp_path / "sooner")


def test_training_reports_and_improves(tmp_path):
    output = io.StringIO()
    settings = config(40, ppo=PPOConfig(chunk=5, learning_rate=3e-3, critic_learning_rate=3e-3, gamma=0.95))
    result = train(settings, ToyEnv(16), tmp_path, console=Console(file=output))
    rows = read_progress(tmp_path)
    assert [row["update"] for row in rows] == list(range(1, 41))
    assert (rows[-1]["episode_reward"] or 0.0) > (rows[0]["episode_reward"] or 0.0)
    assert result.steps_per_second > 0.0
    # 80 ms a step, 8766 hours a year
    assert result.years_per_hour == pytest.approx(result.steps_per_second * 0.08 / 8766)
    assert rows[-1]["simulated_hours"] == pytest.approx(40 * PER_UPDATE * 0.08 / 3600)
    assert all(0.0 <= (row["toy/time"] or 0.0) < 7.0 for row in rows)
    assert not result.interrupted
    assert "successes per episode" in output.getvalue()
    # the last line of a run is always shown
    assert "update 40 " in output.getvalue()


def test_a_run_goes_on_from_an_older_checkpoint_where_the_newest_is_damaged(tmp_path):
    run(tmp_path / "whole", config(6))
    run(tmp_path / "damaged", config(4, checkpoint_minutes=0.0))
    checkpoint.find(tmp_path / "damaged" / "checkpoints")[-1].write_bytes(b"cut short")
    run(tmp_path / "damaged", config(6), resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "damaged")


def test_a_new_run_does_not_overwrite_an_old_one(tmp_path):
    run(tmp_path, config(1))
    with pytest.raises(CheckpointError, match="resume it, or give the new run another directory"):
        run(tmp_path, config(1))


def begin(directory: Path, settings: TrainConfig, other: Path) -> None:
    train(settings, ToyEnv(16, 5), directory, False, Console(file=io.StringIO()), init=other)


def test_a_run_begins_with_what_another_has_learnt_and_with_its_own_learning_rates(tmp_path):
    run(tmp_path / "other", config(4))
    ppo = PPOConfig(chunk=5, epochs=2, minibatches=2, learning_rate=7e-5, critic_learning_rate=9e-5)
    # the first update of a run only fills the normalizers: weights are still those that it began with
    begin(tmp_path / "new", config(1, ppo=ppo), tmp_path / "other")
    old, new = newest(tmp_path / "other"), newest(tmp_path / "new")
    for network in ("actor", "critic"):
        for name, weight in old[network].items():
            assert torch.equal(weight, new[network][name]) == ("trunk.normalizer" not in name), name
    assert [group["lr"] for group in new["optimizer"]["param_groups"]] == [7e-5, 9e-5]
    assert flatten(old["optimizer"]["state"]) == flatten(new["optimizer"]["state"])
    assert (new["updates"], new["control_steps"]) == (1, PER_UPDATE)


def test_a_run_begins_with_nothing_that_does_not_fit(tmp_path):
    with pytest.raises(CheckpointError, match="nothing to begin with"):
        begin(tmp_path / "new", config(1), tmp_path / "nowhere")
    run(tmp_path / "other", config(1))
    with pytest.raises(CheckpointError, match=r"config\.network\.lstm = 8, this run has 12"):
        begin(tmp_path / "new", config(1, network=NetworkConfig(hidden=16, lstm=12)), tmp_path / "other")
    assert not (tmp_path / "new").exists()


def test_the_noise_of_a_run_lasts_as_its_configuration_says(tmp_path):
    def correlation(persistence: float) -> float:
        """Of the noise of two checkpoints that lie one control step apart."""
        ppo = PPOConfig(chunk=1, epochs=1, minibatches=1, persistence=persistence)
        settings = replace(config(1, num_envs=400, ppo=ppo, checkpoint_minutes=0.0), horizon=1, steps=2 * 400)
        directory = tmp_path / str(persistence)
        train(settings, ToyEnv(400, 1), directory, console=Console(file=io.StringIO()))
        saved = [checkpoint.load(path) for path in checkpoint.find(directory / "checkpoints")[-2:]]
        noise = torch.stack([each["ranks"][0]["collector"]["noise"].flatten() for each in saved])
        return torch.corrcoef(noise)[0, 1].item()

    assert correlation(0.0) == pytest.approx(0.0, abs=0.05)
    assert correlation(0.8) == pytest.approx(0.8, abs=0.05)


def save_policy(directory: Path, of: TrainResult, settings: TrainConfig) -> Path:
    artefact.save(directory, of.actor, POLICY, ToyEnv.action_contract, settings.network, {})
    return directory


def test_a_run_begins_with_a_policy_and_teaches_its_own_critic_first(tmp_path):
    policy = save_policy(tmp_path / "policy", run(tmp_path / "other", config(4)), config(4))
    for updates, moved in ((3, False), (4, True)):  # the first roll-out only shows what observations look like
        settings = config(updates, ppo=PPOConfig(chunk=5, epochs=2, minibatches=2, critic_warmup=2))
        begin(tmp_path / str(updates), settings, policy)
        learnt = newest(tmp_path / str(updates))
        weights = load_file(policy / artefact.WEIGHTS)
        assert torch.equal(learnt["actor"]["head.weight"], weights["head.weight"]) != moved
        assert learnt["optimizer"]["state"], "the critic has learnt"
        seen = learnt["actor"]["trunk.normalizer.count"] - weights["trunk.normalizer.count"]
        assert set(seen.tolist()) == {updates * PER_UPDATE}


def test_a_policy_that_does_not_fit_is_refused(tmp_path):
    policy = save_policy(tmp_path / "policy", run(tmp_path / "other", config(1)), config(1))
    with pytest.raises(CheckpointError, match=r"a policy brings no critic.* train\.ppo\.critic_warmup is 0"):
        begin(tmp_path / "new", config(1), policy)
    ppo = PPOConfig(chunk=5, epochs=2, minibatches=2, critic_warmup=2)
    with pytest.raises(CheckpointError, match=r"config\.network\.lstm = 8, this run has 12"):
        begin(tmp_path / "new", config(1, ppo=ppo, network=NetworkConfig(hidden=16, lstm=12)), policy)
    (policy / artefact.WEIGHTS).write_bytes(b"cut short")
    with pytest.raises(artefact.ArtefactError):
        begin(tmp_path / "new", config(1, ppo=ppo), policy)
    assert not (tmp_path / "new").exists()


def test_nothing_to_resume(tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        run(tmp_path, config(1), resume=True)


def test_other_settings_are_refused_by_name(tmp_path):
    run(tmp_path, config(1))
    with pytest.raises(CheckpointError, match=r"config\.ppo\.gamma = 0\.998, this run has 0\.9"):
        run(
            tmp_path, config(2, ppo=PPOConfig(chunk=5, epochs=2, minibatches=2, target_kl=0.01, gamma=0.9)), resume=True
        )
    with pytest.raises(CheckpointError, match=r"config\.seed"):
        run(tmp_path, config(2, seed=4), resume=True)


def test_a_checkpoint_from_before_a_setting_existed_is_refused_by_name(tmp_path):
    run(tmp_path, config(1))
    content = newest(tmp_path)
    del content["config"]["ppo"]["gamma"]
    checkpoint.save(tmp_path / "checkpoints", 9, content, keep=1)
    with pytest.raises(CheckpointError, match=r"present run has a setting config\.ppo\.gamma, the checkpoint's"):
        run(tmp_path, config(2), resume=True)


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"horizon is 12.*multiple of ppo\.chunk, 5"):
        config(1, horizon=12)
    with pytest.raises(ValueError, match="one of them must limit"):
        config(0)
    with pytest.raises(ValueError, match="16 worlds"):
        train(config(1, num_envs=8), ToyEnv(16), Path("unused"))


def test_the_time_limit_counts_all_sessions(tmp_path):
    first = run(tmp_path, config(0, minutes=0.01))
    assert first.elapsed >= 0.6
    again = run(tmp_path, config(0, minutes=0.01), resume=True)
    assert (again.updates, again.successes) == (first.updates, first.successes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_checkpoint(tmp_path, number):
    class Interrupted(ToyEnv):
        """Its 25th step brings the signal: not before the run listens to it."""

        taken = 0

        def step(self, action: torch.Tensor) -> Step:
            self.taken += 1
            if self.taken == 25:
                os.kill(os.getpid(), number)
            return super().step(action)

    handler = signal.getsignal(number)
    result = train(config(0, minutes=5.0), Interrupted(16), tmp_path, console=Console(file=io.StringIO()))
    assert result.interrupted and result.updates == 3
    assert newest(tmp_path)["updates"] == result.updates
    assert signal.getsignal(number) is handler


def test_a_killed_run_resumes_and_ends_as_if_nothing_had_happened(tmp_path):
    code = (
        "from pathlib import Path; from tests.policy.test_train import config, run;"
        f"run(Path({str(tmp_path / 'killed')!r}), config(100_000, checkpoint_minutes=0.0))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    directory = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 60.0
    while (not directory.exists() or len(checkpoint.find(directory)) < 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    updates = newest(tmp_path / "killed")["updates"] + 3
    run(tmp_path / "killed", config(updates), resume=True)
    run(tmp_path / "whole", config(updates))
    assert newest(tmp_path / "killed")["updates"] == updates
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
