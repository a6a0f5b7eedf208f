"""Typed configuration: the values in ``inhand/conf/`` over the dataclasses of the rooms, and errors that help.

Hydra composes, OmegaConf checks types while it does, and msgspec builds the dataclasses, so that tuples are tuples and
an error raised by a nested dataclass is told with its key.
"""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

import msgspec
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from inhand.schema import keys

CONF = Path(__file__).parent / "conf"
HYDRA_VERSION = "1.3"
"""Whose behaviour Hydra keeps, whichever newer release is installed."""

T = TypeVar("T")


class UsageError(Exception):
    """What the user typed cannot be done; the message is one line."""


def register(verb: str, schema: type) -> None:
    """Makes ``schema`` known to Hydra as ``<verb>_schema``, with which the defaults of ``conf/<verb>.yaml`` begin."""
    node = OmegaConf.structured(schema)
    _unfreeze(node)
    ConfigStore.instance().store(name=f"{verb}_schema", node=node)


def typed(config: DictConfig, schema: type[T]) -> T:
    """The dataclass of a composed configuration.

    Raises:
        UsageError: if a value is missing, an unknown key was added, or the dataclass refuses its values.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UsageError(f"{error.full_key} is missing; give it as {error.full_key}=VALUE") from error
    except OmegaConfBaseException as error:
        raise UsageError(_one_line(error)) from error
    assert isinstance(values, dict)
    known = [field.name for field in dataclasses.fields(schema)]  # pyright: ignore[reportArgumentType]
    for key in values:
        if key not in known:
            raise UsageError(unknown("key", str(key), known))
    try:
        return msgspec.convert(values, schema)
    except msgspec.ValidationError as error:
        text, _, key = _one_line(error).partition(" - at `$")
        raise UsageError(f"{key.strip('.`')}: {text}" if key.strip(".`") else text) from error


def load(verb: str, schema: type[T], overrides: Sequence[str] = ()) -> T:
    """The configuration of a verb under ``overrides``, as its dataclass.

    Raises:
        UsageError: naming the key or value at fault and the nearest valid one.
    """
    return typed(composed(verb, schema, overrides), schema)


def composed(verb: str, schema: type, overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration of a verb under ``overrides``, as Hydra composes it.

    Raises:
        UsageError: naming the key or value at fault and the nearest valid one.
    """
    register(verb, schema)
    # a verb that runs already, and composes another configuration, does so where Hydra was set up for itself
    running = GlobalHydra.instance().is_initialized()
    with nullcontext() if running else initialize_config_dir(str(CONF), version_base=HYDRA_VERSION):
        try:
            return compose(verb, list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise UsageError(_explain(verb, schema, overrides) or _one_line(error)) from error


def groups(verb: str, schema: type) -> dict[str, list[str]]:
    """The option groups of a verb, and the options of each."""
    register(verb, schema)
    with initialize_config_dir(str(CONF), version_base=HYDRA_VERSION):
        return _groups(verb)


def unknown(what: str, word: str, candidates: Iterable[str]) -> str:
    """Says that ``word`` is none of ``candidates`` and which of them is meant, or, if none is near, how they begin."""
    candidates = list(candidates)
    same_end = [each for each in candidates if each.rpartition(".")[2] == word.rpartition(".")[2]]
    near = difflib.get_close_matches(word, same_end or candidates, n=1, cutoff=0.0 if same_end else 0.5)
    # of hundreds of keys only the first parts: --help lists them all
    listed = dict.fromkeys(each.partition(".")[0] for each in candidates)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(listed) or 'none'}"
    return f"unknown {what} {word!r}; {hint}"


def _explain(verb: str, schema: type, overrides: Sequence[str]) -> str | None:
    """What is wrong with the first override that cannot be composed; None if that is not an override's fault."""
    for count in range(len(overrides) + 1):
        try:
            compose(verb, list(overrides[:count]))
        except (HydraException, OmegaConfBaseException) as error:
            return _explain_one(verb, schema, overrides[count - 1], error) if count else None
    return None


def _explain_one(verb: str, schema: type, text: str, error: Exception) -> str:
    if isinstance(error, OverrideParseException):
        if "=" not in text:
            return f"{text!r} is not of the form key=value"
        key, _, value = text.partition("=")
        return f"the value of {key} cannot be read: {value!r}; quotes help: \"{key}='...'\""
    override = OverridesParser.create().parse_override(text)
    key, value = override.key_or_group, override.value()
    options = _groups(verb)
    if key in options:
        return f"{key}: " + unknown("option", str(value), options[key])
    values = compose(verb)
    known = dict.fromkeys(_dotted(values), "this entry") | {each.name: each.type for each in keys(schema)}
    if key not in known:
        return unknown("key", key, [*known, *options])
    if inside := [name for name in known if name.startswith(f"{key}.")]:
        return f"{key} is a section, not a value; its keys: {', '.join(inside)}"
    if override.is_sweep_override():
        return f"{text!r} holds several values; a list is written {key}=[...], a sweep needs --multirun"
    if known[key] == "int" and isinstance(value, float) and value.is_integer():
        return f"{key} is a whole number; write it without a point or an exponent: {key}={int(value)}"
    example = plain(OmegaConf.select(values, key))
    return f"{key}={value!r} is not of type {known[key]}; valid, and the default: {key}={example}"


def _groups(verb: str) -> dict[str, list[str]]:
    choices = compose(verb, return_hydra_config=True).hydra.runtime.choices
    names = sorted(str(name) for name in choices if not str(name).startswith("hydra/"))
    return {name: sorted(path.stem for path in (CONF / name.partition("@")[0]).glob("*.yaml")) for name in names}


def _dotted(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Every key of a composed configuration, those in its dictionaries too."""
    inner = dict(_sections(node))
    for name in map(str, node):
        yield prefix + name
        if name in inner:
            yield from _dotted(inner[name], f"{prefix}{name}.")


def _unfreeze(node: DictConfig) -> None:
    """Lets values be set: OmegaConf makes a frozen dataclass read-only; here only the finished object is frozen."""
    OmegaConf.set_readonly(node, False)
    for _, child in _sections(node):
        _unfreeze(child)


def _sections(node: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    for name in node:
        child = node._get_node(name)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield str(name), child


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()


def plain(value: object) -> str:
    """A value as it is typed on the command line."""
    return {"True": "true", "False": "false", "None": "null"}.get(str(value), str(value))
