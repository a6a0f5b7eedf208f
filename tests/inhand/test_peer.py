"""A peer answers what it did, whatever it prints; ends when told to, or by force; says so when it stops."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks import peer
from benchmarks.peer import Peer, PeerError, installed

PYTHON = Path(sys.executable)
STUB = """
import os, subprocess, time
print("a library greets")
os.system("echo so does what it starts")
class Contestant:
    amount = 0.24
    def __init__(self, threads):
        self.facts = {"substep": 0.002, "worlds": 3 * threads}
    def step(self):
        time.sleep(0.01)
        print("and chatters")
    def close(self):
        pass
"""


def stub(folder: Path, text: str = STUB) -> Path:
    path = folder / "stub.py"
    path.write_text(text)
    return path


def test_it_answers_what_it_did_whatever_it_prints(tmp_path):
    each = Peer(stub(tmp_path), PYTHON, threads=2)
    assert (each.name, each.facts) == ("stub", {"substep": 0.002, "worlds": 6})
    # a step does 0.24 in at least 10 ms
    assert 0.0 < each.run(0.1) <= 0.24 / 0.01
    assert each.run(0.0) > 0.0  # one step, though there is no time for it
    each.close()


def test_one_that_stops_is_an_error(tmp_path):
    each = Peer(stub(tmp_path, STUB.replace('print("and chatters")', "raise SystemExit(4)")), PYTHON, threads=1)
    with pytest.raises(PeerError, match="exit status 4"):
        each.run(0.1)
    each.close()


def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(peer, "GRACE", 0.5)
    child = tmp_path / "child"
    start = f"open({str(child)!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))"
    text = STUB.replace("self.facts = ", start + "\n        self.facts = ").replace("pass", "time.sleep(600)")
    each = Peer(stub(tmp_path, text), PYTHON, threads=1)
    each.close()
    status = Path(f"/proc/{child.read_text()}/stat")
    end = time.monotonic() + 20.0  # a process that gets no processor dies late

    def lives() -> bool:
        return status.exists() and status.read_text().split()[2] != "Z"

    while lives() and time.monotonic() < end:
        time.sleep(0.05)
    assert not lives()


def test_one_that_cannot_start_is_an_error_that_says_how_it_ended(tmp_path):
    with pytest.raises(PeerError, match="exit status 3; peers=false"):
        Peer(stub(tmp_path, "raise SystemExit(3)"), PYTHON, threads=1)


def test_an_environment_is_made_once_and_again_when_its_interpreter_is_gone(tmp_path):
    requirements, home = tmp_path / "nothing.txt", tmp_path / "home"
    requirements.write_text("# nothing\n")
    python = installed(requirements, home)
    assert Peer(stub(tmp_path), python, threads=1).close() is None
    made = (home / "pyvenv.cfg").stat().st_mtime_ns
    assert installed(requirements, home) == python
    assert (home / "pyvenv.cfg").stat().st_mtime_ns == made
    python.unlink()
    assert installed(requirements, home).exists()
    assert (home / "pyvenv.cfg").stat().st_mtime_ns > made


def test_what_cannot_be_installed_is_an_error_that_names_it_and_tried_again(tmp_path):
    requirements = tmp_path / "peer.txt"
    requirements.write_text(f"{tmp_path}/no-such-package\n")
    for _ in range(2):
        with pytest.raises(PeerError, match=r"no-such-package could not be installed .*; peers=false leaves peers out"):
            installed(requirements, tmp_path / "home")
