"""A simulation saved in the middle of its episodes goes on to the bit in another process."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from inhand.config import load
from inhand.evaluate import EvalJob
from robot.goal import GoalConfig
from sim.env import ReorientEnv
from sim.reset import ResetConfig
from sim.task import TaskConfig

N, STEPS = 6, 25
ROOT = Path(__file__).parents[2]


def make(seed: int, threads: int) -> ReorientEnv:
    """The preset with most parts; short episodes, so that many end on either side of the save, and a full pool."""
    task = TaskConfig(goal=GoalConfig(time_limit=0.8), reset=ResetConfig(cache=N, refresh=0.3))
    randomization = load("eval", EvalJob, ["policy=none", "randomization=extended"]).randomization
    return ReorientEnv(task, randomization, N, seed, threads)


def go_on(env: ReorientEnv, seed: int) -> tuple[dict[str, torch.Tensor], int]:
    """Everything that ``STEPS`` random steps return, and how many episodes ended."""
    actions = 2 * torch.rand(STEPS, N, 20, generator=torch.Generator().manual_seed(seed)) - 1
    steps = [env.step(action) for action in actions]
    seen = {
        "policy": torch.stack([step.observation.policy for step in steps]),
        "critic": torch.stack([step.observation.critic for step in steps]),
        "final_critic": torch.stack([step.final_critic for step in steps]),
        "reward": torch.stack([step.reward for step in steps]),
        "terminated": torch.stack([step.terminated for step in steps]),
        "truncated": torch.stack([step.truncated for step in steps]),
        "successes": torch.stack([step.successes for step in steps]),
    }
    return seen, int(sum(step.done.sum() for step in steps))


def test_a_run_saved_in_the_middle_of_episodes_goes_on_in_another_process(tmp_path):
    env = make(seed=0, threads=1)
    env.reset()
    assert go_on(env, 1)[1] > N  # some episodes began from the pool
    state = env.state_dict()
    torch.save(state, tmp_path / "state.pt")
    expected, ended = go_on(env, 2)
    assert ended > N

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, str(tmp_path)]
    subprocess.run(command, env=environment, check=True, timeout=200)
    actual = torch.load(tmp_path / "seen.pt")
    for name, values in expected.items():
        assert torch.equal(actual[name], values), name


if __name__ == "__main__":
    other = make(seed=7, threads=2)
    other.reset()
    folder = Path(sys.argv[1])
    other.load_state_dict(torch.load(folder / "state.pt", weights_only=False))
    torch.save(go_on(other, 2)[0], folder / "seen.pt")
