import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore

from inhand import cli
from inhand.verbs import VERBS, Verb
from randomization.config import RandomizationConfig

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Motor:
    """Frozen, as configurations in the rooms may be."""

    gain: float = 1.0
    """Newton metres per radian."""
    limits: tuple[float, float] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        if self.gain <= 0.0:
            raise ValueError(f"gain is {self.gain}; it must be positive")


@dataclass
class TurnConfig:
    log: str
    """Which log."""
    turns: int = 2
    fast: bool = False
    fail: str = "no"
    motor: Motor = field(default_factory=Motor)
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)


SEEN: list[TurnConfig] = []


def turn(config: TurnConfig) -> int:
    SEEN.append(config)
    if config.fail == "user":
        raise FileNotFoundError(f"no log {config.log}")
    if config.fail == "bug":
        raise KeyError("a bug")
    if config.fail == "interrupt":
        raise KeyboardInterrupt
    return 0


TURN = Verb(help="turns", function=f"{__name__}:turn", example="inhand turn a.mcap turns=3", arguments=("log",))
DEFAULTS = ["turn_schema", "shell", {"randomization": "none"}, "_self_"]


@pytest.fixture(autouse=True)
def _turn_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ConfigStore.instance().store(name="turn", node={"defaults": DEFAULTS})
    monkeypatch.setitem(VERBS, "turn", TURN)
    monkeypatch.setitem(sys.modules, __name__, sys.modules[turn.__module__])
    monkeypatch.chdir(tmp_path)
    SEEN.clear()


def failure(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """The one line with which a command line fails."""
    assert cli.main(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.strip()


def test_help_lists_every_verb_with_its_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert f"  {name} " in text
        assert verb.help in text
        assert verb.example in text


def test_help_imports_nothing_slow() -> None:
    code = "import sys; from inhand.cli import main; main(['--help']); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    modules = run.stdout.splitlines()[-1].split()  # after the help, which may speak of torch
    assert "inhand.cli" in modules
    assert {"torch", "mujoco", "hydra", "numpy", "rich"}.isdisjoint(modules)


def test_only_a_video_needs_what_draws() -> None:
    code = "import sys; from inhand.verbs import VERBS; [v.load() for v in VERBS.values()]; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {"sim.camera", "sim.video", "imageio"}.isdisjoint(run.stdout.split())


def test_help_of_a_verb_explains_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["turn", "--help"]) == 0
    text = capsys.readouterr().out
    assert "usage: inhand turn LOG" in text
    assert TURN.example in text
    assert "log (str, to be given)\n      Which log." in text
    assert "motor.gain (float, 1.0)\n      Newton metres per radian." in text
    assert "randomization=adr|dactyl|dactyl_no_observation_noise" in text
    assert SEEN == []


def test_a_verb_gets_its_typed_configuration(tmp_path: Path) -> None:
    assert cli.main(["turn", "a b's,(c).mcap", "turns=3", "motor.limits=[-2,2]", "randomization=dactyl"]) == 0
    (config,) = SEEN
    assert (config.log, config.turns) == ("a b's,(c).mcap", 3)
    assert config.motor == Motor(limits=(-2.0, 2.0))
    assert config.randomization.physics["object_mass"].draw == "uniform(0.5, 1.5)"
    assert list(tmp_path.iterdir()) == []  # Hydra writes nothing of its own
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--log", "a", "--turns", "3", "--motor.gain", "2"],
        ["--log=a", "--turns=3", "motor.gain=2"],
        ["--turns", "3", "a", "--randomization", "dactyl"],
        ["--preset=dactyl", "a", "turns=3"],
        ["-m", "a", "--turns", "3"],
        ["--multirun", "--turns", "3", "a"],
        ["a", "-m", "turns=3"],
    ],
)
def test_a_key_may_be_given_as_a_flag(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERBS, "turn", replace(TURN, synonyms={"preset": "randomization"}))
    assert cli.main(["turn", *arguments]) == 0
    (config,) = SEEN
    assert (config.log, config.turns) == ("a", 3)
    assert config.motor.gain == (2.0 if any("gain" in each for each in arguments) else 1.0)
    assert config.randomization.name == ("dactyl" if any("dactyl" in each for each in arguments) else "none")


def test_a_sweep_runs_every_value() -> None:
    assert cli.main(["turn", "log=a", "turns=1,2,3", "-m"]) == 0
    assert [config.turns for config in SEEN] == [1, 2, 3]


def test_what_reads_help_may_stop_reading() -> None:
    program = [sys.executable, "-m", "inhand.cli", "train", "--help"]
    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_hydra_prints_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["turn", "a", "--cfg", "job"]) == 0
    assert "turns: 2" in capsys.readouterr().out
    assert cli.main(["turn", "--turns=4", "--log", "a", "--cfg=job"]) == 0
    assert "turns: 4" in capsys.readouterr().out
    assert cli.main(["train", "--run", "elsewhere", "--cfg", "job"]) == 0  # Hydra has a flag of this name, too
    assert "run: elsewhere" in capsys.readouterr().out
    assert SEEN == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trun"], "inhand: unknown verb 'trun'; did you mean 'turn'?"),
        (["turn", "a", "turn=3"], "unknown key 'turn'; did you mean 'turns'?"),
        (["turn", "a", "gain=3"], "unknown key 'gain'; did you mean 'motor.gain'?"),
        (["turn", "a", "motor.gian=3"], "unknown key 'motor.gian'; did you mean 'motor.gain'?"),
        (["turn", "a", "+turms=3"], "unknown key 'turms'; did you mean 'turns'?"),
        (["turn", "a", "randomisation=none"], "unknown key 'randomisation'; did you mean 'randomization'?"),
        (["turn", "a", "randomization=dactil"], "randomization: unknown option 'dactil'; did you mean 'dactyl'?"),
        (["turn", "a", "turns=two"], "turns='two' is not of type int; valid, and the default: turns=2"),
        (["turn", "a", "fast=yess"], "fast='yess' is not of type bool; valid, and the default: fast=false"),
        (["turn", "a", "qqqq=3"], "unknown key 'qqqq'; allowed: log, turns, "),
        (
            ["train", "qqqq=3"],
            "task, randomization, train, sim, recipe, out, algo, curriculum, network",
        ),
        (["train", "task.action.bins=0", "network.action_std=0.1"], "unknown key 'network.action_std'; did you mean"),
        (["bench", "policy", "task.action.bins=0"], "bench policy compares learners of classes: 2 or more"),
        (["turn", "a", "motor=3"], "motor is a section, not a value; its keys: motor.gain, motor.limits"),
        (["turn", "a", "turns=1,2"], "a sweep needs --multirun"),
        (["turn", "a", "turns=1,two", "-m"], "turns='two' is not of type int"),
        (["turn", "a", "motor.gain=-1"], "motor: gain is -1.0; it must be positive"),
        (["turn", "a", "motor.limits=[1,2,3]"], "motor.limits: Expected `array` of length 2, got 3"),
        (["turn", "a", "fail='"], "the value of fail cannot be read"),
        (["turn", "a", "--turn=3"], "unknown key 'turn'; did you mean 'turns'?"),
        (["turn", "a", "--turn", "3"], "unknown key 'turn'; did you mean 'turns'?"),
        (["turn", "a", "--gain"], "unknown key 'gain'; did you mean 'motor.gain'?"),
        (["turn", "a", "--turns"], "--turns has no value"),
        (["turn", "a", "--turns", "--fast=true"], "--turns has no value"),
        (["turn", "a", "--turns=two"], "turns='two' is not of type int"),
        (["turn", "a", "-t"], "unrecognized arguments: -t (keys are given as key=value, --key=value or --key value)"),
        (["turn", "a", "turns=3e6"], "turns is a whole number; write it without a point or an exponent: turns=3000000"),
        (["turn", "a", "log=b"], "log is given twice: a and log="),
        (["turn"], "log is missing; give it as log=VALUE"),
        (["train", "task.policy_observation=[]"], "an observation has no fields; known: fingertip_pos"),
        (["train", "physics_threads=-1"], "physics_threads is -1; allowed: 0 or more"),
        (["doctor", "quick"], "'quick' is not of the form key=value"),
        (["doctor", "out=/nowhere/at/all.json"], "/nowhere/at is not a directory"),
        (["train", "out=/nowhere/at/all.json"], "out=/nowhere/at/all.json: /nowhere/at is not a directory"),
        (["eval", "policy", "video=trial.gif"], "video=trial.gif: the name of the file must end in .mp4"),
        (["replay", "log", "video=/nowhere/at/all.mp4"], "video=/nowhere/at/all.mp4: /nowhere/at is not a directory"),
    ],
)
def test_a_wrong_command_line_ends_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in failure(capsys, *arguments)
    assert SEEN == []


def test_an_error_of_the_world_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure(capsys, "turn", "a", "fail=user", status=1) == "inhand turn: no log a"


def test_an_interruption_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure(capsys, "turn", "a", "fail=interrupt", status=130) == "inhand turn: interrupted"


def test_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["turn", "a", "fail=bug"])
    assert stop.value.code == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert 'raise KeyError("a bug")' in text


def test_the_process_ends_with_the_status_and_no_traceback() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "inhand.cli", "doctor", "ot=x"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.returncode == 2
    assert run.stderr == "inhand doctor: unknown key 'ot'; did you mean 'out'?\n"


def test_every_verb_composes_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for name, verb in VERBS.items():
        assert cli.main([name, "--help"]) == 0
        assert verb.example in capsys.readouterr().out
