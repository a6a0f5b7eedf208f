"""Evaluation: consecutive successes over N trials, reported as in D18 Table 3."""

import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from policy.bootstrap import mean_interval
from policy.runtime import PolicyRuntime
from sim.vector_env import VectorEnv


@dataclass(frozen=True)
class Evaluation:
    """Consecutive successes of every trial, in the order of the worlds."""

    successes: tuple[int, ...]

    dropped: int | None = None
    """How many trials ended for good, by a drop (or because the simulation diverged, of which it warns); the others
    reached the last goal, or one took too long. None where nobody has counted, as in D18."""

    @property
    def mean(self) -> float:
        """Mean over the trials."""
        return statistics.fmean(self.successes)

    @property
    def sd(self) -> float:
        """Standard deviation over the trials (of the sample, as D18's "±"); 0 for a single trial."""
        return statistics.stdev(self.successes) if len(self.successes) > 1 else 0.0

    @property
    def median(self) -> float:
        """Median over the trials."""
        return float(statistics.median(self.successes))

    @property
    def ci95(self) -> tuple[float, float]:
        """Bounds of the 95 % confidence interval of the mean, by the bootstrap; equal calls give equal bounds."""
        return mean_interval(self.successes, np.random.default_rng(0))

    def as_json(self, **evaluated: Any) -> dict[str, Any]:
        """The evaluation as plain data, and below it what was evaluated and how."""
        low, high = self.ci95
        return {
            "trials": len(self.successes),
            "mean": self.mean,
            "sd": self.sd,
            "median": self.median,
            "ci95_low": low,
            "ci95_high": high,
            "dropped": self.dropped,
            "successes": list(self.successes),
            **evaluated,
        }


def evaluate(
    policy: PolicyRuntime, env: VectorEnv, generator: torch.Generator | None = None, console: Console | None = None
) -> Evaluation:
    """Plays one episode in every world.

    Each world counts with its first episode only: with a fixed number of steps instead, worlds that fail early would
    start again and short episodes would count more often.

    Args:
        policy: what acts.
        env: one world per trial, freshly made.
        generator: draws the actions; without, the most probable ones are taken.
        console: where the progress is shown.

    Raises:
        ValueError: if the simulation was made with other contracts than the policy.
    """
    if policy.policy_contract != env.policy_contract:
        raise ValueError(f"the policy reads {policy.policy_contract.names}, the simulation {env.policy_contract.names}")
    if policy.action_contract != env.action_contract:
        raise ValueError(f"the policy acts by {policy.action_contract}, the simulation by {env.action_contract}")
    n = env.num_envs
    observation = env.reset().policy
    state = policy.initial_state(n)
    successes = torch.zeros(n, dtype=torch.int64, device=observation.device)
    running = torch.ones(n, dtype=torch.bool, device=observation.device)
    dropped = torch.zeros_like(running)
    columns = (TextColumn("evaluation"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("trials", total=n, text="")
        while running.any():
            action, state = policy.act(observation, state, generator)
            step = env.step(action)
            successes = torch.where(running, step.successes, successes)
            dropped |= running & step.terminated
            running &= ~step.done
            observation = step.observation.policy
            text = f"{successes.float().mean():.1f} successes so far"
            progress.update(task, completed=n - int(running.sum()), text=text)
    return Evaluation(tuple(successes.tolist()), int(dropped.sum()))


def table(rows: dict[str, Evaluation]) -> Table:
    """Evaluations by name, as a table for a terminal."""
    result = Table(title="consecutive successes")
    result.add_column("task")
    for name in ("mean ± sd", "95 % of the mean", "median", "dropped"):
        result.add_column(name, justify="right", no_wrap=True)
    result.add_column("trials, best first")
    for name, evaluation in rows.items():
        trials = ", ".join(str(count) for count in sorted(evaluation.successes, reverse=True))
        spread = f"{evaluation.mean:.1f} ± {evaluation.sd:.1f}"
        low, high = evaluation.ci95
        dropped = "-" if evaluation.dropped is None else str(evaluation.dropped)
        result.add_row(name, spread, f"{low:.1f} to {high:.1f}", f"{evaluation.median:g}", dropped, trials)
    return result
