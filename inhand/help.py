"""What ``--help`` prints."""

import textwrap
from collections.abc import Mapping
from typing import Any

from inhand.verbs import Verb

WIDTH = 100
USAGE = """\
usage: inhand <verb> [key=value ...]

inhand turns a block in a Shadow hand: train in randomized simulation, deploy to the hand, replay a flight log.
"""
FLAGS = """\
`--key=value` and `--key value` mean key=value. Hydra's own flags work too: `--cfg job` prints the configuration and
stops, `-m key=1,2` sweeps over values (`-m 'run=outputs/seed${train.seed}' train.seed=0,1,2` trains three times),
`--hydra-help` tells the rest. HYDRA_FULL_ERROR=1 shows where an error
came from."""


def overview(verbs: Mapping[str, Verb]) -> str:
    """The help of ``inhand``."""
    width = max(map(len, verbs))
    rows = [f"  {name:{width}}  {verb.help}" for name, verb in verbs.items()]
    examples = [f"  {verb.example}" for verb in verbs.values()]
    last = "`inhand <verb> --help` explains a verb and lists its keys."
    return "\n".join([USAGE, "verbs:", *rows, "", "examples:", *examples, "", last])


def explanation(name: str, verb: Verb, schema: type) -> str:
    """The help of a verb: what it does, an example, and every key with its type, value and docstring."""
    from omegaconf import MISSING, OmegaConf

    from inhand.config import composed, groups, plain
    from inhand.schema import keys

    arguments = "".join(f" {each.upper()}" for each in verb.arguments)
    lines = [f"usage: inhand {name}{arguments} [key=value ...]", "", f"{name}: {verb.help}", ""]
    lines += ["example:", f"  {verb.example}", "", "keys (type, default):"]
    values = OmegaConf.to_container(composed(name, schema))
    for key in keys(schema):
        if key.type == "section":
            lines.append(f"  {key.name}.")
        else:
            default = plain(_value(values, key.name))
            if len(default) > WIDTH:
                default = "see --cfg job"
            lines.append(f"  {key.name} ({key.type}, {'to be given' if default == MISSING else default})")
        lines += textwrap.wrap(key.doc, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    if options := groups(name, schema):
        lines += ["", "groups of values, chosen as a whole:"]
        lines += [f"  {group}={'|'.join(names)}" for group, names in options.items()]
    return "\n".join([*lines, "", FLAGS])


def _value(node: Any, key: str) -> object:
    for name in key.split("."):
        node = node[name]
    return node
