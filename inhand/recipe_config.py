"""What a recipe is: the stages of a chain of training runs."""

from dataclasses import dataclass, field

from robot.checks import check_numbers


@dataclass(frozen=True)
class Stage:
    """One run of a recipe.

    Raises:
        ValueError: if its share is out of range.
    """

    name: str
    """Name of its directory in that of the recipe."""

    share: float
    """Share of what the stages before it have left of the budget."""

    overrides: list[str] = field(default_factory=list)
    """What it differs by, as on the command line; ``{run}`` stands for the directory of the whole."""

    def __post_init__(self) -> None:
        check_numbers(f"recipe stage {self.name}:", self, "share", above=0.0, most=1.0)


@dataclass(frozen=True)
class RecipeConfig:
    """A chain of runs; ``inhand/conf/recipe/`` names some.

    Raises:
        ValueError: if two stages have one name.
    """

    stages: list[Stage] = field(default_factory=list)
    """The stages in their order; none for a single run."""

    trials: int = 100
    """Trials by which the last two policies are compared; the better one becomes that of the recipe."""

    def __post_init__(self) -> None:
        check_numbers("recipe", self, "trials", least=1)
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"recipe stages are {', '.join(names)}; each name may stand once")
