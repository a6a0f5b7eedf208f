#!/usr/bin/env bash
# Everything that has to be measured and trained on one NVIDIA GPU, in about half an hour; results in OUT (default: outputs/gpu).
#   benchmarks/gpu.sh [MINUTES of training]
# Figures and picture that are committed go to benchmarks/results/ and docs/. Needs `pip install -e '.[gpu,plants]'`; with
# MENAGERIE=1, after `mujoco-menagerie prefetch shadow_hand`, the second foreign plant as well.
set -euo pipefail
out=${OUT:-outputs/gpu}
minutes=${1:-15}
results=benchmarks/results
mkdir -p "$out" "$results"
python=${PYTHON:-python}
inhand() { "$python" -m inhand.cli "$@"; }

inhand doctor || true # what is missing for other jobs does not matter here
inhand randomization check preset=dactyl sim.backend=warp

# the environment with the full preset, over the number of worlds; the default is the committed figure
for worlds in 1024 2048 4096 16384 32768; do
    inhand bench sim sim.backend=warp num_envs=$worlds seconds=5 out="$out/sim-$worlds.json"
done
inhand bench sim sim.backend=warp out="$results/h200-sim.json"
"$python" -m benchmarks.scaling "$out"/sim-*.json "$results/h200-sim.json" --out docs/gpu-scaling.png
inhand bench train sim.backend=warp out="$results/h200-train.json"

# a first policy, and its evaluation by MuJoCo itself on our plant and on both foreign ones
inhand train algo=gpu network=dactyl randomization=dactyl run="$out/dactyl" train.steps=0 train.minutes="$minutes"
for plant in shadow gymnasium_robotics ${MENAGERIE:+menagerie}; do
    for randomization in none dactyl; do
        [[ $plant = shadow || $randomization = none ]] || continue
        inhand eval "$out/dactyl/policy" trials=100 plant=$plant randomization=$randomization \
            out="$out/eval-$plant-$randomization.json"
    done
done
# the same policy on the GPU's physics has to score the same
inhand eval "$out/dactyl/policy" trials=100 randomization=none sim.backend=warp out="$out/eval-warp-none.json"
