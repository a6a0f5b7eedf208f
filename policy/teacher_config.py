"""The configuration of the teacher."""

from dataclasses import dataclass

from robot.checks import check_numbers


@dataclass(frozen=True)
class TeacherConfig:
    """How the teacher learns; ``policy/td3.py`` and ``policy/hindsight.py`` say what the values mean.

    Raises:
        ValueError: if a value is out of its range.
    """

    gamma: float = 0.98
    """Discount per control step."""

    n_step: int = 5
    """Rewards summed before a value stands for the rest."""

    batch: int = 2048
    """Transitions in an update."""

    updates_per_step: int = 4
    """Updates after each control step of all worlds."""

    replay: int = 8_000_000
    """Control steps that are remembered, of all worlds together."""

    guard: int = 400_000
    """The oldest of them that are not learnt from; a checkpoint is written after this many steps at the latest."""

    warmup: int = 20_000
    """Control steps before the first update."""

    hindsight: float = 0.5
    """Share of a batch whose goal is one near to what the block did later in the same episode."""

    hindsight_steps: int = 30
    """How much later, at most [control steps]."""

    random_goals: float = 0.2
    """Share of a batch whose goal is drawn anew; the rest keeps the goal that was in force."""

    lowest: float = -5.0
    """Lowest return that the critics can express."""

    highest: float = 25.0
    """Highest return that the critics can express."""

    atoms: int = 101
    """Number of atoms of the distribution of returns, from ``lowest`` to ``highest``."""

    critic_width: int = 256
    """Width of each critic's two hidden layers."""

    learning_rate: float = 3e-4
    """Adam's step size for actor and critics."""

    tau: float = 0.02
    """Share of the critics that their targets take over in an update."""

    target_noise: float = 0.1
    """Standard deviation of what is added to the target's actions [unit actions], cut at 2.5 times as much."""

    actor_period: int = 2
    """Updates of the critics between two of the actor."""

    action_penalty: float = 0.02
    """Weight of the mean square of what goes into the actor's tanh: without, three quarters of all actions end up at
    ±1, where exploration has no effect."""

    noise: float = 0.5
    """Standard deviation of the exploration [unit actions] in the world that explores most; it falls linearly over the
    worlds, and the last eighth acts without."""

    random: float = 0.2
    """Share of the actuators that the world which explores most moves at random instead; it falls as the noise does."""

    hold: int = 8
    """Longest time [control steps] for which a world keeps the noise that it drew; most are kept for one or two."""

    bf16: bool = True
    """Compute in bfloat16 where the processor has it."""

    def __post_init__(self) -> None:
        check_numbers("teacher", self, "gamma", "hindsight", "random_goals", "tau", "random", least=0.0, most=1.0)
        if self.hindsight + self.random_goals > 1.0:
            raise ValueError(
                f"teacher hindsight is {self.hindsight} and random_goals {self.random_goals}; allowed: 1 together"
            )
        check_numbers("teacher", self, "n_step", "batch", "updates_per_step", "replay", "guard", "hold", least=1)
        check_numbers("teacher", self, "hindsight_steps", "critic_width", "actor_period", least=1)
        check_numbers("teacher", self, "warmup", "target_noise", "action_penalty", "noise", least=0)
        check_numbers("teacher", self, "learning_rate", above=0.0)
        check_numbers("teacher", self, "atoms", least=2)
        check_numbers("teacher", self, "lowest")
        check_numbers("teacher", self, "highest", above=self.lowest)
