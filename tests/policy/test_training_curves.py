"""Several runs in one picture."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.training_curves import draw, main, median, read_runs
from policy.progress import Row, read_progress, thin, write_progress


def run(directory: Path, rows: int, slope: float, hours: float = 0.5) -> Path:
    """A run whose successes rise by ``slope`` per hour; a row every ``hours``, none ended at the first."""
    directory.mkdir()
    write_progress(directory / "progress.jsonl", [
        {
            "update": update,
            "control_steps": 1000 * update,
            "simulated_hours": hours * update,
            "successes": slope * hours * update if update > 1 else None,
        }
        for update in range(1, rows + 1)
    ])  # fmt: skip
    return directory


def test_the_median_is_that_of_the_seeds_at_equal_times(tmp_path: Path) -> None:
    # their rows lie at other times and end at others
    names = [run(tmp_path / str(seed), 40 + 8 * seed, slope=seed, hours=0.5 + 0.07 * seed) for seed in (1, 2, 9)]
    (seeds,) = read_runs([f"a={name}" for name in names]).values()
    hours, successes = median(seeds)
    assert hours[-1] == pytest.approx(min(48 * 0.57, 56 * 0.64))
    np.testing.assert_allclose(successes, 2.0 * hours)


def test_a_record_is_thinned_evenly() -> None:
    rows: list[Row] = [{"update": update} for update in range(1, 1234)]
    updates = [int(row["update"] or 0) for row in thin(rows, 500)]
    assert len(updates) == 500 and (updates[0], updates[-1]) == (1, 1233)
    assert set(np.diff(updates)) == {2, 3}
    assert thin(rows[:500], 500) == rows[:500]


def test_the_picture_and_the_thinned_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [f"{name}={run(tmp_path / f'{name}{seed}', 1100, seed)}" for name, seed in (("a", 1), ("a", 2), ("b", 3))]
    out, thinned = tmp_path / "curves.png", tmp_path / "thinned"
    monkeypatch.setattr(sys, "argv", ["training_curves", *runs, "--out", str(out), "--thinned", str(thinned)])
    main()
    image = cv2.imread(str(out))
    assert image is not None and image.shape[0] > 400 and image.std() > 5.0
    assert sorted(path.name for path in thinned.iterdir()) == ["a-1", "a-2", "b"]
    rows = read_progress(thinned / "b")
    assert len(rows) == 500 and rows[-1]["successes"] == pytest.approx(3 * 550.0)
    draw(read_runs([f"b={thinned / 'b'}"]), out)  # a shipped record draws as a run does


def test_what_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'outputs/a' is not of the form NAME=RUN"):
        read_runs(["outputs/a"])
    with pytest.raises(ValueError, match="no episode has ended"):
        read_runs([f"a={run(tmp_path / 'a', 1, 1.0)}"])
