"""What a configuration may hold: checks that name the value and what is allowed."""

import math
from collections.abc import Collection


def check_numbers(
    owner: str,
    config: object,
    *names: str,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> None:
    """Refuses numbers that are not finite or lie outside a range.

    ``above`` and ``below`` exclude the bound, ``least`` and ``most`` include it.

    Args:
        owner: What the configuration is of, for the message: ``ppo``.
        config: The object that has the numbers.
        names: Its attributes.
        above: They must be larger.
        least: They must not be smaller.
        below: They must be smaller.
        most: They must not be larger.

    Raises:
        ValueError: "ppo gamma is 1.5; allowed: 0 to 1".
    """
    for name in names:
        value = getattr(config, name)
        # written so that NaN, which no comparison holds for, is refused
        if not (math.isfinite(value) and above < value < below and least <= value <= most):
            what = f"{owner} {name}".strip()
            raise ValueError(f"{what} is {value}; allowed: {_range(above, least, below, most)}")


def check_choice(what: str, value: str, allowed: Collection[str]) -> None:
    """Refuses a word that is not one of those allowed.

    Raises:
        ValueError: "goal law is 'up'; allowed: parallel, face_up, so3".
    """
    if value not in allowed:
        raise ValueError(f"{what} is {value!r}; allowed: {', '.join(allowed)}")


def _range(above: float, least: float, below: float, most: float) -> str:
    """The range in words."""
    bounds = {"above ": above, "at least ": least, "below ": below, "at most ": most}
    named = {word: f"{bound:g}" for word, bound in bounds.items() if math.isfinite(bound)}
    match tuple(named):
        case ("at least ", "at most "):
            return " to ".join(named.values())
        case ("at least ",):
            return f"{named['at least ']} or more"
        case _:
            return ", ".join(word + bound for word, bound in named.items()) or "any finite number"
