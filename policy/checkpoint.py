"""Checkpoints: everything a training run needs to go on exactly from where it was.

A file appears under its final name only when it is complete on disk, so a run killed at any moment leaves whole files.
It holds tensors and plain containers only and is read with ``weights_only=True``: reading runs no code.
"""

import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from robot.files import replacing

FORMAT = "inhand-checkpoint"
VERSION = 2

logger = logging.getLogger(__name__)


class CheckpointError(Exception):
    """A checkpoint is missing, damaged, foreign, or does not fit the run."""


def save(directory: Path, update: int, content: Mapping[str, Any], keep: int) -> Path:
    """Writes the checkpoint of an update and deletes all but the newest ``keep``.

    Raises:
        CheckpointError: if ``content`` holds anything but tensors and plain containers.
    """
    _require_plain(content, "content")
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{update:08d}.pt"
    with replacing(path) as file:
        torch.save({"format": FORMAT, "version": VERSION, "update": update, "content": dict(content)}, file)
    for old in find(directory)[:-keep]:
        old.unlink()
    return path


def find(directory: Path) -> list[Path]:
    """The checkpoints in a directory, oldest first."""
    return sorted(directory.glob("[0-9]*.pt"))


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged, or not a checkpoint this version reads.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise CheckpointError(f"checkpoint {path} is damaged: {damaged} does not match its checksum")
        file = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, zipfile.BadZipFile, RuntimeError, UnpicklingError, EOFError, KeyError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read (missing, cut short or foreign): {error}") from error
    if not isinstance(file, dict) or file.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not an inhand checkpoint")
    if file.get("version") != VERSION:
        raise CheckpointError(f"checkpoint {path} has version {file.get('version')}; this program reads {VERSION}")
    return file["content"]


def load_newest(directory: Path) -> dict[str, Any]:
    """The content of the newest checkpoint that can be read, on the CPU.

    Newer ones that cannot are named in a warning and set aside as ``.damaged``: a later ``save`` would keep them, being
    the newest, in place of whole ones.

    Raises:
        CheckpointError: if none can be read.
    """
    damaged: dict[Path, CheckpointError] = {}
    for path in reversed(find(directory)):
        try:
            content = load(path)
        except CheckpointError as error:
            damaged[path] = error
            continue
        for newer, error in damaged.items():
            logger.warning("%s; set aside as .damaged, going on from %s", error, path.name)
            newer.rename(newer.with_suffix(".damaged"))
        return content
    reasons = "; ".join(map(str, damaged.values())) or "there is none"
    raise CheckpointError(f"no checkpoint in {directory} can be read: {reasons}")


def _require_plain(value: object, where: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str | int):
                raise CheckpointError(f"checkpoint {where} has the key {key!r}; allowed: str and int")
            _require_plain(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _require_plain(item, f"{where}[{index}]")
    # exact types: a numpy float is a float too, but needs foreign code to be read again
    elif not isinstance(value, Tensor) and type(value) not in (bool, int, float, str, bytes, type(None)):
        raise CheckpointError(
            f"checkpoint {where} is a {type(value).__name__}; allowed: tensors, plain numbers, text, dict, list, tuple"
        )
