"""What each rank of the tests of data parallelism does; ``torchrun`` starts it."""

import io
import os
import sys
import time
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import torch
from rich.console import Console

from policy import parallel, relaunch
from policy.experience import Rollout
from policy.network import Actor, Critic
from policy.network_config import NetworkConfig
from policy.ppo import PPO
from policy.ppo_config import PPOConfig
from policy.td3 import TD3
from policy.train import train
from policy.train_config import TrainConfig
from tests.policy import teaching
from tests.policy.teaching import SMALL
from tests.policy.toy import CRITIC, POLICY, ToyEnv

WORLDS, HORIZON, CHUNK = 8, 20, 5
NETWORK = NetworkConfig(hidden=16, lstm=8)


def learner() -> PPO:
    """Networks whose weights do not depend on the rank, and what improves them without rounding to bfloat16."""
    weights = torch.Generator().manual_seed(0)
    actor, critic = Actor(POLICY.size, 20, 11, NETWORK, weights), Critic(CRITIC.size, NETWORK, weights)
    config = PPOConfig(
        chunk=CHUNK, epochs=3, minibatches=1, bf16=False, learning_rate=1e-3, target_kl=1e-4, max_grad_norm=0.05
    )
    return PPO(actor, critic, config, torch.Generator().manual_seed(parallel.seed(5)))


def learn(ppo: PPO, rollouts: list[Rollout]) -> dict:
    """What comes of two updates."""
    metrics = {}
    for rollout in rollouts:
        metrics = ppo.update(rollout)
        ppo.actor.trunk.normalizer.update(rollout.policy)
        ppo.critic.trunk.normalizer.update(rollout.critic)
    return {"actor": ppo.actor.state_dict(), "critic": ppo.critic.state_dict(), "metrics": metrics}


def teacher_learns(batches: list[dict[str, torch.Tensor]]) -> dict:
    """What the off-policy learner of a teacher makes of batches of transitions."""
    config = replace(SMALL, target_noise=0.0, actor_period=1)
    weights = torch.Generator().manual_seed(0)
    network = replace(NETWORK, memory=False)
    td3 = TD3(Actor(POLICY.sizes, 20, 0, network, weights), config, weights)
    metrics = {}
    for batch in batches:
        td3.actor.trunk.normalizer.update(batch["observation"])
        metrics = td3.update(**batch, generator=torch.Generator())
    return td3.state_dict() | {"actor": td3.actor.state_dict(), "metrics": metrics}


def part(rollout: Rollout, number: int, of: int) -> Rollout:
    """The roll-out of one rank's share of the worlds."""
    axes = {"last_value": 0, "actor_state": 2, "critic_state": 2}
    return Rollout(**{f.name: getattr(rollout, f.name).chunk(of, axes.get(f.name, 1))[number] for f in fields(rollout)})


def settings(updates: int, **changes) -> TrainConfig:
    ppo = PPOConfig(chunk=CHUNK, epochs=2, minibatches=2, target_kl=0.01)
    base = TrainConfig(seed=3, num_envs=WORLDS, horizon=HORIZON, threads=1, network=NETWORK, ppo=ppo)
    return replace(base, steps=updates * 2 * WORLDS * HORIZON, **changes)


class SlowEnv(ToyEnv):
    """Leaves time to kill a rank."""

    def step(self, action: torch.Tensor):
        time.sleep(0.005)
        return super().step(action)


def run(directory: Path, updates: int, resume: bool, env: ToyEnv, **changes) -> None:
    train(settings(updates, **changes), env, directory, resume, Console(file=io.StringIO()))


def thread_names() -> list[str]:
    names = []
    for thread in Path("/proc/self/task").glob("*/comm"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            names.append(thread.read_text().strip())
    return names


def main(what: str, directory: Path, *arguments: str) -> None:
    if what == "killed" and os.environ["RANK"] == arguments[1] and os.environ["TORCHELASTIC_RESTART_COUNT"] != "0":
        time.sleep(3.0)
    with parallel.group():
        if what == "update":
            rollouts = [Rollout(**each) for each in torch.load(directory / "rollouts.pt")]
            learnt = learn(learner(), [part(rollout, parallel.rank(), parallel.size()) for rollout in rollouts])
            parallel.require_equal(learnt)
            if parallel.rank() == 0:
                torch.save(learnt, directory / "learnt.pt")
        elif what == "teacher update":
            batches = torch.load(directory / "batches.pt")
            own = [{k: v.chunk(parallel.size())[parallel.rank()] for k, v in batch.items()} for batch in batches]
            learnt = teacher_learns(own)
            learnt["metrics"] = {k: parallel.mean(v) for k, v in learnt["metrics"].items()}
            parallel.require_equal(learnt)
            if parallel.rank() == 0:
                torch.save(learnt, directory / "learnt.pt")
        elif what == "teacher":
            updates, seed = 2 * int(arguments[0]), parallel.seed(int(arguments[2]))
            teaching.run(directory, teaching.config(updates), arguments[1] == "resume", seed)
        elif what == "train":
            run(directory, int(arguments[0]), arguments[1] == "resume", ToyEnv(WORLDS, parallel.seed(1)))
        elif what == "killed":
            (directory / f"rank{parallel.rank()}.pid").write_text(str(os.getpid()))
            resume = relaunch.goes_on(directory)
            relaunch.remember(directory)
            run(directory, int(arguments[0]), resume, SlowEnv(WORLDS, parallel.seed(1)), checkpoint_minutes=0.01)
        elif what == "drift":
            content = {"weight": torch.full((3,), 1.0 + 1e-7 * parallel.rank())}
            parallel.require_equal(content)
    # a thread of the group that outlives it may abort the process while the interpreter ends
    assert not [name for name in thread_names() if "gloo" in name]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
