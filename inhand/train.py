"""``inhand train``: a training run, or a recipe's chain of them."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from inhand.recipe import run_recipe
from inhand.training import TrainJob, run_training, show_result
from policy import parallel
from policy.checkpoint import find
from policy.layout import CHECKPOINTS


def run(job: TrainJob) -> int:
    """Trains, exports the policy, prints what came of it and, with ``out``, writes it as JSON."""
    _refuse_other_use(job)
    if job.recipe.stages:
        return run_recipe(job, list(HydraConfig.get().overrides.task))
    with parallel.group():
        result = run_training(job)
        if parallel.rank() == 0:
            show_result(job, result)
    return 130 if result.interrupted else 0


def _refuse_other_use(job: TrainJob) -> None:
    """A recipe and a single run do not share a directory: each would take the place of the other's policy."""
    directory = Path(job.run)
    if job.recipe.stages and find(directory / CHECKPOINTS):
        raise ValueError(f"run={job.run} holds a single run; give the recipe another directory")
    stages = sorted(path.parent.name for path in directory.glob(f"*/{CHECKPOINTS}"))
    if stages and not job.recipe.stages:
        raise ValueError(
            f"run={job.run} holds other runs ({', '.join(stages)}); give another directory, or, "
            "if they are the stages of a recipe, name it: recipe=NAME resume=true"
        )
