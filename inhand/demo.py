"""``make demo``: the main job, small: train, evaluate, deploy on the virtual rig, replay; one table at the end."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from hardware.deploy import DeployReport
from hardware.replay import ReplayReport
from inhand import report
from inhand.config import load
from inhand.deploy import DeployJob, run_deployment
from inhand.doctor import examine
from inhand.evaluate import EvalJob, run_evaluation
from inhand.replay import ReplayJob, run_replay
from inhand.train import TrainJob, run_training
from policy.evaluate import Evaluation
from policy.train import TrainResult

DIRECTORY = Path("outputs/demo")
TRAIN_MINUTES = 2.0
TRAIN = ("train.steps=0", "train.num_envs=128", "train.horizon=20", "train.ppo.learning_rate=1e-3")
"""Small roll-outs and large steps: what shows most after two minutes."""

TRIALS = 32
DEPLOY_SECONDS = 20.0


@dataclass(frozen=True)
class Demo:
    """What came of each part."""

    training: TrainResult
    evaluation: Evaluation
    deployment: DeployReport
    replay: ReplayReport


def main() -> int:
    """Runs everything; 1 if this machine cannot, or something did not work."""
    problems = [finding for finding in examine() if finding.ok is False]
    for finding in problems:
        print(f"{finding.topic}: {finding.name}: {finding.value}\n    to mend it: {finding.fix}", file=sys.stderr)
    if problems:
        return 1
    shutil.rmtree(DIRECTORY, ignore_errors=True)  # the demo begins anew each time
    demo = run(DIRECTORY)
    report.show("inhand demo", rows(demo))
    print(f"\nLeft under {DIRECTORY}/:")
    for name, what in (
        ("train/curve.png", "the learning curve"),
        ("train/policy/", "the policy artefact; `inhand eval`, `inhand deploy` and `inhand replay` take it"),
        ("eval.mp4", "one evaluation trial"),
        ("deploy/flight.mcap", "the flight log; Foxglove and the mcap tools read it"),
        ("flight.mp4", "the flight as the sensors saw it"),
    ):
        print(f"  {name:20} {what}")
    worked = demo.deployment.status == 0 and 0 < demo.replay.ticks == demo.replay.identical
    return 0 if worked else 1


def run(directory: Path) -> Demo:
    """The four parts, one after the other."""
    train, policy, log = directory / "train", directory / "train/policy", directory / "deploy/flight.mcap"
    _say(f"1/4 training with randomization for {TRAIN_MINUTES:g} minutes")
    training = run_training(load("train", TrainJob, [f"run={train}", f"train.minutes={TRAIN_MINUTES}", *TRAIN]))
    _say(f"2/4 evaluating over {TRIALS} trials, with the randomization it was trained under")
    trials = [f"policy={policy}", f"trials={TRIALS}", "randomization=dactyl"]
    evaluation = run_evaluation(load("eval", EvalJob, [*trials, f"video={directory / 'eval.mp4'}"]))
    _say(f"3/4 deploying on the virtual rig for {DEPLOY_SECONDS:g} s")
    flight = [f"policy={policy}", f"directory={directory / 'deploy'}", f"seconds={DEPLOY_SECONDS}"]
    deployment = run_deployment(load("deploy", DeployJob, flight))
    _say("4/4 replaying the flight log")
    replay = run_replay(load("replay", ReplayJob, [f"log={log}", f"video={directory / 'flight.mp4'}"]))
    return Demo(training, evaluation, deployment, replay)


def rows(demo: Demo) -> list[dict[str, object]]:
    """The table."""
    training, evaluation, loop, recorder = (
        demo.training,
        demo.evaluation,
        demo.deployment.loop,
        demo.deployment.recorder,
    )
    trials = len(evaluation.successes)
    figures = {
        "training: control steps/s": f"{training.steps_per_second:,.0f}",
        "training: simulated years/h": f"{training.years_per_hour:.4f}",
        "training: successes per episode": f"{training.successes or 0.0:.2f}",
        "evaluation: consecutive successes": f"{evaluation.mean:.2f} ± {evaluation.sd:.2f} ({trials} trials)",
        "deployment: successes": str(loop.successes),
        "control loop: period p50 / p99": f"{1e3 * loop.period_p50:.2f} / {1e3 * loop.period_p99:.2f} ms",
        "control loop: deadlines missed": f"{loop.missed} of {loop.ticks}",
        "flight log: messages logged": f"{sum(recorder.logged.values()):,}",
        "flight log: messages dropped": str(sum(recorder.dropped.values())),
        "replay: actions identical": f"{demo.replay.identical} of {demo.replay.ticks}",
    }
    return [{"": name, "measured": value} for name, value in figures.items()]


def _say(text: str) -> None:
    report.console().print(f"\n[{text}]")


if __name__ == "__main__":
    sys.exit(main())
