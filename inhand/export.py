"""``inhand export``: a policy as one ONNX file, for runtimes that know nothing of torch."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from inhand import report
from inhand.policies import locate
from policy.onnx import export


@dataclass(frozen=True)
class ExportJob:
    """An export.

    Raises:
        ValueError: if the file could not be written.
    """

    policy: str = MISSING
    """Directory of the policy artefact."""

    out: str = "policy.onnx"
    """File to write the model to, .onnx; the artefact's contract is in its metadata."""

    def __post_init__(self) -> None:
        report.check_out(self.out, suffix=".onnx")


def run(job: ExportJob) -> None:
    """Writes the model, and says how well it does what the artefact does."""
    worst = export(locate(job.policy), Path(job.out))
    size = Path(job.out).stat().st_size / 1e6
    print(f"{job.out}: {size:.1f} MB, one control step, with the recurrent state as input and output")
    if worst is None:
        print("not checked against the policy's golden outputs: .venv/bin/pip install onnxruntime, and export again")
    else:
        print(f"checked in onnxruntime: the policy's golden outputs come out to {worst:.1e}")
