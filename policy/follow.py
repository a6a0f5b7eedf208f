"""Following a run: its new checkpoints are scored, the scores ranked, and the best policy is kept.

The directory of the run is only read, but for what is written here: ``evaluations.jsonl``, ``evaluations.png`` and
``best/``. Nothing else is remembered, so that a follower may be killed at any moment and started again.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from policy import artefact, checkpoint
from policy.artefact import CONTRACT, Restored, restore
from policy.checkpoint import CheckpointError
from policy.evaluate import Evaluation
from policy.layout import BEST, CHECKPOINTS, SETTINGS
from policy.runtime import PolicyRuntime
from policy.scores import FILE, Score, draw_scores, ranking, read_scores, write_scores

PICTURE = "evaluations.png"
POLL = 2.0
"""Seconds between two looks into the directory of the run."""


def follow(
    run_dir: Path,
    play: Callable[[PolicyRuntime], Evaluation],
    settings: Mapping[str, Any],
    idle_minutes: float = 0.0,
    console: Console | None = None,
) -> list[Score]:
    """Scores the checkpoints of a run as they appear, until its budget is spent and nothing is left to score.

    Of several checkpoints not yet scored the newest comes first. One that is gone or damaged when it is read is
    skipped. A run that has not begun is waited for, and so is one that was interrupted: it may be resumed.

    Args:
        run_dir: the directory of the run.
        play: evaluates a policy, under the same settings every time.
        settings: what these are, plain data.
        idle_minutes: ends also after so much time without a new checkpoint; 0 for never.
        console: where the ranking is shown.

    Returns:
        All scores of the run, those of earlier followers included.

    Raises:
        ValueError: if earlier checkpoints of the run were scored under other settings, or the run is a recipe.
        ArtefactError: if the run was made by another version of this program.
    """
    console = console or Console()
    if not (run_dir / CHECKPOINTS).is_dir():
        stages = sorted(path.parent.name for path in run_dir.glob("*/checkpoints"))
        if stages:
            raise ValueError(
                f"{run_dir} is a recipe, which has no checkpoints; follow one of {', '.join(stages)} in it"
            )
        console.print(f"waiting for {run_dir}, which has not begun")
    follower = _Follower(run_dir, play, settings, console)
    console.print(f"following {run_dir}, {len(follower.scores)} checkpoints scored before")
    waiting_since = time.monotonic()
    while True:
        content = follower.newest_unscored()
        if content is not None:
            follower.score(content)
            waiting_since = time.monotonic()
        elif follower.run_has_ended():
            console.print("the run has ended, and all of its checkpoints that are left are scored")
            return follower.scores
        elif idle_minutes and time.monotonic() - waiting_since >= 60.0 * idle_minutes:
            console.print(f"no new checkpoint within {idle_minutes:g} minutes")
            return follower.scores
        else:
            time.sleep(POLL)


class _Follower:
    def __init__(
        self, run_dir: Path, play: Callable[[PolicyRuntime], Evaluation], settings: Mapping[str, Any], console: Console
    ) -> None:
        self._run_dir, self._play, self._console = run_dir, play, console
        self._checkpoints = run_dir / CHECKPOINTS
        artefact.recover(run_dir / BEST)
        self._settings = msgspec.json.decode(msgspec.json.encode(settings), type=dict[str, Any])  # as they come back
        self.scores = read_scores(run_dir)
        for score in self.scores:
            _require_same(score.settings, self._settings, run_dir / FILE)
        self._done = {score.update for score in self.scores}
        """Updates that are scored or skipped."""
        self._ended: dict[int, bool] = {}
        """Whether the budget of the run was spent with an update."""

    def newest_unscored(self) -> dict[str, Any] | None:
        """The content of the newest checkpoint that is neither scored nor skipped yet."""
        while paths := [path for path in checkpoint.find(self._checkpoints) if int(path.stem) not in self._done]:
            self._done.add(int(paths[-1].stem))
            try:
                return checkpoint.load(paths[-1])
            except CheckpointError as error:
                self._console.print(f"skipped: {error}")
        return None

    def run_has_ended(self) -> bool:
        """Whether the newest checkpoint is done and the run was over with it; one that is interrupted goes on."""
        paths = checkpoint.find(self._checkpoints)
        update = int(paths[-1].stem) if paths else -1
        if update not in self._done:
            return False
        if update not in self._ended:  # scored by an earlier follower, or skipped
            try:
                self._ended[update] = _ends(checkpoint.load(paths[-1]))
            except CheckpointError:
                self._ended[update] = False  # it was skipped with a word
        return self._ended[update]

    def score(self, content: dict[str, Any]) -> None:
        self._console.print(f"update {content['updates']}, {content['control_steps']:,} control steps")
        policy = restore(content)
        evaluation = self._play(PolicyRuntime(policy.actor, policy.policy_contract, policy.action_contract))
        low, high = evaluation.ci95
        score = Score(
            update=content["updates"],
            control_steps=content["control_steps"],
            simulated_hours=content["control_steps"] * policy.action_contract.period / 3600.0,
            trials=len(evaluation.successes),
            mean=evaluation.mean,
            sd=evaluation.sd,
            median=evaluation.median,
            ci95_low=low,
            ci95_high=high,
            settings=self._settings,
        )
        self._ended[score.update] = _ends(content)
        # before its score is kept: if this is cut short, the next follower comes by the checkpoint again
        if score.mean > self._best_mean():
            self._export(policy, content, score)
        self.scores.append(score)
        write_scores(self._run_dir, self.scores)
        draw_scores(self.scores, self._run_dir / PICTURE)
        self._console.print(ranking(self.scores))

    def _best_mean(self) -> float:
        """Mean of the policy in ``best/``; of none, or of one under other settings, minus infinity."""
        contract = self._run_dir / BEST / CONTRACT
        if not contract.is_file():
            return -math.inf
        evaluation = json.loads(contract.read_bytes())["training"]["evaluation"]
        return evaluation["mean"] if evaluation["settings"] == self._settings else -math.inf

    def _export(self, policy: Restored, content: dict[str, Any], score: Score) -> None:
        worlds = self._run_dir / SETTINGS
        training = {
            **(json.loads(worlds.read_bytes()) if worlds.is_file() else {}),
            "train": content["config"],
            "updates": score.update,
            "control_steps": score.control_steps,
            "evaluation": asdict(score),
        }
        artefact.save(
            self._run_dir / BEST,
            policy.actor,
            policy.policy_contract,
            policy.action_contract,
            policy.network,
            training,
        )


def _ends(content: Mapping[str, Any]) -> bool:
    """Whether the run that left this checkpoint was over with it; no run of this version goes on from an older one."""
    return content.get("over", True)


def _require_same(scored: Mapping[str, Any], asked: Mapping[str, Any], path: Path) -> None:
    for name in sorted(scored.keys() | asked.keys()):
        if scored.get(name) != asked.get(name):
            raise ValueError(
                f"{path} holds scores with {name} = {scored.get(name)}, this asks for {asked.get(name)}; "
                "go on with the same settings, or move the file away"
            )
