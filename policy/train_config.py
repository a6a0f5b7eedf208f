"""The configuration of a training run."""

from dataclasses import dataclass, field

from policy.curriculum import CurriculumConfig
from policy.network_config import NetworkConfig
from policy.ppo_config import PPOConfig
from policy.teacher_config import TeacherConfig
from robot.checks import check_choice, check_numbers

ALGORITHMS = ("ppo", "teacher", "distill")

RESUMABLE = ("steps", "minutes", "until", "checkpoint_minutes", "keep_checkpoints", "threads")
"""Settings that may differ when a run is resumed; all others decide what is learnt."""


def spent(steps: int, minutes: float, control_steps: int, elapsed: float) -> float:
    """Share of a budget, ``steps`` and ``minutes`` (0: no limit), used by ``control_steps`` and ``elapsed`` [s]."""
    by_steps = control_steps / steps if steps else 0.0
    by_time = elapsed / (60.0 * minutes) if minutes else 0.0
    return max(by_steps, by_time)


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Raises:
        ValueError: if a value is out of its range, or there is no budget.
    """

    algorithm: str = "ppo"
    """``ppo``: the LSTM policy by PPO; ``teacher``: a policy that sees the clean state, off-policy;
    ``distill``: the LSTM policy learns to do what a teacher does."""

    seed: int = 0
    """Seed of every random draw: worlds, weights, exploration and the order of the samples."""

    num_envs: int = 256
    """Worlds stepped together, by each rank (``docs/distributed.md``)."""

    horizon: int = 40
    """Control steps of a roll-out, a multiple of ``ppo.chunk``."""

    steps: int = 50_000_000
    """Control steps of all worlds together after which the run ends, unless ``minutes`` end it first; 0: no limit."""

    minutes: float = 0.0
    """Minutes after which the run ends, those before a resume included, unless ``steps`` end it first; 0 for no
    limit. For a run of a given time set ``steps=0``."""

    until: float = 0.0
    """Mean successes per training episode, a teacher's without exploration, at which the run ends though its budget is
    not spent; 0: never."""

    checkpoint_minutes: float = 1.0
    """Time between two checkpoints; one is always written at the end."""

    keep_checkpoints: int = 3
    """Number of checkpoints that are kept; older ones are deleted."""

    threads: int = 0
    """CPU threads of the networks; 0 for torch's own choice, or each rank's share of the cores."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)

    def __post_init__(self) -> None:
        check_choice("train algorithm", self.algorithm, ALGORITHMS)
        check_numbers("train", self, "num_envs", "horizon", "keep_checkpoints", least=1)
        check_numbers("train", self, "seed", "steps", "minutes", "until", "checkpoint_minutes", "threads", least=0)
        if not self.steps and not self.minutes:
            raise ValueError("train steps and minutes are both 0; one of them must limit the run")
        if self.horizon % self.ppo.chunk:
            raise ValueError(f"train horizon is {self.horizon}; it must be a multiple of ppo.chunk, {self.ppo.chunk}")
        sequences = self.num_envs * self.horizon // self.ppo.chunk
        if sequences < self.ppo.minibatches:
            raise ValueError(f"ppo minibatches is {self.ppo.minibatches}; a roll-out has only {sequences} sequences")
