"""Every suite of the benchmark measures and writes what it promises."""

import json
from pathlib import Path

import pytest

from inhand import cli
from inhand.bench import SUITES, BenchJob
from sim.backend import SimConfig

PROMISED = {
    "sim": {
        *("control_steps_per_s", "sim_years_per_hour", "sim_years_per_core_hour", "x_batch", "x_dactyl_core"),
        *("control_steps_per_s_1_threads", "bare_control_steps_per_s", "x_batch_q3"),
    },
    "policy": {
        *("samples_per_s", "float32_samples_per_s", "learn_share", "simulation_share", "inference_share"),
        *("inference_p99_ms", "small_inference_p50_ms"),
    },
    "train": {"sim_years_per_hour_learning", "learn_share", "simulation_share", "inference_share"},
    "bridge": {"hop_p50_us", "hop_p99_us", "messages"},
}


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_writes_its_figures(suite: str, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    assert cli.main(["bench", suite, "seconds=0.2", "num_envs=8", "threads=2", "peers=false", f"out={out}"]) == 0
    figures = json.loads(out.read_text())
    assert figures["suite"] == suite
    assert figures["machine"]["processor"]
    assert all(figures[name] > 0.0 for name in PROMISED[suite])
    if suite == "sim":  # 80 ms a step, 8766 hours a year, on two cores
        assert figures["sim_years_per_hour"] == pytest.approx(figures["control_steps_per_s"] * 0.08 / 8766)
        assert figures["sim_years_per_core_hour"] == pytest.approx(figures["sim_years_per_hour"] / 2)


@pytest.mark.parametrize("wrong", [{"suite": "speed"}, {"seconds": 0.0}, {"num_envs": -1}, {"threads": -1}])
def test_a_wrong_job_is_an_error_that_names_the_value(wrong: dict) -> None:
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        BenchJob(**wrong)


@pytest.mark.slow
def test_the_gpu_back_end_is_measured_too(tmp_path: Path) -> None:
    pytest.importorskip("mujoco_warp", reason="needs the extra gpu")
    out = tmp_path / "bench.json"
    arguments = ["seconds=0.1", "num_envs=4", "sim.backend=warp", "sim.device=cpu", f"out={out}"]
    assert cli.main(["bench", "sim", *arguments]) == 0
    figures = json.loads(out.read_text())
    assert figures["sim_years_per_hour"] > 0.0
    assert 0.0 < figures["graph_share"] < 1.0
    assert figures["worlds"] == 4 and figures["gpu"] == "none"


def test_a_suite_without_worlds_refuses_a_gpu() -> None:
    with pytest.raises(ValueError, match="only sim and train run with sim"):
        BenchJob(suite="policy", sim=SimConfig("warp"))
