"""The rooms import only downwards (architecture: CONTRIBUTING.md, "Rooms")."""

import sys
from pathlib import Path

import grimp
import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]


def test_rooms_import_only_what_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="pyproject.toml", cache_dir=None, is_debug_mode=False) == EXIT_STATUS_SUCCESS


def test_robot_needs_only_numpy_and_torch() -> None:
    graph = grimp.build_graph("robot", include_external_packages=True, cache_dir=None)
    outside = {name.partition(".")[0] for name in graph.modules} - sys.stdlib_module_names - {"robot"}
    assert outside <= {"numpy", "torch"}
