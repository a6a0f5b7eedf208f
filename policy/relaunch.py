"""Which launch a run belongs to: only the one that began it, or resumed it, goes on with it by itself.

``torchrun`` starts a command again whatever made it fail, a refusal too. A new run that was refused because its
directory holds an old one must not, the second time, be taken for the old one.
"""

import json
import os
import socket
from pathlib import Path

from policy import parallel
from robot.files import replacing

FILE = "launch.json"


def remember(directory: Path) -> None:
    """Writes down, on rank 0, that the run in ``directory`` is this launch's; all ranks call it."""
    agents = parallel.gather(_agent())
    if parallel.rank() == 0:
        directory.mkdir(parents=True, exist_ok=True)
        launch = {"agents": sorted(set(agents)), "slurm_job": os.environ.get("SLURM_JOB_ID")}
        with replacing(directory / FILE) as file:
            file.write(json.dumps(launch).encode())


def goes_on(directory: Path) -> bool:
    """Whether this is a later attempt of the launch to which the run in ``directory`` belongs; all ranks call it.

    A launch is known by the ``torchrun`` processes that make its ranks; they outlive every attempt. What SLURM puts
    back into its queue keeps the number of its job.
    """
    if not parallel.restarted():
        return False
    path, same = directory / FILE, False
    if parallel.rank() == 0 and path.is_file():
        saved = json.loads(path.read_text())
        requeued = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0
        same = _agent() in saved["agents"] or (requeued and os.environ.get("SLURM_JOB_ID") == saved["slurm_job"])
    return parallel.any_rank(same)


def _agent() -> str:
    return f"{socket.gethostname()}:{os.getppid()}"
