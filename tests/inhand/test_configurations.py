"""What holds for the configurations of all verbs: they explain their keys, and take no number that is none."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest

from inhand import schema
from inhand.verbs import VERBS
from robot.hand import JOINT_NAMES


def configurations(schema: type) -> Iterator[type]:
    yield schema
    for hint in get_type_hints(schema).values():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from configurations(hint)


FOUND = {config for verb in VERBS.values() for config in configurations(verb.load()[1])}
NUMBERS = sorted(
    ((config, field.name) for config in FOUND for field in dataclasses.fields(config)
     if get_type_hints(config)[field.name] is float),
    key=lambda pair: (pair[0].__name__, pair[1]),
)  # fmt: skip
NEEDED: dict[str, dict[str, Any]] = {"EvalJob": {"policy": "default"}, "JointMap": {"joint": JOINT_NAMES[0]}}


@pytest.mark.parametrize("verb", VERBS)
def test_every_key_is_explained_by_a_sentence_of_its_own(verb: str):
    for key in schema.keys(VERBS[verb].load()[1]):
        if key.type != "section":
            assert key.doc.endswith(".") and not key.doc.startswith(("Of ", "With ", "At ", "For ")), key


@pytest.mark.parametrize(("config", "name"), NUMBERS, ids=[f"{config.__name__}.{name}" for config, name in NUMBERS])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_configuration_refuses_numbers_that_are_not_finite(config: type, name: str, number: float):
    sound = config(**NEEDED.get(config.__name__, {}))
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(sound, **{name: number})
