"""Our learner against those of other libraries: the same network, batch and recorded experience, in turns."""

import os
import statistics
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import peer
from benchmarks.learner import Learner
from benchmarks.replay import ReplayEnv, record
from policy.train_config import TrainConfig
from sim.env import ReorientEnv

if TYPE_CHECKING:
    from inhand.bench import BenchJob

WARM_UP, STEPS = 40, 80
"""Control steps before the recording, so that episodes are of all ages, and of the recording."""

TOLD_ENDS = 0.1
"""Of the ends of episodes, in the figures of long episodes."""

ROUNDS = 5
"""In each, every contestant learns from one roll-out: a change of the machine's load meets them all."""


def learning(job: "BenchJob", config: TrainConfig, threads: int) -> dict[str, float]:
    """Samples learnt per second, medians over the rounds; ``x_…`` is our rate over a peer's, medians of the ratios."""
    contest = _Contest(job, config, threads)
    begin = time.perf_counter()
    try:
        while len(contest.rounds) < ROUNDS or time.perf_counter() < begin + job.seconds:
            contest.round()
    finally:
        contest.close()
    return contest.figures()


class _Contest:
    """The contestants, and for every round the samples that each learnt per second."""

    def __init__(self, job: "BenchJob", config: TrainConfig, threads: int) -> None:
        self.rounds: list[dict[str, float]] = []
        self._samples = config.num_envs * config.horizon
        env = ReorientEnv(job.task, job.randomization, config.num_envs, seed=0, threads=job.threads)
        recording = record(env, WARM_UP, STEPS)
        longer = recording.with_fewer_ends(TOLD_ENDS)
        self._episode_steps = {"": recording.episode_steps, "long_": longer.episode_steps}
        in_float32 = replace(config, ppo=replace(config.ppo, bf16=False))
        self._ours = {
            "": Learner(config, ReplayEnv(recording, env)),
            "float32": Learner(in_float32, ReplayEnv(recording, env)),
            "long_episodes": Learner(config, ReplayEnv(longer, env)),
        }
        for learner in self._ours.values():
            learner.step()  # warms up
        self._peers: dict[str, peer.Peer] = {}
        if not job.peers:
            return
        try:
            with tempfile.TemporaryDirectory() as folder:
                path, long_path = Path(folder) / "recording.npz", Path(folder) / "long.npz"
                recording.save(path)
                longer.save(long_path)
                self._start_peers(
                    os.fspath(path),
                    os.fspath(long_path),
                    env.action_contract.size,
                    env.action_contract.bins,
                    threads=threads,
                    horizon=config.horizon,
                    sizes=asdict(config.network),
                    ppo=asdict(config.ppo),
                )
        except BaseException:
            self.close()
            raise

    def _start_peers(self, recording: str, longer: str, actuators: int, bins: int, **common: object) -> None:
        here = {"recording": recording, **common}
        same = self._peers["rsl_rl"] = peer.start("rsl_rl", network="same", bf16=None, **here)
        bf16 = same.facts["bf16"]
        self._peers["rsl_rl_stock"] = peer.start("rsl_rl", network="stock", bf16=bf16, **here)
        self._peers["sb3_contrib"] = peer.start("sb3_contrib", actuators=actuators, bins=bins, **here)
        there = {"recording": longer, **common}
        self._peers["rsl_rl_long_episodes"] = peer.start("rsl_rl", network="same", bf16=bf16, **there)

    def round(self) -> None:
        """One turn of each."""
        rates = {}
        for name, learner in self._ours.items():
            begin = time.perf_counter()
            learner.step()
            rates[name] = self._samples / (time.perf_counter() - begin)
        # no time at all is one update
        rates |= {name: each.run(0.0) for name, each in self._peers.items()}
        self.rounds.append(rates)

    def figures(self) -> dict[str, float]:
        """Of all rounds."""
        # on long episodes ours are compared with theirs
        ours = {name: "long_episodes" if name.endswith("long_episodes") else "" for name in self._peers}
        ratios = {name: [each[ours[name]] / each[name] for each in self.rounds] for name in self._peers}
        quartiles = {name: statistics.quantiles(each, method="inclusive") for name, each in ratios.items()}
        return {
            "samples_per_s": self._median(""),
            **{f"x_{name}": middle for name, (_, middle, _) in quartiles.items()},
            **{f"x_{name}_q1": low for name, (low, _, _) in quartiles.items()},
            **{f"x_{name}_q3": high for name, (_, _, high) in quartiles.items()},
            **{f"{name}_samples_per_s": self._median(name) for name in self._ours if name},
            **{f"{name}_samples_per_s": self._median(name) for name in self._peers},
            "parameters": self._ours[""].parameters,
            **{f"{name}_{fact}": value for name, each in self._peers.items() for fact, value in each.facts.items()},
            **{f"{name}episode_steps": steps for name, steps in self._episode_steps.items()},
            "rounds": len(self.rounds),
        }

    def _median(self, name: str) -> float:
        return statistics.median(each[name] for each in self.rounds)

    def close(self) -> None:
        """Ends the peers."""
        for each in self._peers.values():
            each.close()
