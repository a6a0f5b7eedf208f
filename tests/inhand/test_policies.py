"""Shipped policies by name, through the verbs."""

from pathlib import Path

import pytest

from benchmarks import policy_table
from hardware import flightlog
from inhand import cli, policies
from policy import artefact
from policy.artefact import ArtefactError
from tests.inhand.shipped import ship


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ship(tmp_path_factory.mktemp("shipped"))


def test_a_name_is_a_shipped_policy_and_the_default_is_one_of_them(shipped: Path) -> None:
    assert policies.names(shipped) == ["default", "small"]
    assert policies.locate("small", shipped) == policies.locate("default", shipped) == shipped / "small"
    assert artefact.load(policies.locate("default", shipped)).golden_exact  # the files beside it do not matter


def test_a_path_always_works(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small").mkdir()
    assert policies.locate("small", shipped) == Path("small")
    for path in ("./default", "runs/default", "/nowhere/default"):
        assert policies.locate(path, shipped) == Path(path)


def test_an_unknown_name_is_told_what_there_is(shipped: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"no policy defualt: .* shipped policies are: default, small$"):
        policies.locate("defualt", shipped)
    with pytest.raises(ArtefactError, match="they come with a clone"):
        policies.locate("default", tmp_path)


def test_the_verbs_take_names(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(policies, "SHIPPED", shipped)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["eval", "policy=default", "trials=2", "goal.time_limit=1", "physics_threads=1"]) == 0
    assert cli.main(["deploy", "default", "directory=flight", "seconds=1", "rig.camera_rate=0"]) == 0
    assert flightlog.read(Path("flight/flight.mcap")).metadata["policy"]["directory"] == str(shipped / "small")
    assert cli.main(["replay", "flight/flight.mcap", "policy=small"]) == 0
    capsys.readouterr()
    assert cli.main(["eval", "policy=smal"]) == 1
    assert "shipped policies are: default, small" in capsys.readouterr().err


def test_what_ships_loads() -> None:
    """Every policy in the repository, as this program is."""
    for name in policies.names():
        artefact.load(policies.locate(name))


def test_the_documents_tell_what_the_results_beside_the_policies_say() -> None:
    told = (policies.SHIPPED / "README.md").read_text(), (policies.SHIPPED.parent / "README.md").read_text()
    for row in policy_table.table()[2:]:
        figures = row.split("|", 2)[2].strip(" |")  # the front page describes its rows in other words
        assert row in told[0] and figures in told[1], row
