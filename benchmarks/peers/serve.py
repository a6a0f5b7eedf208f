"""Runs in a peer's own Python: drives the ``Simulator`` of a script, asked over stdin and answering over stdout.

Says first what the simulator is; then, for every line of seconds, how many seconds it simulated per second.
"""

import json
import os
import runpy
import sys
import time


def main(script: str, threads: int) -> None:
    # libraries print where they like: what they print must not be taken for an answer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    simulator = runpy.run_path(script)["Simulator"](threads)
    print(json.dumps({"substep": simulator.substep, "worlds": simulator.worlds}), file=answers, flush=True)
    for line in sys.stdin:
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() < begin + float(line):
            simulator.step()
            steps += 1
        simulated = steps * simulator.worlds * simulator.period
        print(simulated / (time.perf_counter() - begin), file=answers, flush=True)
    simulator.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
