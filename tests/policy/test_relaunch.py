"""Which launch may go on with a run by itself."""

import os

from policy import relaunch


def test_only_the_launch_that_began_a_run_goes_on_with_it(tmp_path, monkeypatch):
    relaunch.remember(tmp_path)
    assert not relaunch.goes_on(tmp_path)  # nothing was lost
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert relaunch.goes_on(tmp_path)
    assert not relaunch.goes_on(tmp_path / "another")
    monkeypatch.setattr(os, "getppid", lambda: -1)
    assert not relaunch.goes_on(tmp_path)


def test_a_job_that_slurm_puts_back_goes_on_whatever_process_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    relaunch.remember(tmp_path)
    monkeypatch.setattr(os, "getppid", lambda: -1)
    assert not relaunch.goes_on(tmp_path)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert relaunch.goes_on(tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "78")
    assert not relaunch.goes_on(tmp_path)
