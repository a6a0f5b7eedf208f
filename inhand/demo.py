"""``make demo``: the main job, small: train, evaluate, deploy on the virtual rig, replay; one table at the end.

Two minutes of training show that it works, not what it leads to: the shipped default policy is evaluated beside the
fresh one, and the better of them is deployed.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inhand import doctor, report

if TYPE_CHECKING:
    from hardware.deploy import DeployReport
    from hardware.replay import ReplayReport
    from policy.evaluate import Evaluation
    from policy.train import TrainResult

DIRECTORY = Path("outputs/demo")
FRESH, DEFAULT = "the fresh policy", "the default policy"


@dataclass(frozen=True)
class Size:
    """How much of everything, as overrides of the verbs."""

    train: tuple[str, ...] = (
        "train.minutes=2",
        "train.steps=0",
        "train.num_envs=128",
        "train.horizon=20",
        "train.ppo.learning_rate=1e-3",
    )
    """Small roll-outs and large steps: what shows most after two minutes."""

    evaluate: tuple[str, ...] = ("trials=24", "randomization=dactyl", "goal.time_limit=20", "goal.max_successes=20")
    """Of each policy. Less time per goal and fewer goals than D18's, so that a good policy is done within a minute."""

    deploy: tuple[str, ...] = ("seconds=20",)


@dataclass(frozen=True)
class Demo:
    """What came of each part."""

    training: "TrainResult"
    evaluations: "dict[str, Evaluation]"
    """By name: the fresh policy and, where policies are shipped, the default one."""
    deployed: str
    """The name of the better one."""
    deployment: "DeployReport"
    replay: "ReplayReport | None"
    """None if the deployment failed."""


def main() -> int:
    """Runs everything; 1 if this machine cannot, or something did not work."""
    problems = [finding for finding in doctor.examine() if finding.ok is False]
    for finding in problems:
        print(f"{finding.topic}: {finding.name}: {finding.value}\n    to mend it: {finding.fix}", file=sys.stderr)
    if problems:
        return 1
    if DIRECTORY.exists():
        shutil.rmtree(DIRECTORY)  # the demo begins anew each time
    demo = run(DIRECTORY)
    report.show("inhand demo", rows(demo))
    print(f"\nLeft under {DIRECTORY}/:")
    for name, what in (
        ("train/curve.png", "the learning curve"),
        ("train/policy/", "the policy artefact; `inhand eval`, `inhand deploy` and `inhand replay` take it"),
        ("eval.mp4", "one evaluation trial of the policy that was deployed"),
        ("deploy/flight.mcap", "the flight log; Foxglove and the mcap tools read it"),
        ("flight.mp4", "the flight as the sensors saw it"),
    ):
        print(f"  {name:20} {what}")
    if demo.replay is None:
        print(f"\nThe deployment failed: {demo.deployment.failure}", file=sys.stderr)
        return 1
    if demo.replay.first_difference:
        print(f"\nThe replay differs: {demo.replay.first_difference}", file=sys.stderr)
        return 1
    return 0


def run(directory: Path, size: Size = Size(), shipped: Path | None = None) -> Demo:
    """The four parts, one after the other; ``shipped`` holds the shipped policies, by default those of inhand."""
    # not sooner: where something is missing they cannot be imported, and the doctor says what
    from hardware.deploy import deploy
    from inhand import evaluate, policies, replay, train
    from inhand.config import load
    from inhand.deploy import DeployJob

    contestants = {FRESH: directory / "train/policy"}
    log = directory / "deploy/flight.mcap"
    trial, flight = directory / "eval.mp4", directory / "flight.mp4"

    _say("1/4 training with randomization", size.train)
    training = train.run_training(load("train", train.TrainJob, [f"run={directory / 'train'}", *size.train]))
    _say("2/4 evaluating", size.evaluate)
    if policies.DEFAULT in policies.names(shipped):
        contestants[DEFAULT] = policies.locate(policies.DEFAULT, shipped)
    else:
        report.console().print("no default policy ships with this program; the fresh one goes on alone")
    evaluations, clips = {}, {}
    for name, policy in contestants.items():
        trials = load("eval", evaluate.EvalJob, [f"policy={policy}", f"video={trial}", *size.evaluate])
        evaluations[name], clips[name] = evaluate.run_evaluation(trials)
    best = better(evaluations)
    clip = clips[best]
    assert clip is not None
    evaluate.draw(clip, trial)
    _say(f"3/4 deploying {best} on the virtual rig", size.deploy)
    flown = [f"policy={contestants[best]}", f"directory={log.parent}", *size.deploy]
    deployment = deploy(load("deploy", DeployJob, flown))
    if deployment.failure:
        return Demo(training, evaluations, best, deployment, None)
    _say("4/4 replaying the flight log")
    comparison = replay.run_replay(load("replay", replay.ReplayJob, [f"log={log}"]))
    replay.draw(log, flight)
    return Demo(training, evaluations, best, deployment, comparison)


def better(evaluations: "dict[str, Evaluation]") -> str:
    """The name of the better policy; of equals the later one, which was trained for longer."""
    return max(reversed(evaluations), key=lambda name: evaluations[name].mean)


def rows(demo: Demo) -> list[dict[str, object]]:
    """The table."""
    training, loop, recorder = demo.training, demo.deployment.loop, demo.deployment.recorder
    figures = {
        "training: control steps/s": f"{training.steps_per_second:,.0f}",
        "training: simulated years/h": f"{training.years_per_hour:.4f}",
        "training: successes per episode": f"{training.successes or 0.0:.2f}",
        **{
            f"evaluation: successes of {name}": f"{each.mean:.2f} ± {each.sd:.2f} ({len(each.successes)} trials)"
            for name, each in demo.evaluations.items()
        },
        "deployment: policy": demo.deployed,
        "deployment: successes": str(loop.successes),
        "control loop: period p50 / p99": f"{1e3 * loop.period_p50:.2f} / {1e3 * loop.period_p99:.2f} ms",
        "control loop: deadlines missed": f"{loop.missed} of {loop.ticks}",
        "flight log: messages logged": f"{sum(recorder.logged.values()):,}",
        "flight log: messages dropped": str(sum(recorder.dropped.values())),
    }
    if demo.replay is not None:
        figures["replay: actions identical"] = f"{demo.replay.identical} of {demo.replay.ticks}"
    return [{"": name, "measured": value} for name, value in figures.items()]


def _say(what: str, overrides: tuple[str, ...] = ()) -> None:
    report.console().print(f"\n[{what}] {' '.join(overrides)}")


if __name__ == "__main__":
    sys.exit(main())
