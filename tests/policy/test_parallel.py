"""Data parallelism with real processes: the same update as one rank's, exact resumes, ranks that die."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch.distributed import HashStore  # pyright: ignore[reportPrivateImportUsage]: documented, though not exported
from torch.distributed.distributed_c10d import Store

from policy import checkpoint, parallel
from policy.checkpoint import CheckpointError
from policy.digest import digest
from policy.fresh_store import fresh_store
from policy.progress import read_progress
from policy.rollout import Collector
from tests.policy import ranks, teaching
from tests.policy.test_train import assert_same_run
from tests.policy.toy import POLICY, ToyEnv

ROOT = Path(__file__).parents[2]


def start(*arguments: object, restarts: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [f"--max-restarts={restarts}", "-m", "tests.policy.ranks", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def two_ranks(*arguments: object) -> None:
    process = start(*arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_two_ranks_learn_what_one_learns_from_twice_the_worlds(tmp_path):
    ppo = ranks.learner()
    env = ToyEnv(2 * ranks.WORLDS, seed=4)
    generator = torch.Generator().manual_seed(1)
    collector = Collector(env, env.reset(), ppo.actor, ppo.critic, ranks.CHUNK, generator)
    rollouts = [collector.collect(ranks.HORIZON) for _ in range(2)]
    assert rollouts[0].terminated.any()
    assert rollouts[0].truncated.any()
    torch.save([vars(rollout) for rollout in rollouts], tmp_path / "rollouts.pt")
    before = ppo.actor.head.weight.detach().clone()

    one = ranks.learn(ppo, rollouts)
    two_ranks("update", tmp_path)
    both = torch.load(tmp_path / "learnt.pt")

    moved = (one["actor"]["head.weight"] - before).abs().max()
    assert moved > 1e-3
    for network in ("actor", "critic"):
        for name, value in one[network].items():
            torch.testing.assert_close(both[network][name], value, rtol=1e-4, atol=2e-3 * float(moved), msg=name)
    for name, value in one["metrics"].items():
        assert both["metrics"][name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


@pytest.mark.slow
def test_two_ranks_of_a_teacher_learn_what_one_learns_from_all_transitions(tmp_path):
    draw, batches = torch.Generator().manual_seed(2), []
    for _ in range(3):
        batch = {name: torch.randn(64, POLICY.size, generator=draw) for name in ("observation", "next_observation")}
        batch["action"] = 2.0 * torch.rand(64, 20, generator=draw) - 1.0
        batch["reward"] = torch.randn(64, generator=draw)
        batch["discount"] = (torch.rand(64, generator=draw) > 0.2) * 0.9
        # the ranks know what came after of different numbers of steps
        batch["weight"] = (torch.rand(64, generator=draw) > torch.linspace(0.0, 0.8, 64)).float()
        batches.append(batch)
    torch.save(batches, tmp_path / "batches.pt")

    one = ranks.teacher_learns(batches)
    two_ranks("teacher update", tmp_path)
    both = torch.load(tmp_path / "learnt.pt")

    assert one["updates"] == both["updates"] == 3
    for network in ("actor", "critics", "targets"):
        for name, value in one[network].items():
            torch.testing.assert_close(both[network][name], value, rtol=1e-4, atol=2e-6, msg=f"{network}.{name}")
    for name, value in one["metrics"].items():
        assert both["metrics"][name].item() == pytest.approx(value.item(), rel=1e-3, abs=1e-5), name


@pytest.mark.slow
def test_a_teacher_of_two_ranks_is_resumed_to_the_bit(tmp_path):
    two_ranks("teacher", tmp_path / "whole", 8, "anew", 1)
    two_ranks("teacher", tmp_path / "parts", 3, "anew", 1)
    two_ranks("teacher", tmp_path / "parts", 8, "resume", 99)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    content = checkpoint.load(checkpoint.find(tmp_path / "whole" / "checkpoints")[-1])
    assert content["learner"]["updates"] > 0
    assert content["control_steps"] == 8 * 2 * teaching.PER_UPDATE
    first, second = (rank["observation"] for rank in content["ranks"])
    assert not torch.equal(first, second)
    with pytest.raises(CheckpointError, match="of 2 ranks, this one has 1"):
        teaching.run(tmp_path / "whole", teaching.config(20), True)


@pytest.mark.slow
def test_a_run_of_two_ranks_is_resumed_to_the_bit(tmp_path):
    two_ranks("train", tmp_path / "whole", 6, "anew")
    two_ranks("train", tmp_path / "parts", 2, "anew")
    two_ranks("train", tmp_path / "parts", 6, "resume")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    content = checkpoint.load(checkpoint.find(tmp_path / "whole" / "checkpoints")[-1])
    assert content["control_steps"] == 6 * 2 * ranks.WORLDS * ranks.HORIZON
    # the ranks' worlds are not the same ones twice
    first, second = (rank["collector"]["policy"] for rank in content["ranks"])
    assert not torch.equal(first, second)
    with pytest.raises(CheckpointError, match="of 2 ranks, this one has 1"):
        ranks.run(tmp_path / "whole", 7, True, ToyEnv(ranks.WORLDS))


@pytest.mark.slow
@pytest.mark.parametrize("late", [0, 1])
def test_a_run_goes_on_by_itself_when_a_rank_is_killed(tmp_path, late):
    # the rank that comes late to the second start leaves the other alone with what the first start has left behind
    updates, dead = 60, 1 - late
    process = start("killed", tmp_path, updates, late, restarts=1)
    pid = tmp_path / f"rank{dead}.pid"
    end = time.monotonic() + 90.0
    while time.monotonic() < end and len(checkpoint.find(tmp_path / "checkpoints")) < 2:
        time.sleep(0.05)
    killed = int(pid.read_text())
    os.kill(killed, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert int(pid.read_text()) != killed
    rows = read_progress(tmp_path)
    assert [row["update"] for row in rows] == list(range(1, updates + 1))
    assert rows[-1]["control_steps"] == updates * 2 * ranks.WORLDS * ranks.HORIZON


@pytest.mark.slow
def test_ranks_that_drift_apart_are_found(tmp_path):
    process = start("drift", tmp_path)
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "ranks [1] are no longer those of rank 0" in errors


def join(shared: Store, number: int, of: int) -> Store:
    return fresh_store(shared, number, of, timedelta(seconds=20))


def test_ranks_that_are_started_again_read_nothing_of_the_start_before():
    shared, of = HashStore(), 3
    shared.set_timeout(timedelta(seconds=20))
    # a start in which rank 2 dies before it is welcomed: the others wait
    with ThreadPoolExecutor(of) as pool:
        first = [pool.submit(fresh_store, shared, number, of, timedelta(seconds=0.2)) for number in (0, 1)]
        with pytest.raises(TimeoutError, match="only 2 of 3 ranks"):
            first[0].result()
    first[1].result().set("address", "of a dead rank")
    shared.set("inhand/hello/2", "a dead rank's")
    for late in (0, 1, 2):
        order = [*(number for number in range(of) if number != late), late]
        with ThreadPoolExecutor(of) as pool:
            joining = {}
            for number in order:
                time.sleep(0.1 if number == late else 0.0)
                joining[number] = pool.submit(join, shared, number, of)
            stores = [joining[number].result() for number in range(of)]
        assert not any(store.check(["address"]) for store in stores)
        stores[late].set("address", f"of start {late}")
        assert all(store.get("address").decode() == f"of start {late}" for store in stores)


def test_a_digest_tells_contents_apart():
    content = {"a": [torch.zeros(2), 1.0], "b": (torch.tensor(3),)}
    same = {"b": (torch.tensor(3),), "a": [torch.zeros(2), 1.0]}
    assert digest(content) == digest(same)
    others = (
        {"a": [torch.zeros(2), 1.0], "b": (torch.tensor(4),)},
        {"a": [torch.tensor([0.0, -0.0]), 1.0], "b": (torch.tensor(3),)},
        {"a": [torch.zeros(2, dtype=torch.float64), 1.0], "b": (torch.tensor(3),)},
        {"a": [torch.zeros(1, 2), 1.0], "b": (torch.tensor(3),)},
        {"a": [torch.zeros(2)], "b": (torch.tensor(3),)},
    )
    assert all(digest(content) != digest(other) for other in others)


def test_one_rank_is_alone(monkeypatch):
    with parallel.group():
        assert (parallel.rank(), parallel.size(), parallel.threads(), parallel.seed(7)) == (0, 1, 0, 7)
        assert parallel.gather({"a": 1}) == [{"a": 1}]
        assert parallel.agree(1.5, True) == (1.5, True)
        assert parallel.from_main({"a": 1}) == {"a": 1}
    assert not parallel.restarted()
    for launcher in ("TORCHELASTIC", "SLURM"):
        monkeypatch.setenv(f"{launcher}_RESTART_COUNT", "1")
        assert parallel.restarted()
        monkeypatch.delenv(f"{launcher}_RESTART_COUNT")


def test_moments_are_those_of_the_rows():
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 4.0 + 2.0
    count, mean, var = parallel.moments(values)
    assert float(count) == 50
    torch.testing.assert_close(mean, values.double().mean(0))
    torch.testing.assert_close(var, values.double().var(0, correction=0))


def test_every_field_of_a_rollout_is_split_among_ranks():
    ppo, env = ranks.learner(), ToyEnv(6)
    collector = Collector(env, env.reset(), ppo.actor, ppo.critic, ranks.CHUNK, torch.Generator().manual_seed(0))
    rollout = collector.collect(10)
    half = ranks.part(rollout, 1, 2)
    for field in dataclasses.fields(rollout):
        assert getattr(half, field.name).numel() * 2 == getattr(rollout, field.name).numel(), field.name
