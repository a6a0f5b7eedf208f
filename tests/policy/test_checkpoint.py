"""Checkpoints: whole or refused."""

import numpy as np
import pytest
import torch

from policy import checkpoint
from policy.checkpoint import CheckpointError

CONTENT = {"weights": torch.arange(1000.0), "nested": {"names": ["a", "b"], 3: (1, 2.5, None, True)}}


def test_round_trip(tmp_path):
    loaded = checkpoint.load(checkpoint.save(tmp_path, 7, CONTENT, keep=3))
    assert torch.equal(loaded["weights"], CONTENT["weights"])
    assert loaded["nested"] == CONTENT["nested"]


def test_only_the_newest_are_kept(tmp_path):
    for update in (1, 20, 3, 100):
        checkpoint.save(tmp_path, update, CONTENT, keep=2)
    assert sorted(tmp_path.iterdir()) == checkpoint.find(tmp_path)
    assert [int(path.stem) for path in checkpoint.find(tmp_path)] == [20, 100]


def test_a_file_cut_short_is_refused(tmp_path):
    path = checkpoint.save(tmp_path, 1, CONTENT, keep=1)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=path.name):
            checkpoint.load(path)


def test_a_flipped_bit_is_refused(tmp_path):
    path = checkpoint.save(tmp_path, 1, CONTENT, keep=1)
    whole = bytearray(path.read_bytes())
    position = whole.find(torch.arange(1000.0).numpy().tobytes()[400:440])
    whole[position] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path)


def test_damaged_files_are_named_set_aside_and_passed_over(tmp_path, caplog):
    for update in (1, 2, 3):
        checkpoint.save(tmp_path, update, {"update": update}, keep=3)
    (tmp_path / "00000003.pt").write_bytes(b"cut short")
    assert checkpoint.load_newest(tmp_path) == {"update": 2}
    assert "00000003.pt" in caplog.text and "going on from 00000002.pt" in caplog.text
    # with the damaged file among the newest, this would have deleted all that are whole
    checkpoint.save(tmp_path, 2, {"update": 2}, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000002.pt", "00000003.damaged"]
    assert checkpoint.load_newest(tmp_path) == {"update": 2}


def test_nothing_is_set_aside_if_no_checkpoint_can_be_read(tmp_path):
    for update in (1, 2):
        checkpoint.save(tmp_path, update, CONTENT, keep=2).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"00000002\.pt.*00000001\.pt"):
        checkpoint.load_newest(tmp_path)
    assert len(checkpoint.find(tmp_path)) == 2


def test_foreign_files_are_refused(tmp_path):
    foreign = tmp_path / "foreign.pt"
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load(foreign)
    torch.save({"state_dict": torch.zeros(3)}, foreign)
    with pytest.raises(CheckpointError, match="not an inhand checkpoint"):
        checkpoint.load(foreign)
    torch.save({"format": checkpoint.FORMAT, "version": 99}, foreign)
    with pytest.raises(CheckpointError, match="version 99"):
        checkpoint.load(foreign)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (print, ("code of the file was run",))

    path = tmp_path / "evil.pt"
    torch.save({"format": checkpoint.FORMAT, "version": checkpoint.VERSION, "content": Payload()}, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load(path)


@pytest.mark.parametrize("value", [np.zeros(2), np.float64(1.0), {1, 2}, object()])
def test_what_could_not_be_read_again_is_not_written(tmp_path, value):
    with pytest.raises(CheckpointError, match=r"content\.env\[1\]"):
        checkpoint.save(tmp_path, 1, {"env": [1, value]}, keep=1)
    assert not list(tmp_path.iterdir())
