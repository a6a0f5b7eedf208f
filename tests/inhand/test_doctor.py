import json
from pathlib import Path

import pytest

from inhand import cli, probe


def test_doctor_reports_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "doctor.json"
    status = cli.main(["doctor", f"out={out}"])
    document = json.loads(out.read_text())
    assert status == (0 if document["ok"] else 1)
    assert {"versions", "machine", "compute", "rendering", "video", "bridge", "drivers"} <= document.keys()
    assert document["versions"]["mujoco"]["ok"]
    assert document["video"]["H.264"]["ok"]
    assert document["bridge"]["ZeroMQ ipc"]["ok"]
    assert document["drivers"].keys() >= probe.DRIVERS.keys()
    assert document["plants"].keys() == probe.PLANTS.keys()
    assert document["export"].keys() == probe.EXPORT.keys()
    text = capsys.readouterr().out
    assert document["rendering"]["egl"]["value"].split()[0] in text


def test_rendering_that_cannot_work_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent")  # as if no EGL driver were installed
    finding = probe.rendering()
    assert finding.ok is False
    assert finding.fix == "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
    assert "EGL" in finding.value


def test_too_little_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MIN_FREE_DISK", 2**70)
    (disk,) = [each for each in probe.machine() if each.ok is False]
    assert disk.name == "disk free here"
    assert "free 1099511627776 GiB" in disk.fix


def test_advice_names_the_environment_that_make_sets_up() -> None:
    for finding in (*probe.drivers(), *probe.plants(), *probe.export()):
        assert not finding.fix or finding.fix.startswith((".venv/bin/pip install ", "apt-get install "))
