"""The table of verbs. It must cost no import: each verb names its function, and is imported when it is run."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Verb:
    """A row of the table of verbs. Its values lie in ``inhand/conf/<verb>.yaml``."""

    help: str
    """What it does, in one line."""
    function: str
    """``module:function``. The function takes its configuration, a dataclass that its annotation names, and returns the
    exit status (None is 0)."""
    example: str
    """A command line worth copying."""
    arguments: tuple[str, ...] = ()
    """The keys that arguments without ``=`` stand for, in their order, as in ``inhand replay LOG``."""
    synonyms: Mapping[str, str] = field(default_factory=dict)
    """Other words for keys."""

    def load(self) -> tuple[Callable[[Any], int | None], type]:
        """The function, and the dataclass of its configuration."""
        module, _, name = self.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        return function, next(iter(get_type_hints(function).values()))


VERBS = {
    "train": Verb(
        help="train a policy in randomized simulation; leaves the policy artefact, checkpoints and curve",
        function="inhand.train:run",
        example="inhand train recipe=fast run=outputs/first train.steps=0 train.minutes=300",
    ),
    "eval": Verb(
        help="consecutive successes of a policy over N trials, or of each new checkpoint of a run",
        function="inhand.evaluate:run",
        example="inhand eval policy=outputs/first/policy trials=100 randomization=dactyl out=eval.json",
        arguments=("policy",),
    ),
    "deploy": Verb(
        help="let a policy drive a hand (by default the virtual rig) through the bridge; leaves a flight log",
        function="inhand.deploy:run",
        example="inhand deploy policy=outputs/first/policy seconds=60",
        arguments=("policy",),
    ),
    "replay": Verb(
        help="feed a flight log through the same policy path again, compare every action, draw a video",
        function="inhand.replay:run",
        example="inhand replay outputs/demo/deploy/flight.mcap video=flight.mp4",
        arguments=("log",),
    ),
    "export": Verb(
        help="write a policy as one ONNX file, its contract inside, for foreign runtimes",
        function="inhand.export:run",
        example="inhand export outputs/first/policy out=policy.onnx",
        arguments=("policy",),
    ),
    "rig": Verb(
        help="the virtual rig alone, until Ctrl-C",
        function="inhand.rig:run",
        example="inhand rig rig.friction=0.7",
    ),
    "randomization": Verb(
        help="a randomization preset as a table; or check that every term is drawn as it says and has an effect",
        function="inhand.randomization:run",
        example="inhand randomization check preset=dactyl",
        arguments=("action", "randomization"),
        synonyms={"preset": "randomization"},
    ),
    "bench": Verb(
        help="measure how fast this machine simulates, infers and keeps time",
        function="inhand.bench:run",
        example="inhand bench sim out=bench.json",
        arguments=("suite",),
    ),
    "doctor": Verb(
        help="what this machine can do, and what to install where the main job could not run",
        function="inhand.doctor:run",
        example="inhand doctor out=doctor.json",
    ),
}

USER_ERRORS = (
    "builtins.ValueError",
    "builtins.OSError",
    "policy.artefact.ArtefactError",
    "policy.checkpoint.CheckpointError",
    "policy.parallel.RanksDiffer",
    "policy.onnx.ExportError",
    "policy.onnx.ExportUnavailable",
    "policy.runtime.NotFinite",
    "sim.backend.BackendUnavailable",
    "sim.warp_capacity.CapacityExceeded",
    "sim.plant.PlantUnavailable",
    "sim.camera.RenderingUnavailable",
    "vision.estimator.VisionUnavailable",
)
"""Errors of the user or of the world, not of the program, with their subclasses: they end in one line and status 1."""
