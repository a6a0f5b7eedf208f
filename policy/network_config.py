"""The configuration of the networks."""

from dataclasses import dataclass

from robot.checks import check_numbers


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the actor and of the critic; ``inhand/conf/network/`` names some.

    Raises:
        ValueError: if a size is not positive.
    """

    hidden: int = 256
    """Width of the fully connected ReLU layer (D18: 1024)."""

    lstm: int = 256
    """Width of the LSTM (D18: 512)."""

    embedding: int = 0
    """Dimensions in which every observation field is embedded by itself; their sum goes on (R19: 512). With 0 the
    fields are concatenated (D18)."""

    memory: bool = True
    """The actor has an LSTM; without, a ReLU layer of the same width stands in its place (D18 Table 5)."""

    critic_memory: bool = True
    """The same for the critic."""

    action_std: float = 0.3
    """Standard deviation of the first actions [unit actions] about zero. Classes that are all as probable have 0.63, at
    which a hand throws the block away before it learns anything (``docs/training.md``)."""

    min_sigma: float = 0.2
    """Continuous actions only: the standard deviation never falls below this [unit actions] (rl_games' mjlab recipe),
    so that exploration goes on and no probability ratio explodes."""

    def __post_init__(self) -> None:
        check_numbers("network", self, "hidden", "lstm", "action_std", "min_sigma", above=0)
        check_numbers("network", self, "embedding", least=0)
