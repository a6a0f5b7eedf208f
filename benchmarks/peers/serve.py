"""Runs in a peer's own Python: drives the ``Contestant`` of a script, asked over stdin and answering over stdout.

Says first what the contestant tells of itself, its ``facts``; then, for every line of seconds, how much it did per
second: every ``step`` does its ``amount``.
"""

import json
import os
import runpy
import sys
import time
from typing import Any


def main(script: str, arguments: dict[str, Any]) -> None:
    # libraries print where they like: what they print must not be taken for an answer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    contestant = runpy.run_path(script)["Contestant"](**arguments)
    print(json.dumps(contestant.facts), file=answers, flush=True)
    for line in sys.stdin:
        begin, steps = time.perf_counter(), 0
        while not steps or time.perf_counter() < begin + float(line):
            contestant.step()
            steps += 1
        print(steps * contestant.amount / (time.perf_counter() - begin), file=answers, flush=True)
    contestant.close()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
