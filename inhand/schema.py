"""What a configuration dataclass says about itself: its keys, their types, and the docstrings below its fields."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import get_type_hints


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a configuration: its dotted name, the type of its value and its docstring."""

    name: str
    type: str
    doc: str


def keys(schema: type, prefix: str = "") -> Iterator[Key]:
    """The keys of a configuration dataclass, those of nested dataclasses after the one that holds them."""
    docs = _field_docs(schema)
    for name, hint in get_type_hints(schema).items():
        key = prefix + name
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield Key(key, "section", docs.get(name, ""))
            yield from keys(hint, key + ".")
        else:
            text = hint.__name__ if type(hint) is type else str(hint)  # list[int] has a name, too: "list"
            yield Key(key, text, docs.get(name, ""))


def _field_docs(schema: type) -> dict[str, str]:
    """The docstrings below the fields of a dataclass, which Python itself drops."""
    docs: dict[str, str] = {}
    for base in reversed(schema.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in itertools.pairwise(definition.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docs[name] = " ".join(text.split())
    return docs
