"""A follower beside a real training of small worlds."""

import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from rich.console import Console

from policy import artefact, checkpoint
from policy.evaluate import Evaluation, evaluate
from policy.follow import follow
from policy.network import NetworkConfig
from policy.ppo_config import PPOConfig
from policy.runtime import PolicyRuntime
from policy.scores import Score, draw_scores, ranking, read_scores, write_scores
from policy.train import TrainConfig, train
from tests.policy.toy import ToyEnv

CONFIG = TrainConfig(
    seed=1,
    num_envs=8,
    horizon=8,
    steps=64 * 3,
    checkpoint_minutes=0.0,
    keep_checkpoints=3,
    network=NetworkConfig(hidden=8, lstm=8),
    ppo=PPOConfig(chunk=4, minibatches=2),
)
SETTINGS = {"trials": 32, "shape": (1, 2)}
UPDATE = 64
"""Control steps."""


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


def play(policy: PolicyRuntime) -> Evaluation:
    return evaluate(policy, ToyEnv(32, seed=5), console=quiet())


def trained(run_dir: Path, updates: int, resume: bool = False) -> None:
    """Trains to the end of a budget of so many updates, a checkpoint at each; the newest three are left."""
    train(replace(CONFIG, steps=UPDATE * updates), ToyEnv(8, seed=3), run_dir, resume, quiet())


def contents(run_dir: Path) -> dict[str, bytes]:
    """What a training wrote."""
    return {path.name: path.read_bytes() for path in (run_dir / "checkpoints").iterdir()}


def test_a_checkpoint_scores_as_the_policy_that_it_holds(tmp_path: Path):
    trained(tmp_path, 3)
    before = contents(tmp_path)
    scores = follow(tmp_path, play, SETTINGS, console=quiet())
    assert contents(tmp_path) == before
    assert [score.update for score in scores] == [3, 2, 1]  # the newest first
    assert scores == read_scores(tmp_path)
    for score in scores:
        restored = artefact.restore(checkpoint.load(tmp_path / f"checkpoints/{score.update:08d}.pt"))
        expected = play(PolicyRuntime(restored.actor, restored.policy_contract, restored.action_contract))
        assert (score.mean, score.sd, score.median) == (expected.mean, expected.sd, expected.median)
        assert (score.ci95_low, score.ci95_high) == expected.ci95
        assert (score.trials, score.control_steps) == (32, UPDATE * score.update)
        assert score.simulated_hours == pytest.approx(UPDATE * score.update * 0.08 / 3600)


def test_the_best_policy_is_kept_as_an_artefact(tmp_path: Path):
    trained(tmp_path, 3)
    (tmp_path / "settings.json").write_text('{"randomization": {"name": "dactyl"}}')
    scores = follow(tmp_path, play, SETTINGS, console=quiet())
    best = max(scores, key=lambda score: score.mean)
    loaded = artefact.load(tmp_path / "best")
    weights = checkpoint.load(tmp_path / f"checkpoints/{best.update:08d}.pt")["actor"]
    assert all(torch.equal(value, weights[name]) for name, value in loaded.actor.state_dict().items())
    training = loaded.contract["training"]
    assert training["evaluation"]["mean"] == best.mean
    assert training["evaluation"]["update"] == training["updates"] == best.update
    assert training["randomization"]["name"] == "dactyl"
    assert training["train"]["network"]["lstm"] == 8


def test_only_a_better_policy_replaces_the_best(tmp_path: Path):
    means = iter([3, 5, 5, 4, 6])

    def scripted(policy: PolicyRuntime) -> Evaluation:
        return Evaluation((next(means),) * 4)

    kept = []
    for updates in range(1, 6):
        run_dir = tmp_path / "run"
        train(
            replace(CONFIG, steps=UPDATE * updates, keep_checkpoints=1),
            ToyEnv(8, seed=3), run_dir, updates > 1, quiet(),
        )  # fmt: skip
        follow(run_dir, scripted, SETTINGS, console=quiet())
        kept.append(artefact.load(run_dir / "best").contract["training"]["updates"])
    assert kept == [1, 2, 2, 2, 5]


def test_a_follower_goes_on_where_one_was_killed(tmp_path: Path):
    trained(tmp_path, 3)
    played = []

    def killed_at_the_second(policy: PolicyRuntime) -> Evaluation:
        played.append(policy)
        if len(played) == 2:
            raise KeyboardInterrupt
        return play(policy)

    with pytest.raises(KeyboardInterrupt):
        follow(tmp_path, killed_at_the_second, SETTINGS, console=quiet())
    assert [score.update for score in read_scores(tmp_path)] == [3]
    assert [score.update for score in follow(tmp_path, play, SETTINGS, console=quiet())] == [3, 2, 1]
    assert len(follow(tmp_path, killed_at_the_second, SETTINGS, console=quiet())) == 3
    assert len(played) == 2  # nothing was left to play
    trained(tmp_path, 5, resume=True)
    assert [score.update for score in follow(tmp_path, play, SETTINGS, console=quiet())] == [3, 2, 1, 5, 4]


def test_the_best_policy_outlives_an_export_that_was_cut_short(tmp_path: Path):
    trained(tmp_path, 1)
    follow(tmp_path, play, SETTINGS, console=quiet())
    best = artefact.load(tmp_path / "best").contract
    (tmp_path / "best").rename(tmp_path / ".best.replaced")  # between the two renames of an export
    follow(tmp_path, play, SETTINGS, console=quiet())
    assert artefact.load(tmp_path / "best").contract == best


def test_checkpoints_that_vanish_or_are_damaged_are_skipped_with_a_word(tmp_path: Path):
    trained(tmp_path, 3)
    (tmp_path / "checkpoints/00000002.pt").write_bytes(b"cut short")
    # a name in the directory whose file is gone when it is opened
    (tmp_path / "checkpoints/00000004.pt").symlink_to(tmp_path / "gone")
    console = quiet()
    # the last checkpoint that can be read does not end the run as long as a newer one was seen
    scores = follow(tmp_path, play, SETTINGS, idle_minutes=1e-9, console=console)
    assert [score.update for score in scores] == [3, 1]
    assert isinstance(console.file, io.StringIO)
    said = " ".join(console.file.getvalue().split())
    assert said.count("skipped: checkpoint") == 2
    assert "no new checkpoint within 1e-09 minutes" in said


def test_a_run_that_has_not_begun_or_was_interrupted_is_waited_for(tmp_path: Path):
    assert follow(tmp_path / "run", play, SETTINGS, idle_minutes=1e-9, console=quiet()) == []
    trained(tmp_path, 1)
    content = checkpoint.load(tmp_path / "checkpoints/00000001.pt")
    assert content["over"]
    content["over"] = False  # as a run killed on its way leaves it
    checkpoint.save(tmp_path / "checkpoints", 1, content, 3)
    console = quiet()
    assert len(follow(tmp_path, play, SETTINGS, idle_minutes=1e-9, console=console)) == 2
    assert isinstance(console.file, io.StringIO) and "the run has ended" not in console.file.getvalue()
    content["over"] = True
    checkpoint.save(tmp_path / "checkpoints", 1, content, 3)
    follow(tmp_path, play, SETTINGS, console=console)
    assert "the run has ended" in console.file.getvalue()


def test_scores_under_other_settings_are_not_mixed(tmp_path: Path):
    trained(tmp_path, 1)
    follow(tmp_path, play, SETTINGS, console=quiet())
    with pytest.raises(ValueError, match=r"evaluations.jsonl holds scores with trials = 32, this asks for 16"):
        follow(tmp_path, play, SETTINGS | {"trials": 16}, console=quiet())
    # moved away, the best of other settings does not count either
    (tmp_path / "evaluations.jsonl").unlink()
    follow(tmp_path, lambda policy: Evaluation((0, 0)), SETTINGS | {"trials": 2}, console=quiet())
    evaluation = artefact.load(tmp_path / "best").contract["training"]["evaluation"]
    assert (evaluation["trials"], evaluation["mean"]) == (2, 0.0)
    (tmp_path / "evaluations.jsonl").write_text('{"update": 1}\n')
    with pytest.raises(ValueError, match=r"evaluations.jsonl, line 1, is not the score"):
        follow(tmp_path, play, SETTINGS, console=quiet())


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path):
    trained(tmp_path, 1)
    path = tmp_path / "checkpoints/00000001.pt"
    content = checkpoint.load(path)
    for part, change, said in (
        ("config", {"network": {"layers": 3}}, "does not fit"),
        ("action", {"meaning": "another"}, "another action contract"),
    ):
        checkpoint.save(path.parent, 1, content | {part: content[part] | change}, 3)
        with pytest.raises(artefact.ArtefactError, match=said):
            follow(tmp_path, play, SETTINGS, console=quiet())


def score(update: int, mean: float) -> Score:
    return Score(update, 1000 * update, 0.1 * update, 50, mean, 1.0, mean, mean - 0.5, mean + 0.5, {})


def test_the_ranking_shows_the_best_and_the_latest():
    console = quiet()
    console.print(ranking([*(score(update, float(update % 13)) for update in range(1, 25)), score(25, 0.0)]))
    assert isinstance(console.file, io.StringIO)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.file.getvalue().splitlines()[4:-1]]
    assert [row[1] for row in rows] == ["12", "11", "24", "10", "23", "9", "22", "8", "21", "7", "25"]
    assert [row[0] for row in rows] == [*map(str, range(1, 11)), "25"]
    assert rows[0][2:] == ["12,000", "1.2 h", "12.00 ± 1.00", "11.50 to 12.50", "12"]


def test_the_file_is_one_line_per_checkpoint(tmp_path: Path):
    write_scores(tmp_path, [score(1, 2.0), score(2, 3.0)])
    lines = [json.loads(line) for line in (tmp_path / "evaluations.jsonl").read_text().splitlines()]
    assert [line["mean"] for line in lines] == [2.0, 3.0]
    assert set(lines[0]) == {
        "update", "control_steps", "simulated_hours", "trials", "mean", "sd", "median", "ci95_low", "ci95_high",
        "settings",
    }  # fmt: skip


def test_the_picture_shows_the_interval_of_a_single_score(tmp_path: Path):
    def drawn(low: float) -> int:
        """Coloured pixels."""
        draw_scores([replace(score(5, 4.0), ci95_low=low)], tmp_path / "one.png")
        image = cv2.imread(str(tmp_path / "one.png"))
        assert image is not None
        return int((image.max(axis=2) - image.min(axis=2) > 20).sum())

    # more than the line from 3.5 to 4.5: it begins at 0.5, the axis still ends above 4.5
    assert drawn(0.5) > drawn(3.5) + 200
