"""``inhand randomization``: tables of presets."""

import json

from inhand.cli import main


def test_show_lists_every_term(capsys, tmp_path):
    assert main(["randomization", "show", "dactyl", f"out={tmp_path / 'terms.json'}"]) == 0
    printed = capsys.readouterr().out
    terms = json.loads((tmp_path / "terms.json").read_text())["terms"]
    assert "physics.gravity" in printed and "unbounded" in printed
    assert {"physics.friction", "sensors.occlusion", "actions.gain", "backlash", "force", "timing"} <= {
        term["term"] for term in terms
    }


def test_preset_is_another_word_for_the_group(capsys):
    assert main(["randomization", "preset=none"]) == 0
    assert "nothing is randomized" in capsys.readouterr().out
    assert main(["randomization", "show", "preset=dactil"]) == 2
    assert "did you mean 'dactyl'" in capsys.readouterr().err
    assert main(["randomization", "shw"]) == 2
    assert "allowed: show, check" in capsys.readouterr().err


PRESET = """
name: mine
physics:
  springs: {fields: [tendon_lengthspring], of: robot, draw: "uniform(1, 2)", apply: add}
"""


def test_check_fails_on_a_term_without_effect_in_a_preset_of_ones_own(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("sim.term_check.WORLDS", 8)
    (tmp_path / "randomization").mkdir()
    (tmp_path / "randomization" / "mine.yaml").write_text(PRESET)
    arguments = ["check", "preset=mine", "worlds=100", "threads=1", "--config-dir", str(tmp_path)]
    assert main(["randomization", *arguments]) == 1
    assert "physics.springs has no effect" in capsys.readouterr().out
