"""``inhand doctor``: what this machine can do, and what to install where the main job could not run."""

from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from inhand import probe, report
from inhand.probe import Finding


@dataclass(frozen=True)
class DoctorJob:
    """What to examine and where to report."""

    out: str | None = None
    """File to write the findings to, as JSON."""

    def __post_init__(self) -> None:
        report.check_out(self.out)


def run(job: DoctorJob) -> int:
    """Examines this machine and prints what was found; 1 if the main job could not run on it."""
    findings = examine()
    problems = [each for each in findings if each.ok is False]
    _show(findings)
    for each in problems:
        print(f"{each.topic}: {each.name}: {each.value}\n    to mend it: {each.fix}")
    print("The main job cannot run here." if problems else "The main job can run here.")
    if job.out is not None:
        report.write_json(job.out, _document(findings))
    return 1 if problems else 0


def examine() -> list[Finding]:
    """Everything that was found."""
    return [
        *probe.versions(),
        *probe.machine(),
        *probe.compute(),
        *probe.gpu_physics(),
        probe.rendering(),
        probe.video(),
        probe.messaging(),
        *probe.drivers(),
        *probe.plants(),
        *probe.export(),
    ]


def _show(findings: list[Finding]) -> None:
    table = Table(box=None, show_header=False)
    topic = None
    for each in findings:
        advice = f" ({each.fix})" if each.fix else ""
        text = Text(each.value + advice, style="red" if each.ok is False else "")
        table.add_row(each.topic if each.topic != topic else "", each.name, text)
        topic = each.topic
    report.console().print(table)


def _document(findings: list[Finding]) -> dict[str, object]:
    topics: dict[str, dict[str, object]] = {}
    for each in findings:
        entry = {key: value for key, value in asdict(each).items() if key in ("value", "ok", "fix")}
        topics.setdefault(each.topic, {})[each.name] = entry
    return {"ok": all(each.ok is not False for each in findings), **topics}
