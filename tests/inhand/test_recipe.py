"""Recipes: a chain of runs from one command."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from inhand.config import UsageError, load
from inhand.launch import quoted
from inhand.recipe import evaluation, left, stage_overrides
from inhand.recipe_config import RecipeConfig, Stage
from inhand.train import run as train
from inhand.training import TrainJob
from policy import artefact
from policy.progress import read_progress

ARGUMENTS = (
    "recipe=tiny",
    "randomization=none",
    "train.steps=60000",
    "train.num_envs=32",
    "recipe.trials=2",
    "physics_threads=1",
    "train.threads=1",
)


def inhand(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inhand.cli", "train", *ARGUMENTS, f"run={directory}", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def job(*overrides: str) -> TrainJob:
    return load("train", TrainJob, ["run=outputs/chain", "train.steps=1000", *overrides])


def test_a_stage_gets_its_share_its_own_overrides_and_those_given_but_what_belongs_to_the_whole():
    stage = Stage("student", 0.25, ["algo=distill", "teacher={run}/teacher/policy", "train.num_envs=64"])
    given = ["run=elsewhere", "train.steps=7", "train.num_envs=8", "recipe=fast", "recipe.trials=3", "out=x.json"]
    student = load("train", TrainJob, stage_overrides(stage, job(), given, []))
    assert student.run == "outputs/chain/student"
    assert student.teacher == "outputs/chain/teacher/policy"
    assert student.train.algorithm == "distill"
    assert (student.train.steps, student.train.num_envs) == (250, 8)
    assert not student.recipe.stages
    assert student.out is None


@pytest.mark.parametrize("run", ["outputs/a,b", "outputs/g=0.99", "outputs/My Run (1)", "outputs/x{1}", "outputs/it's"])
def test_a_run_may_have_any_name(run: str):
    whole = load("train", TrainJob, [f"run={quoted(run)}", "recipe=tiny"])
    _, student, finished = (
        load("train", TrainJob, stage_overrides(stage, whole, [], [])) for stage in whole.recipe.stages
    )
    assert (student.run, student.teacher) == (f"{run}/student", f"{run}/teacher/policy")
    assert finished.init == f"{run}/student"


def test_policies_are_judged_at_the_task_that_was_asked_for():
    asked = ["task.goal.law=so3", "task.goal.threshold=0.2", "task.scene.timestep=0.01", "task.goal.near=0.5"]
    judged = evaluation(job("recipe=tiny", "randomization=none", *asked), "finished")
    assert (judged.goal.law, judged.goal.threshold, judged.goal.near) == ("so3", 0.2, 0.0)
    assert judged.goal.time_limit == 80.0
    assert judged.scene.timestep == 0.01 and judged.randomization.name == "none"


@pytest.mark.parametrize("recipe", ["fast", "tiny"])
def test_the_stages_of_every_recipe_fit_together(recipe: str):
    whole = job(f"recipe={recipe}")
    jobs = [load("train", TrainJob, stage_overrides(stage, whole, [], [])) for stage in whole.recipe.stages]
    teacher, student, *finishes = jobs
    assert [each.train.algorithm for each in jobs] == ["teacher", "distill", *["ppo"] * len(finishes)]
    assert student.teacher == f"{teacher.run}/policy"
    assert set(teacher.task.policy_observation) <= set(student.task.critic_observation)
    for before, after in pairwise(jobs[1:]):
        assert after.init == before.run
        for name in ("policy_observation", "critic_observation", "action"):
            assert getattr(after.task, name) == getattr(before.task, name)
        limit = before.task.goal.time_limit
        assert replace(after.task.goal, time_limit=limit) == before.task.goal
        assert after.train.network == before.train.network
    # what the student's critic has learnt is the value of what PPO begins with
    assert (finishes[0].task.reward, finishes[0].train.ppo.gamma) == (student.task.reward, student.train.ppo.gamma)


def test_a_stage_has_its_share_of_what_those_before_it_left():
    whole, stage = job("train.steps=1000", "train.minutes=60"), Stage("b", 0.5)
    before = [{"control_steps": 300, "elapsed": 600.0}, {"control_steps": 100, "elapsed": 1200.0}]
    composed = load("train", TrainJob, stage_overrides(stage, whole, [], before))
    assert (composed.train.steps, composed.train.minutes) == (300, 15.0)
    assert left(whole, [*before, {"control_steps": 700, "elapsed": 0.0}])[0] < 0
    by_time = load("train", TrainJob, stage_overrides(stage, job("train.steps=0", "train.minutes=60"), [], before))
    assert (by_time.train.steps, by_time.train.minutes) == (0, 15.0)


def test_shares_out_of_range_and_equal_names_are_refused():
    with pytest.raises(ValueError, match="allowed: above 0, at most 1"):
        Stage("teacher", 0.0)
    with pytest.raises(ValueError, match="each name may stand once"):
        RecipeConfig([Stage("a", 0.5), Stage("a", 0.5)])


def test_a_stage_that_cannot_be_composed_is_refused_before_the_first_one_begins():
    with pytest.raises(UsageError, match="unknown key"):
        load("train", TrainJob, stage_overrides(Stage("a", 1.0, ["train.stepps=1"]), job(), [], []))


def test_a_chain_and_a_single_run_do_not_take_each_others_directory(tmp_path: Path):
    (tmp_path / "chain" / "teacher" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"holds other runs \(teacher\)"):
        train(load("train", TrainJob, [f"run={tmp_path / 'chain'}"]))
    single = tmp_path / "single" / "checkpoints"
    single.mkdir(parents=True)
    (single / "00000010.pt").touch()
    with pytest.raises(ValueError, match="holds a single run"):
        train(load("train", TrainJob, ["recipe=tiny", f"run={tmp_path / 'single'}"]))


@pytest.mark.slow
def test_a_chain_that_is_stopped_goes_on_where_it_was_and_leaves_the_better_policy(tmp_path: Path):
    run = tmp_path / "chain"
    arguments = [sys.executable, "-m", "inhand.cli", "train", *ARGUMENTS, f"run={run}"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "student" in line:  # the heading of the second stage: the first one is over
            break
    process.kill()
    process.wait()
    first = (run / "teacher" / "result.json").read_bytes()

    refused = inhand(directory=run)
    assert refused.returncode == 1
    assert re.search(r"has been trained in already; resume the recipe", refused.stderr)

    done = inhand("resume=true", directory=run)
    assert done.returncode == 0, done.stderr
    assert (run / "teacher" / "result.json").read_bytes() == first
    summary = json.loads((run / "recipe.json").read_text())
    assert list(summary["stages"]) == ["teacher", "student", "finished"]
    assert [each["control_steps"] for each in summary["stages"].values()] == [30080, 18560, 11520]
    best = max(summary["evaluated"], key=summary["evaluated"].get)
    shipped = artefact.load(run / "policy")
    assert shipped.contract["sha256"] == artefact.load(run / best / "policy").contract["sha256"]
    imitation = [row["imitation_loss"] or 0.0 for row in read_progress(run / "student") if "imitation_loss" in row]
    assert imitation[-1] < imitation[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_chain_on_two_ranks_outlives_one_of_them(tmp_path: Path):
    run, seen = tmp_path / "chain", []
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    command += ["-m", "inhand.cli", "train", *ARGUMENTS, "train.num_envs=16", f"run={run}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                seen.append(line)
                if "student" in line:  # the heading of the second stage: the first one is over
                    break
            assert "student" in seen[-1], "".join(seen)
            ranks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(ranks[1]), signal.SIGKILL)
            seen += process.stdout
        finally:
            process.terminate()
    assert process.returncode == 0, "".join(seen)
    assert sum("of the budget" in line for line in seen) == 4  # the student's stage was begun twice
    summary = json.loads((run / "recipe.json").read_text())
    assert [each["control_steps"] for each in summary["stages"].values()] == [30080, 18560, 11520]
    assert set(summary["evaluated"]) == {"student", "finished"}
    assert artefact.load(run / "policy")
