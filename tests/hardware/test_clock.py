"""Deadlines, statistics and the watchdog."""

import time

import numpy as np
import pytest

from hardware.clock import NS, Pacer, Wakeup, now_ns
from hardware.messages import ACTIVE, HOLD, JointCommand
from hardware.statistics import LoopStatistics, Sections
from hardware.watchdog import Watchdog


def test_deadlines_are_absolute() -> None:
    pacer = Pacer(0.02)
    wakeups = []
    for k in range(20):
        wakeups.append(pacer.wait())
        time.sleep(0.005 if k % 2 else 0.015)
    deadlines = np.array([wakeup.deadline_ns for wakeup in wakeups])
    if not any(wakeup.missed for wakeup in wakeups):  # a busy machine may miss one; drift there is none in any case
        assert set(np.diff(deadlines)) == {round(0.02 * NS)}
    assert not (np.diff(deadlines) % round(0.02 * NS)).any()
    assert all(wakeup.late_ns >= 0 for wakeup in wakeups)
    assert np.median([wakeup.late_ns for wakeup in wakeups]) < 0.005 * NS


def test_missed_deadlines_are_counted_and_never_caught_up() -> None:
    pacer = Pacer(0.02)
    first = pacer.wait()
    time.sleep(0.07)  # past the deadlines at 20, 40 and 60 ms
    late = pacer.wait()
    assert late.missed == (late.deadline_ns - first.deadline_ns) // round(0.02 * NS) - 1 >= 2
    after = pacer.wait()
    assert after.deadline_ns > late.deadline_ns
    assert now_ns() >= after.deadline_ns


def test_a_period_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        Pacer(0.0)


def test_the_report_is_the_statistics_of_the_ticks() -> None:
    generator = np.random.default_rng(0)
    late = generator.integers(0, 3_000_000, 200)
    statistics = LoopStatistics(0.08)
    statistics.episode()
    for k, ns in enumerate(late.tolist()):
        wakeup = Wakeup(deadline_ns=k * 80_000_000, late_ns=ns, missed=int(k == 7))
        statistics.tick(wakeup, {"policy": 0.001 * (k + 1)}, hold=k < 3, clamped=k % 2 == 0)
    statistics.reached()
    report = statistics.report("time is up")
    periods = np.diff(np.arange(200) * 80_000_000 + late) / NS
    assert report.ticks == 200 and report.holds == 3 and report.clamped == 100 and report.missed == 1
    assert report.period_p99 == pytest.approx(np.percentile(periods, 99))
    assert report.period_max == pytest.approx(periods.max())
    assert report.late_p50 == pytest.approx(np.median(late) / NS)
    assert report.sections["policy"].mean == pytest.approx(0.1005)
    assert report.sections["policy"].worst == pytest.approx(0.2)
    assert report.successes == 1 and report.episodes == (1,)
    assert "p99" in report.lines()


def test_a_report_without_ticks_is_a_report() -> None:
    assert LoopStatistics(0.08).report("failed").ticks == 0


def test_sections_add_up() -> None:
    timed = Sections()
    for _ in range(2):
        with timed("sleep"):
            time.sleep(0.01)
    assert 0.02 <= timed.seconds["sleep"] < 0.2


def test_the_watchdog_holds_until_commands_come_and_when_they_stop() -> None:
    watchdog = Watchdog(0.25)
    assert watchdog.mode(0) == HOLD
    arrives(watchdog, sent(1.0))
    assert watchdog.due(1 * NS) == sent(1.0)
    assert watchdog.mode(round(1.25 * NS)) == ACTIVE
    assert watchdog.mode(round(1.251 * NS)) == HOLD
    arrives(watchdog, sent(2.0))
    assert watchdog.due(2 * NS) == sent(2.0)
    assert watchdog.mode(2 * NS) == ACTIVE
    arrives(watchdog, sent(2.1, hold=True))
    assert watchdog.due(round(2.1 * NS)) == sent(2.1, hold=True)
    assert watchdog.mode(round(2.1 * NS)) == HOLD


def test_after_a_stall_no_command_of_before_is_obeyed() -> None:
    watchdog = Watchdog(0.25, delay=0.01)
    for seconds in (1.0, 1.08, 1.16):
        arrives(watchdog, sent(seconds))
    assert watchdog.due(round(1.42 * NS)) is None
    assert watchdog.mode(round(1.42 * NS)) == HOLD
    for seconds in (2.0, 2.08, 2.16):
        arrives(watchdog, sent(seconds))
    assert watchdog.due(round(2.005 * NS)) is None, "it is on its way"
    assert watchdog.due(round(2.1 * NS)) == sent(2.08), "the one before is superseded"
    assert watchdog.due(round(2.1 * NS)) is None
    assert watchdog.due(round(2.2 * NS)) == sent(2.16)


def arrives(watchdog: Watchdog, command: JointCommand) -> None:
    watchdog.arrived(command, command.send_ns)


def sent(seconds: float, hold: bool = False) -> JointCommand:
    stamp = round(seconds * NS)
    return JointCommand(capture_ns=stamp, send_ns=stamp, tick=0, target=None if hold else (0.0,) * 20)
