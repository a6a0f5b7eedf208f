"""The configuration of recurrent PPO."""

from dataclasses import dataclass

from robot.checks import check_numbers


@dataclass(frozen=True)
class PPOConfig:
    """How the recurrent networks are updated from a roll-out, by PPO and, as far as it applies, in distillation.

    Raises:
        ValueError: if a value is out of its range.
    """

    gamma: float = 0.998
    """Discount per control step."""

    lam: float = 0.95
    """Lambda of generalized advantage estimation, for the actor: below it, less noise and more of the critic's bias."""

    critic_lam: float = 0.95
    """Lambda of the returns that the critic learns, a regression that averages the noise by itself."""

    clip: float = 0.2
    """The probability ratio earns nothing beyond 1 ± clip."""

    entropy: float = 0.01
    """Weight of the entropy bonus [per nat, summed over the actuators]."""

    learning_rate: float = 3e-4
    """Adam's step size for the actor, the first one if it adapts."""

    critic_learning_rate: float = 3e-4
    """Adam's step size for the critic; always fixed."""

    target_kl: float = 0.0
    """If positive, the actor's learning rate adapts, after each update, to keep the KL divergence that its last pass
    meets near this [nat]."""

    min_learning_rate: float = 5e-5
    """Lower bound of an adapting learning rate."""

    max_learning_rate: float = 2e-3
    """Upper bound of an adapting learning rate."""

    critic_warmup: int = 0
    """Number of first updates in which only the critic learns: a critic new to task and policy misleads the actor."""

    epochs: int = 3
    """Passes over a roll-out (R19 Table 14: a sample is used 3 times)."""

    critic_epochs: int = 0
    """Number of these passes, the first ones, that teach the critic, too; 0 for all. In distillation the critic, which
    only says how well the student does, costs as much as the student."""

    minibatches: int = 4
    """Parts of a pass, drawn anew for every pass."""

    persistence: float = 0.0
    """Correlation of the noise of an actuator's successive actions in the roll-out, 0 (independent) to below 1
    (Hollenstein, Martius & Piater 2024, "Colored Noise in PPO"). By itself each action keeps its distribution, but
    deviations last long enough to move the block. Observations tell something of earlier noise, so that ratios of
    probabilities are approximate."""

    chunk: int = 10
    """Control steps of truncated backpropagation through time; the horizon is a multiple."""

    max_grad_norm: float = 1.0
    """Gradients, of the actor and of the critic separately, are scaled down to this norm."""

    bf16: bool = True
    """Compute the update, never the roll-out, in bfloat16 where the processor has it: more than twice as fast."""

    def __post_init__(self) -> None:
        check_numbers("ppo", self, "gamma", "lam", "critic_lam", least=0.0, most=1.0)
        check_numbers("ppo", self, "persistence", least=0.0, below=1.0)
        rates = ("learning_rate", "critic_learning_rate", "min_learning_rate", "max_learning_rate")
        check_numbers("ppo", self, *rates, "clip", "max_grad_norm", above=0.0)
        check_numbers("ppo", self, "entropy", "target_kl", "critic_warmup", least=0)
        check_numbers("ppo", self, "epochs", "minibatches", "chunk", least=1)
        check_numbers("ppo", self, "critic_epochs", least=0, most=self.epochs)
        if self.max_learning_rate < self.min_learning_rate:
            raise ValueError(
                f"ppo max_learning_rate is {self.max_learning_rate}, below min_learning_rate {self.min_learning_rate}"
            )
        if self.target_kl and not self.min_learning_rate <= self.learning_rate <= self.max_learning_rate:
            raise ValueError(
                f"ppo learning_rate is {self.learning_rate}; with target_kl it has to lie between min_learning_rate, "
                f"{self.min_learning_rate}, and max_learning_rate, {self.max_learning_rate}"
            )
