"""Gymnasium-Robotics' hand and block: for every line of seconds, answers how many seconds it simulated per second."""

import sys
import time

import gymnasium
import gymnasium_robotics  # pyright: ignore[reportMissingImports]
from gymnasium.vector import AsyncVectorEnv

gymnasium.register_envs(gymnasium_robotics)


def main(threads: int) -> None:
    envs = AsyncVectorEnv([lambda: gymnasium.make("HandManipulateBlock-v1")] * threads)
    substep, period = envs.call("model")[0].opt.timestep, envs.call("dt")[0]
    envs.reset(seed=0)
    envs.action_space.seed(0)
    print(substep, flush=True)
    for line in sys.stdin:
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() < begin + float(line):
            envs.step(envs.action_space.sample())
            steps += 1
        print(steps * threads * period / (time.perf_counter() - begin), flush=True)
    envs.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
