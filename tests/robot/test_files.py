"""Files that are whole or not there, for readers, after errors and after kill -9."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from robot.files import replacing

ROOT = Path(__file__).parents[2]


def test_a_reader_meets_the_old_content_until_the_new_one_is_whole(tmp_path: Path):
    path = tmp_path / "file.json"
    for content in (b"first", b"second"):
        before = path.read_bytes() if path.exists() else None
        with replacing(path) as file:
            file.write(content)
            file.flush()
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["file.json"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_error_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "file.json"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        _ = 1 / 0
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file.json"]


def test_who_is_killed_leaves_what_was_there_and_the_next_one_writes_over_it(tmp_path: Path):
    path = tmp_path / "file.json"
    path.write_bytes(b"old")
    killed = "file.write(b'x' * 100000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    imports = "import os, signal\nfrom pathlib import Path\nfrom robot.files import replacing"
    program = f"{imports}\nwith replacing(Path({str(path)!r})) as file:\n    {killed}"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["file.json"]
