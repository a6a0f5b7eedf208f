"""A verb as a Hydra application, its configuration checked before it starts."""

import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import NoReturn, TypeVar

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import DictConfig

from inhand.config import CONF, HYDRA_VERSION, UsageError, groups, load, register, typed, unknown
from inhand.schema import keys

T = TypeVar("T")


def launch(
    verb: str,
    function: Callable[[T], int],
    schema: type[T],
    arguments: Sequence[str],
    bare_keys: Sequence[str] = (),
    synonyms: Mapping[str, str] | None = None,
) -> int:
    """Runs ``function`` under the configuration that ``arguments`` (overrides and Hydra's flags) ask for.

    ``--KEY VALUE`` and ``--KEY=VALUE`` mean ``KEY=VALUE``. Where a key of the verb has the name of a flag of Hydra's,
    the key is meant: that is ``run`` alone, with which Hydra asks for what it does anyway.

    Args:
        verb: Its name, and that of its configuration.
        function: What is run; returns an exit status.
        schema: The dataclass that it takes.
        arguments: The rest of the command line.
        bare_keys: The keys that arguments without ``=`` stand for, in their order.
        synonyms: Other words for keys.

    Returns:
        The exit status of the function; over the jobs of a sweep, the highest.

    Raises:
        UsageError: before anything runs, if a configuration asked for cannot be composed.
    """
    parser = get_args_parser()
    parser.error = _refuse
    known = [*(key.name for key in keys(schema)), *groups(verb, schema), *(synonyms or {})]
    foreign = parser._option_string_actions.keys() - {f"--{name}" for name in known}
    arguments = _without_dashes(arguments, known, foreign)
    flags = parser.parse_intermixed_args(list(arguments))
    named = _with_keys(flags.overrides, bare_keys, synonyms or {})
    # flags first: Hydra, which reads them again, does not look for them between overrides
    arguments = [each for each in arguments if each not in named] + list(named.values())
    register(verb, schema)
    if flags.config_name is None and flags.config_path is None and flags.config_dir is None and not flags.hydra_help:
        for overrides in _jobs(list(named.values()), sweep=flags.multirun):
            load(verb, schema, overrides)
    statuses: list[int] = []

    def task(config: DictConfig) -> None:
        statuses.append(function(typed(config, schema)))

    argv = sys.argv
    sys.argv = [f"inhand {verb}", *arguments]  # Hydra parses the process's own
    try:
        hydra.main(config_path=str(CONF), config_name=verb, version_base=HYDRA_VERSION)(task)()
    finally:
        sys.argv = argv
    return max(statuses, default=0)


def _refuse(message: str) -> NoReturn:
    raise UsageError(f"{message} (keys are given as key=value, --key=value or --key value)")


def _without_dashes(arguments: Sequence[str], known: Sequence[str], foreign: Container[str]) -> list[str]:
    """``--key value`` and ``--key=value`` as ``key=value``, of unknown keys too; the flags in ``foreign`` stay."""
    result, rest = [], list(arguments)
    while rest:
        argument = rest.pop(0)
        key, equals, _ = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or f"--{key}" in foreign:
            result.append(argument)
        elif equals:
            result.append(argument.removeprefix("--"))
        elif rest and not rest[0].startswith("--"):
            result.append(f"{key}={rest.pop(0)}")
        else:
            raise UsageError(f"--{key} has no value" if key in known else unknown("key", key, known))
    return result


def _with_keys(arguments: Sequence[str], bare_keys: Sequence[str], synonyms: Mapping[str, str]) -> dict[str, str]:
    """Each argument as an override; values without keys are quoted: Hydra would read commas and brackets in a path."""
    named, bare = {}, list(bare_keys)
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals or argument.startswith(("~", "+")):
            named[argument] = f"{synonyms.get(key, key)}{equals}{value}"
        elif not bare:
            named[argument] = argument
        elif any(each.startswith(f"{bare[0]}=") for each in arguments):
            raise UsageError(f"{bare[0]} is given twice: {argument} and {bare[0]}=")
        else:
            named[argument] = f"{bare.pop(0)}={quoted(argument)}"
    return named


def quoted(value: str) -> str:
    """A value as Hydra's overrides take it literally, whatever commas, brackets or quotes it has."""
    return "'" + value.replace("'", r"\'") + "'"


def _jobs(overrides: Sequence[str], sweep: bool) -> Iterator[list[str]]:
    """The overrides of each job of a run."""
    if not sweep:
        yield list(overrides)
        return
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise UsageError(str(error).splitlines()[0]) from error
    for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None):
        yield from batch
