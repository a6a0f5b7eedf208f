"""Imperfections where they act: pushes move the block, added time passes, hidden markers freeze, motors get what slack
leaves, and the successes of boundary worlds reach their queues. All against mechanics and D18's formulas by hand."""

import json
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from randomization.adr import NO_BOUNDARY, ADRConfig
from randomization.config import RandomizationConfig
from randomization.terms import ActionTerm, BacklashTerm, ForceTerm, PhysicsTerm, SensorTerm, TimingTerm
from robot import hand
from robot.observation import HIDDEN
from sim.env import ReorientEnv
from sim.reset import ResetConfig
from sim.task import TaskConfig
from tests.sim.cpu import cpu

PERIOD = 0.08
GRAVITY = np.array([0.0, 0.0, -9.81])
HIGH = (0.0, -3.0, 0.32)
"""Far above the palm [m, base frame]: up is -y."""
ASIDE = (0.4, 0.3, 0.3)
"""Below the palm, past the hand."""


def make(config: RandomizationConfig, n: int, reset: ResetConfig | None = None) -> ReorientEnv:
    task = TaskConfig(reset=reset or ResetConfig(cache=0))
    task.critic_observation += HIDDEN
    return ReorientEnv(task, config, n, seed=0, threads=1)


def put(env: ReorientEnv, worlds: list[int], pos: tuple[float, float, float]) -> None:
    """Holds blocks in the air, turned as they are."""
    ids = torch.tensor(worlds)
    env.physics.set_block(ids, torch.tensor([pos] * len(ids)), env.measurement["object_quat"][worlds])
    env.physics.forward(ids)


def still(env: ReorientEnv) -> torch.Tensor:
    return torch.zeros(env.num_envs, hand.NUM_ACTUATORS)


def block_velocity(env: ReorientEnv) -> np.ndarray:
    """Of the blocks' centres, (n, 3) [m/s, world]; the linear velocity of a free joint is given in the world frame."""
    start = int(env.physics.model.joint("block").dofadr[0])
    return cpu(env).batch.bind("qvel")[:, start : start + 3].copy()


def elapsed(env: ReorientEnv) -> np.ndarray:
    """Simulated time [s] since the last reset of each world, (n,)."""
    return cpu(env).batch.bind("time").reshape(-1).copy()


MASS = PhysicsTerm(["body_mass", "body_inertia"], "uniform(0.5, 1.5)", of="object", per="group")
PUSHES = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, -5.0, 0.0], [1.0, 2.0, 4.0]])


@pytest.mark.parametrize("physics", [{}, {"object_mass": MASS}], ids=["one mass", "masses"])
def test_a_push_accelerates_the_block_of_its_world_and_nothing_else(physics):
    n = len(PUSHES)
    env = make(RandomizationConfig(physics=physics, force=ForceTerm("constant(0)", decay=1.0)), n)
    env.reset()
    block = env.physics.model.body("block").id
    masses = [cpu(env).batch.get_model(i).body_mass[block] for i in range(n)]
    assert (len(set(masses)) == n) == bool(physics)
    # the same hand everywhere, so that only a push could make it move otherwise
    cpu(env).batch.state[:] = cpu(env).batch.state[0]
    put(env, list(range(n)), HIGH)
    env.measurement = env.physics.measure()
    env.path.reset(torch.arange(n), hand.actuator_pos(env.measurement["joint_pos"]))
    assert env.force is not None
    env.force.acceleration.copy_(torch.from_numpy(PUSHES))
    for k in range(1, 4):
        env.step(still(env))
        np.testing.assert_allclose(block_velocity(env), (GRAVITY + PUSHES) * k * PERIOD, atol=1e-5)
    assert float(env.measurement["object_angvel"].abs().max()) < 1e-5  # pushes go through the centre
    joints = env.measurement["joint_pos"]
    torch.testing.assert_close(joints, joints[:1].expand(n, -1), atol=1e-5, rtol=0)


def test_a_push_fades_as_steps_pass_and_ends_with_its_episode():
    env = make(RandomizationConfig(force=ForceTerm("constant(0)", decay=0.5)), 2)
    env.reset()
    put(env, [0, 1], HIGH)
    assert env.force is not None
    env.force.acceleration[:] = torch.tensor([8.0, 0.0, 0.0])
    env.step(still(env))
    env.step(still(env))
    np.testing.assert_allclose(block_velocity(env)[:, 0], (4.0 + 2.0) * PERIOD, atol=1e-5)
    put(env, [0], ASIDE)
    assert env.step(still(env)).terminated.tolist() == [True, False]
    put(env, [0, 1], HIGH)
    env.step(still(env))
    np.testing.assert_allclose(block_velocity(env)[:, 0], [0.0, 0.5 * PERIOD], atol=1e-5)


def test_steps_last_longer_and_settling_does_not(monkeypatch):
    n, steps, mean = 24, 5, 0.0004
    reset = ResetConfig(cache=0)
    env = make(RandomizationConfig(timing=TimingTerm(f"constant({mean})")), n, reset)
    assert env.timing is not None
    draw, drawn = env.timing.step, []
    monkeypatch.setattr(env.timing, "step", lambda: drawn.append(draw()) or drawn[-1])
    env.reset()
    settled = elapsed(env)
    np.testing.assert_allclose(settled, reset.settle_time, atol=1e-9)
    put(env, list(range(n)), HIGH)
    for _ in range(steps):
        env.step(still(env))
    lasted = elapsed(env) - settled
    added = lasted - steps * PERIOD
    np.testing.assert_allclose(added, torch.stack(drawn).sum(0), atol=1e-6)
    # ten exponential times of 8 ms in each step
    assert stats.kstest(added, stats.gamma(10 * steps, scale=mean).cdf).pvalue > 0.001
    np.testing.assert_allclose(block_velocity(env)[:, 2], -9.81 * lasted, rtol=1e-5)  # the world moved for as long

    put(env, [3], ASIDE)
    assert env.step(still(env)).done.nonzero().tolist() == [[3]]
    now = elapsed(env) - settled
    assert now[3] == pytest.approx(0.0, abs=1e-9)
    others = np.delete(np.arange(n), 3)
    np.testing.assert_allclose(now[others], (lasted + PERIOD + drawn[-1].numpy())[others], atol=1e-6)


OCCLUSION = {"occlusion": SensorTerm("occlusion", ["fingertip_pos"], "constant(1)")}


def tips(env: ReorientEnv, observation: torch.Tensor) -> torch.Tensor:
    """The fingertips of an observation, with which both contracts begin, (n, 5, 3)."""
    return observation[:, :15].view(env.num_envs, 5, 3)


def exact_tips(env: ReorientEnv, world: int) -> np.ndarray:
    """Fingertip markers in the base frame, by MuJoCo's kinematics, (5, 3)."""
    model, data = env.physics.model, cpu(env).batch.get_data(world)
    mujoco.mj_kinematics(model, data)
    base = data.body("rh_forearm")
    return np.array([(data.site(name).xpos - base.xpos) for name in hand.FINGERTIP_MARKERS]) @ base.xmat.reshape(3, 3)


def lay_on_nail(env: ReorientEnv, world: int, finger: int, side: float) -> None:
    """Puts a block 1 mm over the marker on a nail, an edge of it 4 mm past the middle, towards a ``side`` (±1)."""
    half, pose = 0.0275, env.measurement
    turn = Rotation.from_quat(pose["fingertip_quat"][world, finger].numpy(), scalar_first=True)
    centre = pose["fingertip_pos"][world, finger].numpy() + turn.apply([side * (half - 0.004), half + 0.001, 0.0])
    quat = torch.from_numpy(turn.as_quat(scalar_first=True)).float()
    env.physics.set_block(torch.tensor([world]), torch.from_numpy(centre).float()[None], quat[None])
    env.physics.forward(torch.tensor([world]))


@pytest.mark.parametrize(("finger", "side"), [(0, 1.0), (3, -1.0), (4, 1.0)])
def test_a_marker_behind_the_block_freezes_for_the_policy_alone(finger, side):
    env = make(RandomizationConfig(sensors=OCCLUSION), 2)
    env.reset()
    cpu(env).batch.expand("opt.gravity")[:] = 0.0  # the block stays where it is put
    creep = still(env)
    creep[:, hand.ACTUATOR_NAMES.index("rh_A_WRJ1")] = 0.01  # all fingertips move by a fraction of a millimetre
    before = env.step(creep).observation
    touched = env.physics.touched()
    assert touched is not None and not touched.any()
    assert torch.equal(tips(env, before.policy), tips(env, before.critic))
    last, others = tips(env, before.policy)[0, finger], [i for i in range(5) if i != finger]
    critic = tips(env, before.critic)
    for _ in range(4):
        lay_on_nail(env, 0, finger, side)
        observation = env.step(creep).observation
        touched = env.physics.touched()
        assert touched is not None and touched.nonzero().tolist() == [[0, finger]]
        policy, critic = tips(env, observation.policy), tips(env, observation.critic)
        for world in (0, 1):
            np.testing.assert_allclose(critic[world], exact_tips(env, world), atol=1e-6)
        assert torch.equal(policy[0, finger], last)
        assert torch.equal(policy[0, others], critic[0, others]) and torch.equal(policy[1], critic[1])
    assert float((critic[0, finger] - last).norm()) > 0.0002
    put(env, [0], (0.0, -0.25, 0.32))
    after = env.step(creep).observation
    assert torch.equal(tips(env, after.policy), tips(env, after.critic))


def test_boxes_around_markers_exert_no_force():
    """Fists close upon blocks: the boxes are touched, and everything moves as if they were not there."""
    n = 3
    actions = torch.full((12, n, hand.NUM_ACTUATORS), 0.5)
    ways, met = [], False
    for sensors in (OCCLUSION, {}):
        env = make(RandomizationConfig(sensors=sensors), n)
        env.reset()
        way = []
        for action in actions:
            assert not env.step(action).done.any()
            way.append(cpu(env).batch.bind("qpos").copy())
            touched = env.physics.touched()
            assert (touched is None) == (not sensors)
            met = met or (touched is not None and bool(touched.any()))
        ways.append(np.stack(way))
    assert met
    np.testing.assert_array_equal(ways[0], ways[1])


RANGE = np.array([(joint.lower, joint.upper) for joint in hand.ACTUATORS])
REACH = PERIOD * np.array([joint.speed for joint in hand.ACTUATORS])
"""How far a target moves in a step at most [rad]."""
STROKE = np.minimum(2.0 * REACH, 0.5 * (RANGE[:, 1] - RANGE[:, 0]))
"""What a unit action asks for [rad]."""
LOG_RATE = 2.0


class Motors:
    """D18 C.1 and C.2 in NumPy: what the motors of one hand are told, smoothed, limited and after the slack."""

    def __init__(self, position: np.ndarray, slack: bool) -> None:
        self.smoothed, self.target = np.zeros(20), position
        self.slack = np.zeros(20) if slack else None

    def tell(self, action: np.ndarray, position: np.ndarray) -> np.ndarray:
        self.smoothed = 0.3 * self.smoothed + 0.7 * np.clip(action, -1.0, 1.0)
        near = np.clip(position + STROKE * self.smoothed, self.target - REACH, self.target + REACH)
        self.target = np.clip(near, RANGE[:, 0], RANGE[:, 1])
        if self.slack is None:
            return self.target
        asked = np.clip((self.target - position) / STROKE, -1.0, 1.0)
        taken = asked * np.exp(LOG_RATE) * PERIOD
        share = 1.0 - np.clip(np.abs(np.sign(asked) - self.slack) / (np.abs(taken) + 1e-12), 0.0, 1.0)
        self.slack = np.clip(self.slack + taken, -1.0, 1.0)
        return position + share * (self.target - position)

    def lost(self) -> np.ndarray:
        """Full actions down and up that would move nothing but the slack, (20, 2)."""
        if self.slack is None:
            return np.zeros((20, 2))
        return np.stack([1.0 + self.slack, 1.0 - self.slack], axis=1) / (np.exp(LOG_RATE) * PERIOD)


def positions(env: ReorientEnv, world: int) -> np.ndarray:
    """Of the actuators [rad], (20,): their joints', or the sum of the two that they drive."""
    data = cpu(env).batch.get_data(world)
    joint = lambda name: float(data.joint(name).qpos[0])  # noqa: E731
    names = [name.replace("_A_", "_") for name in hand.ACTUATOR_NAMES]
    return np.array(
        [joint(name) if name[-1] != "0" else joint(name[:-1] + "1") + joint(name[:-1] + "2") for name in names]
    )


@pytest.mark.parametrize("slack", [False, True], ids=["stiff", "slack"])
def test_motors_are_told_noisy_actions_less_the_slack(slack):
    # a share of the range of two: 0.05 shifts by 0.1, and 0.1 multiplies by 1.2
    noise = {"offset": ActionTerm("offset", "constant(0.05)"), "gain": ActionTerm("gain", "constant(0.1)")}
    backlash = BacklashTerm("constant(1)", rate=LOG_RATE) if slack else None
    env = make(RandomizationConfig(actions=noise, backlash=backlash), 2)
    env.reset()
    order = [env.physics.model.actuator(name).id for name in hand.ACTUATOR_NAMES]
    motors = [Motors(positions(env, world), slack) for world in (0, 1)]
    actions = 2.4 * torch.rand(8, 2, 20, generator=torch.Generator().manual_seed(0)) - 1.2
    actions[:4] = actions[:1]  # slack is taken up only by going on
    for action in actions:
        before = [positions(env, world) for world in (0, 1)]
        assert not env.step(action).done.any()
        for world in (0, 1):
            told = motors[world].tell(1.2 * action[world].numpy() + 0.1, before[world])
            np.testing.assert_allclose(cpu(env).batch.get_data(world).ctrl[order], told, atol=2e-6)
            # the robot reports what it was told to do, for it does not know of the slack
            reported = env.measurement["joint_target"][world]
            np.testing.assert_allclose(reported, motors[world].target, atol=2e-6)
            assert slack != np.allclose(reported, told, atol=1e-3)
            np.testing.assert_allclose(env.measurement["motor_target"][world], told, atol=2e-6)
            np.testing.assert_allclose(env.measurement["actuator_slack"][world], motors[world].lost(), atol=1e-5)


DAMPING = {"damping": PhysicsTerm(["dof_damping"], "adr_factor(1)", of="robot", per="group")}


def test_what_boundary_worlds_achieve_reaches_their_queues():
    """Episodes end by a drop, by time or by divergence; those that go on, and ordinary worlds, add nothing."""
    n = 48
    env = make(RandomizationConfig(physics=DAMPING, adr=ADRConfig(queue=1000)), n)
    env.reset()
    adr = env.adr
    assert adr is not None
    boundary = adr.boundary.tolist()
    successes = torch.arange(100, 100 + n)
    # all three kinds of worlds (lower end, upper end, ordinary) end in each of the ways, and some of each go on
    kinds = [[i for i in range(n) if boundary[i] == kind] for kind in (0, 1, NO_BOUNDARY)]
    assert all(len(kind) >= 4 for kind in kinds)
    fallen, late, lost, _ = (sorted(kind[i] for kind in kinds) for i in range(4))
    env.goals.successes.copy_(successes)
    put(env, list(range(n)), (0.0, -0.25, 0.32))
    put(env, fallen, ASIDE)
    env.goals.steps[late] = env.goals.max_steps - 1
    cpu(env).batch.bind("qvel")[lost, 0] = np.nan
    step = env.step(still(env))
    ended = sorted(fallen + late + lost)
    assert step.done.nonzero().squeeze(1).tolist() == ended
    assert step.truncated.nonzero().squeeze(1).tolist() == late
    assert torch.equal(step.successes, successes)
    for end in (0, 1):
        mine = [i for i in ended if boundary[i] == end]
        assert int(adr.count[end]) == len(mine) == 3
        assert float(adr.total[end]) == float(successes[mine].sum())
    going_on = [i for i in range(n) if i not in ended]
    assert adr.boundary[going_on].tolist() == [boundary[i] for i in going_on]


def test_worlds_in_which_nothing_settles_count_as_failures_and_go_on_calibrated(tmp_path: Path):
    """With λ = 4 gravity points up: the end of the range, at which blocks fly away, must not be left out."""
    (tmp_path / "ranges.json").write_text(json.dumps({"physics.gravity": [0.0, 4.0]}))
    up = PhysicsTerm(["opt.gravity"], "adr_amount(10)", apply="add", columns=[2])
    adr = ADRConfig(boundary_probability=1.0, queue=1000, ranges=str(tmp_path / "ranges.json"))
    n = 3
    env = make(RandomizationConfig(physics={"gravity": up}, adr=adr), n, ResetConfig(cache=0, max_retries=0))
    env.reset()
    assert env.adr is not None
    assert int(env.adr.count[1]) >= n and float(env.adr.total.sum()) == 0.0 and int(env.adr.count[0]) == 0
    assert (env.adr.parameters == 0.0).all() and (env.adr.boundary == NO_BOUNDARY).all()
    np.testing.assert_allclose(cpu(env).batch.expand("opt.gravity"), np.tile(GRAVITY, (n, 1)))


def test_sensors_begin_anew_in_the_worlds_that_do():
    gaps = {
        "lost": SensorTerm("dropout", ["fingertip_pos"], "constant(1)", time="constant(100)"),
        "late": SensorTerm("delay", ["object_pos"], "constant(0.16)"),
    }
    env = make(RandomizationConfig(sensors=gaps), 2)
    first = tips(env, env.reset().policy)
    block = slice(15, 18)
    creep = torch.full((2, hand.NUM_ACTUATORS), 0.1)
    seen, true = [], []
    for t in range(6):
        if t == 3:
            put(env, [0], ASIDE)
        step = env.step(creep)
        assert step.done.tolist() == [t == 3, False]
        seen.append(step.observation.policy)
        true.append(step.observation.critic)
        assert not torch.equal(tips(env, true[t]), first)  # they do move
    for t in range(6):
        expected = first[0] if t < 3 else tips(env, true[3])[0]
        assert torch.equal(tips(env, seen[t])[0], expected)
        assert torch.equal(tips(env, seen[t])[1], first[1])
    for t in range(2, 6):
        torch.testing.assert_close(seen[t][1, block], true[t - 2][1, block])
    # nothing is older than the episode
    for t in (3, 4, 5):
        torch.testing.assert_close(seen[t][0, block], true[3][0, block])


def test_late_motors_hold_their_first_targets_while_the_block_settles():
    """Nothing moves before the first episode: a hand with late motors settles as one without."""
    reset = ResetConfig(cache=0, settle_time=0.08, settled_speed=10.0)
    joints = []
    for seconds in (0.08, 0.0):
        late = PhysicsTerm(["actuator_delay"], f"constant({seconds})", of="robot", apply="add")
        env = make(RandomizationConfig(physics={"late": late}), 4, reset)
        env.reset()
        joints.append(env.measurement["joint_pos"])
        torch.testing.assert_close(env.measurement["actuator_delay"], torch.full((4, 20), seconds))
    torch.testing.assert_close(joints[0], joints[1], atol=1e-6, rtol=0)
    assert float((joints[0][:, hand.JOINT_NAMES.index("rh_FFJ3")] - 0.35).abs().max()) < 0.2
