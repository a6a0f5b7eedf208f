"""The record of a run, read with TensorBoard's own reader, and the curve drawn from it."""

import io

import cv2
import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from policy.adr_curve import draw_adr_curve
from policy.curve import draw_curve, simulated_time
from policy.display import TrainDisplay
from policy.progress import FILE, ProgressWriter, Row, read_progress

ENDS = (("low", -1.0), ("high", 1.0))


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


def test_time_is_told_in_the_unit_that_suits_it():
    def told(*hours: float) -> tuple[list[float], str]:
        return simulated_time([{"simulated_hours": hour} for hour in hours])

    assert told(0.01, 0.5) == ([pytest.approx(0.6), 30.0], "minutes")
    assert told(0.5, 23.0) == ([0.5, 23.0], "hours")
    assert told(12.0, 48.0) == ([0.5, 2.0], "days")
    assert told(4383.0, 17532.0) == ([0.5, 2.0], "years")


@pytest.mark.parametrize("parameters", [1, 7])
def test_the_ranges_of_adr_are_drawn(tmp_path, parameters):
    write(tmp_path, 1, 1)
    with pytest.raises(ValueError, match="no ADR ranges"):
        draw_adr_curve(tmp_path, tmp_path / "adr.png")
    with ProgressWriter(tmp_path, 1) as writer:
        for update in range(2, 2500 if parameters == 1 else 30):
            ends = {f"adr/p{i}/{side}": sign * 0.01 * update for i in range(parameters) for side, sign in ENDS}
            writer.write(row(update) | {"adr/entropy": 0.1 * update} | ends)
    draw_adr_curve(tmp_path, tmp_path / "adr.png")
    image = cv2.imread(str(tmp_path / "adr.png"))
    assert image is not None and image.std() > 5.0
    # a row of panels for every five parameters, below the entropy
    assert image.shape[0] == pytest.approx(140 * (2.6 + 1.25 * (0.3 + -(-parameters // 5))), abs=2)


def test_the_display_shows_the_entropy_of_adr_where_there_is_one():
    output = io.StringIO()
    with TrainDisplay(Console(file=output)) as display:
        display.show(row(1) | {"elapsed": 1.0, "adr/entropy": -0.1234}, 1.0)
    assert "ADR entropy -0.123" in output.getvalue()
    with TrainDisplay(Console(file=output)) as display:
        display.show(row(1) | {"elapsed": 1.0}, 1.0)
    assert output.getvalue().count("ADR") == 1
