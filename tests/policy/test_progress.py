"""The record of a run, read with TensorBoard's own reader, and the curve drawn from it."""

import cv2
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from policy.curve import draw_curve
from policy.progress import FILE, ProgressWriter, Row, read_progress


def row(update: int, successes: float | None = 1.0) -> Row:
    return {
        "update": update,
        "control_steps": 100 * update,
        "simulated_hours": 0.5 * update,
        "successes": successes,
        "episode_reward": -1.0,
        "sim/lost": 2.0 * update,
    }


def write(directory, first: int, last: int, **values) -> None:
    with ProgressWriter(directory, first - 1) as writer:
        for update in range(first, last + 1):
            writer.write(row(update, **values))


def test_rows_come_back_and_tensorboard_reads_them(tmp_path):
    write(tmp_path, 1, 3)
    assert read_progress(tmp_path) == [row(1), row(2), row(3)]
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(e.step, e.value) for e in board.Scalars("train/successes")] == [(100, 1.0), (200, 1.0), (300, 1.0)]
    assert [(e.step, e.value) for e in board.Scalars("sim/lost")] == [(100, 2.0), (200, 4.0), (300, 6.0)]


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path):
    write(tmp_path, 1, 2)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"update":3,"contr')
    assert read_progress(tmp_path) == [row(1), row(2)]
    write(tmp_path, 3, 3)
    assert read_progress(tmp_path) == [row(1), row(2), row(3)]


def test_a_resumed_run_drops_what_lies_after_its_checkpoint(tmp_path):
    write(tmp_path, 1, 5)
    write(tmp_path, 4, 6, successes=2.0)
    assert read_progress(tmp_path) == [row(1), row(2), row(3), row(4, 2.0), row(5, 2.0), row(6, 2.0)]
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(e.step, e.value) for e in board.Scalars("train/successes")][-3:] == [(400, 2.0), (500, 2.0), (600, 2.0)]


def test_the_curve_is_drawn(tmp_path):
    write(tmp_path, 1, 1, successes=None)
    with pytest.raises(ValueError, match="no episode has ended"):
        draw_curve(tmp_path, tmp_path / "curve.png")
    write(tmp_path, 2, 30)
    draw_curve(tmp_path, tmp_path / "curve.png")
    image = cv2.imread(str(tmp_path / "curve.png"))
    assert image is not None and image.shape[0] > 400 and image.std() > 5.0
