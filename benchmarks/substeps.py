"""The sub-step study: what each setting of the physics costs, and what it changes against a 2 ms reference.

``python -m benchmarks.substeps [FOLDER]`` measures all settings and writes ``substeps.json``, ``substeps.md`` with its
tables and ``substeps.png`` into FOLDER, by default docs/; it takes about a quarter of an hour on one core.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import mujoco
import numpy as np
from matplotlib.figure import Figure
from mujoco import batch

from benchmarks import fidelity
from inhand import report
from robot.hand import CONTROL_PERIOD
from sim.scene import SceneConfig, build_spec

TOLERANCES = {
    "drift_mm": 1.0,
    "penetration_mm": 1.0,
    "closing_N": 0.10,
    "holding_N": 0.05,
    "slope_least": 0.05,
    "slope_most": 0.05,
    "creep_mm": 0.5,
    "slide_share": 0.25,
    "moving_N": 0.25,
    "moving_penetration_mm": 2.5,
    "lead_rad": 0.035,
    "diverged": 0.0,
    "apart_mm": 5.0,
    "apart_rad": 0.14,
    "apart_joints_rad": 0.02,
}
"""What the task asks, not what was found.

Forces of fingers that are ordered to press: share of the reference's. Slopes: share of Coulomb's. The block at rest: in
ten seconds. The flat block: in 0.4 s, on a slope 5 % below Coulomb's and on one 5 % above it, where a quarter of
Coulomb's way means 1.2 % of friction. The lead of a distal joint: 2°. Roll-outs: how far they are apart after half a
second, at most what D18's policy does not know of the block's pose (its Table 7: 5 mm, and 0.1 rad twice), and 0.02 rad
in the joints; the force on the block, share of the reference's, by what D18 randomizes the servos' gains downwards
(Table 1: x 0.75); its penetration, half of the 5 mm.
"""

RELATIVE = ("closing_N", "holding_N", "moving_N")
COULOMB = ("slope_least", "slope_most", "slide_share")
WORLDS, STEPS = 64, 6
"""Roll-outs that are compared, and their control steps: half a second."""

TIMED_ROUNDS = 12


@dataclass(frozen=True)
class Setting:
    """A way to integrate the scene."""

    name: str
    scene: SceneConfig = field(default_factory=SceneConfig)
    options: dict[str, float] = field(default_factory=dict)
    """MuJoCo options that ``SceneConfig`` does not have."""
    edit: Callable[[mujoco.MjSpec], None] | None = None
    """A change of the hand: a reason to model it otherwise, but no setting of integration and solver."""

    def spec(self) -> mujoco.MjSpec:
        """The scene with it."""
        spec = build_spec(self.scene)
        for name, value in self.options.items():
            setattr(spec.option, name, value)
        if self.edit is not None:
            self.edit(spec)
        return spec

    def model(self) -> mujoco.MjModel:
        """The compiled scene."""
        return self.spec().compile()


def _rough_links(spec: mujoco.MjSpec) -> None:
    """Friction between the links of the hand."""
    for geom in spec.geoms:
        geom.condim = 4


def _smooth_joints(spec: mujoco.MjSpec) -> None:
    for joint in spec.joints:
        joint.frictionloss = 0.0


def _baseline(timestep: float, integrator: str = "implicitfast") -> SceneConfig:
    return SceneConfig(timestep=timestep, integrator=integrator, tolerance=1e-8, islands=True)


REFERENCE = Setting("2 ms, finely solved", SceneConfig(0.002, "implicitfast", iterations=100, tolerance=1e-10))
BASELINE = Setting("implicitfast 8 ms", _baseline(0.008))
DEFAULT = Setting("discrete 20 ms")
SETTINGS = (
    REFERENCE,
    Setting("the same, 1 ms", SceneConfig(0.001, "implicitfast", iterations=100, tolerance=1e-10)),
    Setting("the same, discrete", SceneConfig(0.002, "discrete", iterations=100, tolerance=1e-10)),
    BASELINE,
    Setting("euler 8 ms", _baseline(0.008, "euler")),
    *(Setting(f"implicitfast {1e3 * h:.0f} ms", _baseline(h)) for h in (0.010, 0.016, 0.020)),
    *(Setting(f"discrete {1e3 * h:.3g} ms", SceneConfig(h)) for h in (0.008, 0.010, 0.016)),
    DEFAULT,
    Setting("discrete 26.7 ms", SceneConfig(0.08 / 3)),
    Setting("20 ms, islands", SceneConfig(islands=True)),
    *(Setting(f"20 ms, tolerance {x}", SceneConfig(tolerance=float(x))) for x in ("1e-8", "1e-5", "1e-3", "1e-2")),
    Setting("20 ms, 8 iterations", SceneConfig(iterations=8)),
    Setting("20 ms, 3 iterations", SceneConfig(iterations=3)),
    Setting("20 ms, 4 line searches", options={"ls_iterations": 4}),
    Setting("20 ms, conjugate gradient", options={"solver": int(mujoco.mjtSolver.mjSOL_CG)}),
    Setting("20 ms, dense", options={"jacobian": int(mujoco.mjtJacobian.mjJAC_DENSE)}),
    Setting("20 ms, impratio 1", SceneConfig(impratio=1.0)),
    Setting("20 ms, pyramidal", SceneConfig(elliptic=False, impratio=1.0)),
    Setting("20 ms, pyramidal, impratio 10", SceneConfig(elliptic=False)),
    Setting("20 ms, rough links", edit=_rough_links),
    Setting("20 ms, no joint friction", edit=_smooth_joints),
)
"""Where nothing else is said, that of ``SceneConfig``: sub-steps of 20 ms, discrete, to a tolerance of 1e-4."""

COLUMNS = {
    "speed": "{x_baseline:.2f}",
    "drift": "{drift_mm:.2f}",
    "sinking": "{penetration_mm:.2f}",
    "closing": "{closing_N:.2f}",
    "holding": "{holding_N:.2f}",
    "slope": "{slope_least:.2f}–{slope_most:.2f}",
    "creep": "{creep_mm:.2f}",
    "slide": "{slide_share:.2f}",
    "lead": "{lead_rad:.3f}",
    "diverged": "{diverged}",
    "apart": "{apart_mm:.1f}, {apart_rad:.2f}, {apart_joints_rad:.3f}",
    "grip": "{moving_N:.1f}",
    "depth": "{moving_penetration_mm:.1f}",
    "not kept": "{violated}",
}
"""The columns of the table: how each is written."""

PREFACE = f"""# The sub-step study

Written by `python -m benchmarks.substeps`; [physics.md](physics.md) explains it.

"20 ms, …" is the default, {DEFAULT.name}, but for what is named. Speed is a multiple of that of {BASELINE.name}.
Lengths are in mm, forces in N, lead in rad; slope and slide are shares of Coulomb's; apart: the block in mm, the block
in rad, the joints in rad.
"""


def main(folder: Path) -> None:
    """Measures everything."""
    reference = REFERENCE.model()
    scene = fidelity.scenario(reference, WORLDS, STEPS, CONTROL_PERIOD)
    path = fidelity.play(reference, scene, CONTROL_PERIOD)[-1]
    rows = {}
    for setting in SETTINGS:
        rows[setting.name] = _figures(setting, scene, path)
        print(setting.name, rows[setting.name], flush=True)
    rates = _rates(scene)
    for name, row in rows.items():
        row |= rates[name]
        row["violated"] = ", ".join(_violated(row, rows[REFERENCE.name])) or "none"
    spread = _spread(reference, scene, path)
    report.write_json(folder / "substeps.json", {"tolerances": TOLERANCES, "spread": spread, "settings": rows})
    (folder / "substeps.md").write_text(_tables(rows, spread), encoding="utf-8")
    _plot(rows, folder / "substeps.png")


def _figures(setting: Setting, scene: fidelity.Scenario, path: np.ndarray) -> dict[str, float]:
    model = setting.model()
    end = fidelity.play(model, scene, CONTROL_PERIOD)[-1]
    figures = fidelity.at_rest(model) | fidelity.pressed(setting.spec()) | fidelity.coupling(model)
    figures |= fidelity.apart(model, path, end) | fidelity.moving(model, scene, CONTROL_PERIOD)
    figures |= fidelity.sliding(setting.model()) | fidelity.flat(setting.spec())
    episodes = 1 if setting.scene.timestep < 0.008 else 8
    return figures | fidelity.diverged(setting.model(), WORLDS, episodes, CONTROL_PERIOD)


def _rates(scene: fidelity.Scenario) -> dict[str, dict[str, float]]:
    """Control steps that one core simulates per second, by its processor time, and how many times ``BASELINE``'s.

    All play the same roll-outs in turns, step by step, so that a change of the machine's speed meets them all.
    """
    worlds = len(scene.states)
    batches = {each.name: batch.Batch(each.model(), nsim=worlds, nthread=1, persistent=True) for each in SETTINGS}
    substeps = {each.name: round(CONTROL_PERIOD / each.scene.timestep) for each in SETTINGS}
    seconds: dict[str, list[float]] = {each.name: [] for each in SETTINGS}
    for _ in range(TIMED_ROUNDS):
        for targets in scene.targets:
            for name, each in batches.items():
                if targets is scene.targets[0]:
                    each.state[:] = scene.states
                each.bind("ctrl")[:] = targets
                begin = time.thread_time()
                each.step(nstep=substeps[name])
                seconds[name].append((time.thread_time() - begin) / worlds)
    return {
        name: {
            "control_steps_per_s": 1.0 / statistics.median(times),
            "substep_us": 1e6 * statistics.median(times) / substeps[name],
            "x_baseline": statistics.median(b / t for b, t in zip(seconds[BASELINE.name], times, strict=True)),
        }
        for name, times in seconds.items()
    }


def _violated(row: dict[str, float], reference: dict[str, float]) -> list[str]:
    """The tolerances that a setting does not keep."""
    broken = []
    for name, most in TOLERANCES.items():
        off = row[name]
        if name in RELATIVE:
            off = abs(row[name] / reference[name] - 1.0)
        elif name in COULOMB:
            off = abs(row[name] - 1.0)
        if off > most:
            broken.append(name)
    return broken


def _spread(model: mujoco.MjModel, scene: fidelity.Scenario, path: np.ndarray) -> dict[str, dict[str, float]]:
    """How far apart roll-outs of the reference are that differ a little, to compare with."""
    nudged, heavier = scene.states.copy(), REFERENCE.model()
    first = 1  # a state begins with the time
    nudged[:, first : first + model.nq] += 1e-6 * np.random.default_rng(0).standard_normal((len(nudged), model.nq))
    heavier.actuator_gainprm[:, 0] *= 1.1
    heavier.actuator_biasprm[:, 1] *= 1.1
    others = {
        "positions off by 1e-6": fidelity.play(model, fidelity.Scenario(nudged, scene.targets), CONTROL_PERIOD)[-1],
        "servos 10 % stiffer": fidelity.play(heavier, scene, CONTROL_PERIOD)[-1],
    }
    return {name: fidelity.apart(model, path, other) for name, other in others.items()}


def _tables(rows: dict[str, dict[str, float]], spread: dict[str, dict[str, float]]) -> str:
    """All rows in Markdown: the settings, the changes of the hand, and how far the reference strays from itself."""
    parts = [PREFACE]
    for title, changes in (("Settings", False), ("Changes of the hand, which are no settings", True)):
        chosen = [each.name for each in SETTINGS if (each.edit is not None) == changes]
        lines = [[name, *(form.format(**rows[name]) for form in COLUMNS.values())] for name in chosen]
        parts.append(f"## {title}\n\n{_table(['setting', *COLUMNS], lines)}")
    lines = [[name, COLUMNS["apart"].format(**row)] for name, row in spread.items()]
    parts.append(f"## The reference, changed a little\n\n{_table(['change', 'apart'], lines)}")
    return "\n".join(parts)


def _table(heads: list[str], lines: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, ["---"] * len(heads), *lines))


def _plot(rows: dict[str, dict[str, float]], path: Path) -> None:
    """Speed against how far roll-outs go astray; settings that keep all tolerances are filled."""
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    axes = figure.subplots()
    shown = {name: row for name, row in rows.items() if row["apart_mm"] > 0.0}
    for number, (name, row) in enumerate(shown.items(), start=1):
        place = row["x_baseline"], row["apart_mm"]
        color = "tab:green" if row["violated"] == "none" else "tab:red"
        axes.plot(*place, "o", color=color, label=f"{number:2} {name}")
        # neighbours' numbers go to different sides
        axes.annotate(
            str(number), place, [(5, 3), (-11, 3), (5, -9)][number % 3], textcoords="offset points", fontsize=8
        )
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False, handletextpad=0.1)
    axes.axhline(TOLERANCES["apart_mm"], color="grey", linestyle=":")
    axes.set(xlabel=f"control steps per second, times those of {BASELINE.name}", xscale="log", yscale="log")
    axes.set_ylabel("block's distance from the 2 ms reference after 0.5 s [mm], median")
    axes.set_title("green: within all tolerances; red: not")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
