"""``inhand deploy``: a policy drives a hand through the bridge, and leaves a flight log."""

from dataclasses import dataclass, replace

from omegaconf import MISSING

from hardware.deploy import DeployConfig, DeployReport, deploy
from inhand import report
from inhand.policies import locate as locate_policy
from sim.plant import locate


@dataclass(frozen=True, kw_only=True)
class DeployJob(DeployConfig):
    """A deployment, and where its report goes."""

    policy: str = MISSING
    """Directory of the policy artefact, or the name of a shipped one."""

    directory: str = "outputs/deploy"
    """Where the flight log and the reports go; it is created, and one that holds a log already is refused."""

    out: str | None = None
    """File to write the report to, as JSON."""

    def __post_init__(self) -> None:
        super().__post_init__()
        report.check_out(self.out)


def run(job: DeployJob) -> int:
    """Deploys, prints the report and, with ``out``, writes it as JSON; 1 if anything failed."""
    if not job.external:
        locate(job.plant)  # before a log is begun
    result = deploy(replace(job, policy=str(locate_policy(job.policy))))
    show(result)
    if job.out is not None:
        report.write_json(job.out, result)
    if result.failure:
        print(result.failure)
    return 1 if result.status or result.failure else 0


def show(result: DeployReport) -> None:
    """Prints how the loop kept its time and what was logged."""
    print(result.loop.lines())
    logged, dropped = result.recorder.logged, result.recorder.dropped
    report.show(
        result.log,
        [{"stream": stream, "logged": logged[stream], "dropped": dropped.get(stream, 0)} for stream in sorted(logged)],
    )
    print(f"goals reached: {result.loop.successes}")
