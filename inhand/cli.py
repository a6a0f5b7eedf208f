"""The command line: ``inhand <verb> [key=value ...]``.

Exit status: 0 success; 1 a verb that failed; 2 a command line that cannot be run; 130 an interruption by the user.
Whatever is slow to import is imported where it is needed, so that ``--help`` answers at once.
"""

import os
import sys
from collections.abc import Sequence

from inhand.verbs import USER_ERRORS, VERBS, Verb


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line, that of the process by default, and returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(arguments)
    except BrokenPipeError:  # as of `inhand train --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor shall the interpreter complain at its end
        return 1


def _main(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(version("inhand"))
        return 0
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        from inhand.help import overview

        print(overview(VERBS))
        return 0
    name, *rest = arguments
    if name not in VERBS:
        from inhand.config import unknown

        return _fail("inhand", unknown("verb", name, VERBS), 2)
    return run(name, VERBS[name], rest)


def run(name: str, verb: Verb, arguments: Sequence[str]) -> int:
    """Runs a verb under ``arguments``, overrides and Hydra's own flags, and returns the exit status."""
    from inhand.config import UsageError
    from inhand.launch import launch

    function, schema = verb.load()
    if {"-h", "--help"} & set(arguments):
        from inhand.help import explanation

        print(explanation(name, verb, schema))
        return 0

    def attempt(config: object) -> int:
        try:
            return function(config) or 0
        except UsageError as error:
            return _fail(f"inhand {name}", str(error), 2)
        except Exception as error:
            if "HYDRA_FULL_ERROR" in os.environ or not _is_user_error(error):
                raise
            return _fail(f"inhand {name}", str(error), 1)

    try:
        return launch(name, attempt, schema, arguments, verb.arguments, verb.synonyms)
    except UsageError as error:
        return _fail(f"inhand {name}", str(error), 2)
    except KeyboardInterrupt:
        return _fail(f"inhand {name}", "interrupted", 130)


def _is_user_error(error: Exception) -> bool:
    return any(f"{each.__module__}.{each.__qualname__}" in USER_ERRORS for each in type(error).__mro__)


def _fail(who: str, text: str, status: int) -> int:
    print(f"{who}: {' '.join(text.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
