"""EnvPool's hand and block: for every line of seconds, answers how many seconds it simulated per second."""

import sys
import time

import envpool
import numpy as np

WORLDS = 64
SUBSTEP, PERIOD = 0.002, 0.04
"""Of its model, that of Gymnasium-Robotics: 20 sub-steps of 2 ms."""


def main(threads: int) -> None:
    make = envpool.make  # pyright: ignore[reportAttributeAccessIssue]: it takes this file for the package
    envs = make("HandManipulateBlock-v1", env_type="gymnasium", num_envs=WORLDS, num_threads=threads)
    space, random = envs.action_space, np.random.default_rng(0)
    envs.reset()
    print(SUBSTEP, flush=True)
    for line in sys.stdin:
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() < begin + float(line):
            envs.step(random.uniform(space.low, space.high, (WORLDS, *space.shape)))
            steps += 1
        print(steps * WORLDS * PERIOD / (time.perf_counter() - begin), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
