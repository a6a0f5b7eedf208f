"""The presets against the tables of the paper (arXiv 1808.00177 v5), figure by figure."""


def test_dactyl_physics_is_table_1(dactyl):
    drawn = {name: (term.draw, term.apply) for name, term in dactyl.physics.items()}
    assert drawn == {
        "object_size": ("uniform(0.95, 1.05)", "scale"),
        "object_mass": ("uniform(0.5, 1.5)", "scale"),
        "robot_mass": ("uniform(0.5, 1.5)", "scale"),
        "friction": ("uniform(0.7, 1.3)", "scale"),
        "joint_damping": ("log_uniform(0.3, 3.0)", "scale"),
        "actuator_gain": ("log_uniform(0.75, 1.5)", "scale"),
        "joint_limits": ("normal(0, 0.15)", "add"),
        "gravity": ("normal(0, 0.4)", "add"),
    }


def test_dactyl_sensing_is_table_7(dactyl):
    millimetre, noise = 0.001, {name: (term.correlated, term.uncorrelated) for name, term in dactyl.sensors.items()}
    assert noise == {
        "fingertip_pos": (1 * millimetre, 2 * millimetre),
        "object_pos": (5 * millimetre, 1 * millimetre),
        "object_quat": (0.1, 0.1),
    }
    assert dactyl.fingertip_marker_noise == 3 * millimetre
    assert dactyl.base_marker_noise == 1 * millimetre


def test_dactyl_acting_is_table_8(dactyl):
    percent = 0.01
    assert dactyl.action.additive == 5 * percent
    assert dactyl.action.correlated == dactyl.action.multiplicative == 1.5 * percent


def test_none_is_nothing(none):
    assert not none.physics and not none.sensors
    assert none.action.additive == none.action.correlated == none.action.multiplicative == 0
    assert none.fingertip_marker_noise == none.base_marker_noise == 0
