import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from inhand import report


@dataclass
class Row:
    name: str
    value: float


def test_json_holds_dataclasses_and_arrays(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    report.write_json(out, {"row": Row("a", 1.5), "list": np.arange(3), "number": np.float32(0.5)})
    assert json.loads(out.read_text()) == {"row": {"name": "a", "value": 1.5}, "list": [0, 1, 2], "number": 0.5}


@pytest.mark.parametrize("bad", [math.nan, math.inf, object()])
def test_what_json_cannot_hold_leaves_the_old_file_whole(tmp_path: Path, bad: object) -> None:
    out = tmp_path / "report.json"
    report.write_json(out, {"run": 1})
    with pytest.raises((ValueError, TypeError)):
        report.write_json(out, {"run": bad})
    assert json.loads(out.read_text()) == {"run": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_report_that_could_not_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    report.check_out(None)
    report.check_out(str(tmp_path / "new.json"))
    with pytest.raises(ValueError, match="is a directory"):
        report.check_out(str(tmp_path))
    with pytest.raises(ValueError, match="missing is not a directory"):
        report.check_out(str(tmp_path / "missing" / "new.json"))


def test_a_file_of_another_kind_is_refused_before_the_work(tmp_path: Path) -> None:
    report.check_out(str(tmp_path / "new.MP4"), "video", ".mp4")
    with pytest.raises(ValueError, match=r"video=.*new\.avi: the name of the file must end in \.mp4"):
        report.check_out(str(tmp_path / "new.avi"), "video", ".mp4")


def test_the_table_shows_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    report.show(
        "Speed", [{"what": "steps/s", "value": 1234.5678, "kept": True}, {"what": "[x]", "value": 2, "kept": None}]
    )
    text = capsys.readouterr().out
    assert "Speed" in text
    assert "1235" in text
    assert "yes" in text
    assert "[x]" in text
