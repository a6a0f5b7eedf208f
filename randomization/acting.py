"""What becomes of actions before the physics feels them (D18 Table 8 and C.2, R19 B.3)."""

import torch
from torch import Tensor

from randomization.config import RandomizationConfig
from randomization.draws import Source
from randomization.memory import Memory
from randomization.terms import ActionTerm, AdversaryTerm, BacklashTerm
from robot.hand import ACTUATOR_NAMES, NUM_ACTUATORS, NUM_JOINTS

ACTION_RANGE = 2.0
"""Unit actions reach from -1 to 1; D18's percentages are shares of this range."""

NO_SLACK = 1e-30
"""Share of the slack that stands for none: every movement passes whole, and rates are still float32."""


class ActionNoise(Memory):
    """Offsets and gains of the unit actions of ``n`` worlds."""

    def __init__(self, terms: dict[str, ActionTerm], n: int, source: Source) -> None:
        super().__init__()
        draws = [(term, source.draw(f"actions.{name}", term.draw)) for name, term in terms.items()]
        self.of_episode = [(term.effect, draw) for term, draw in draws if term.every == "episode"]
        self.of_step = [(term.effect, draw) for term, draw in draws if term.every == "step"]
        device = source.generator.device
        self.everyone = torch.arange(n, device=device)
        self.offset = self.remember("offset", torch.zeros(n, NUM_ACTUATORS, device=device))
        self.gain = self.remember("gain", torch.ones(n, NUM_ACTUATORS, device=device))

    def reset(self, ids: Tensor) -> None:
        """Draws the offsets and gains of a new episode for worlds ``ids``, (m,)."""
        self.offset.index_fill_(0, ids, 0.0)
        self.gain.index_fill_(0, ids, 1.0)
        for effect, draw in self.of_episode:
            values = self.offset if effect == "offset" else self.gain
            values.index_add_(0, ids, draw(ids, NUM_ACTUATORS), alpha=ACTION_RANGE)

    def apply(self, action: Tensor) -> Tensor:
        """The unit action carried out, (n, 20); it may lie outside [-1, 1] (the action path clamps)."""
        noisy = self.gain * action + self.offset
        for effect, draw in self.of_step:
            fresh = ACTION_RANGE * draw(self.everyone, NUM_ACTUATORS)
            noisy = noisy + fresh if effect == "offset" else noisy * (1.0 + fresh)
        return noisy


class Adversary(Memory):
    """A network of random weights, drawn anew for each world and episode, whose actions are mixed into the policy's.

    One hidden layer over joint angles and block pose; each actuator takes the likeliest of ``BINS`` actions, for a
    network with continuous outputs would mostly ask for little (R19 B.3).
    """

    HIDDEN = 16
    BINS = 3

    def __init__(self, term: AdversaryTerm, n: int, source: Source) -> None:
        super().__init__()
        self.draw = source.draw("adversary", term.draw)
        self.generator = source.generator
        inputs, outputs = NUM_JOINTS + 7, NUM_ACTUATORS * self.BINS
        device = source.generator.device
        self.share = self.remember("share", torch.zeros(n, 1, device=device))
        self.into = self.remember("into", torch.zeros(n, inputs, self.HIDDEN, device=device))
        self.out = self.remember("out", torch.zeros(n, self.HIDDEN, outputs, device=device))

    def reset(self, ids: Tensor) -> None:
        """Draws the share and the network of worlds ``ids``, (m,)."""
        self.share[ids] = self.draw(ids, 1)
        for weights in (self.into, self.out):
            fresh = torch.randn(len(ids), *weights.shape[1:], generator=self.generator, device=weights.device)
            weights[ids] = fresh

    def apply(self, action: Tensor, measurement: dict[str, Tensor]) -> Tensor:
        """Unit actions (n, 20), mixed with the network's."""
        state = torch.cat([measurement[name] for name in ("joint_pos", "object_pos", "object_quat")], dim=1)
        hidden = torch.tanh(torch.bmm(state.unsqueeze(1), self.into))
        scores = torch.bmm(hidden, self.out).view(len(action), NUM_ACTUATORS, self.BINS)
        own = scores.argmax(dim=-1) * (2.0 / (self.BINS - 1)) - 1.0
        return torch.lerp(action, own, self.share)


class Backlash(Memory):
    """How much of a motor's movement reaches its joint (D18 C.2, with the rates of robogym).

    The slack s of a joint lies in [-1, 1]; a motor that pulls in direction a moves s towards sgn(a), at its rate.
    What is left of the step when the slack is taken up moves the joint: the share α of the movement.
    """

    def __init__(self, term: BacklashTerm, n: int, source: Source, period: float) -> None:
        """``period`` is the control period [s]."""
        super().__init__()
        self.source = source
        self.draw = source.draw("backlash", term.draw, calibrated=1.0)
        self.period = period
        self.least = term.least
        device = source.generator.device
        rates = [[side.get(name, term.rate) for name in ACTUATOR_NAMES] for side in (term.down, term.up)]
        self.log_rates = torch.tensor(rates, device=device)
        self.rates = self.remember("rates", self.log_rates.exp().expand(n, -1, -1).clone())
        self.slack = self.remember("slack", torch.zeros(n, NUM_ACTUATORS, device=device))

    def reset(self, ids: Tensor) -> None:
        """Draws the rates of worlds ``ids``, (m,), (m, 2, 20) [1/s], down and up; the slack begins in its middle."""
        factor = self.draw(ids, 2, NUM_ACTUATORS)
        # with a share of the randomization, the slack is so much narrower, and taken up so much faster
        narrower = torch.as_tensor(self.source.share_of(ids, factor.dim())).clamp(min=NO_SLACK)
        self.rates[ids] = (self.log_rates * factor).exp().clamp(min=self.least) / narrower
        self.slack.index_fill_(0, ids, 0.0)

    def apply(self, action: Tensor) -> Tensor:
        """The share α of each movement that reaches the joint, (n, 20), of movements as unit actions (n, 20)."""
        rate = torch.where(action < 0.0, self.rates[:, 0], self.rates[:, 1])
        change = action * rate * self.period
        left = (action.sign() - self.slack).abs()
        self.slack.add_(change).clamp_(-1.0, 1.0)
        return 1.0 - (left / (change.abs() + 1e-12)).clamp(0.0, 1.0)

    def left(self) -> Tensor:
        """How much movement down and up the slack would swallow, (n, 20, 2), in full actions."""
        ways = torch.stack((1.0 + self.slack, 1.0 - self.slack), dim=-1)
        return ways / (self.rates.transpose(1, 2) * self.period)


class Acting(Memory):
    """Everything that happens to actions: before the action path, which smooths and scales them, and after it."""

    def __init__(self, config: RandomizationConfig, n: int, source: Source, period: float) -> None:
        """``period`` is the control period [s]."""
        super().__init__()
        self.n, self.device = n, source.generator.device
        self.noise = self.include("noise", ActionNoise(config.actions, n, source))
        self.adversary = self.backlash = None
        if config.adversary is not None:
            self.adversary = self.include("adversary", Adversary(config.adversary, n, source))
        if config.backlash is not None:
            self.backlash = self.include("backlash", Backlash(config.backlash, n, source, period))

    def reset(self, ids: Tensor) -> None:
        """Draws what holds for a new episode of worlds ``ids``, (m,)."""
        for part in (self.noise, self.adversary, self.backlash):
            if part is not None:
                part.reset(ids)

    def disturb(self, action: Tensor, measurement: dict[str, Tensor]) -> Tensor:
        """Unit actions (n, 20) as the action path receives them, in the state that ``measurement`` tells exactly."""
        if self.adversary is not None:
            action = self.adversary.apply(action, measurement)
        return self.noise.apply(action)

    def slack_left(self) -> Tensor:
        """How much movement of the motors, down and up, would not reach the joints, (n, 20, 2), in full actions."""
        return (
            torch.zeros(self.n, NUM_ACTUATORS, 2, device=self.device) if self.backlash is None else self.backlash.left()
        )

    def transmit(self, target: Tensor, actuator_pos: Tensor, stroke: Tensor) -> Tensor:
        """Targets [rad], (n, 20), as they reach the joints, which are at ``actuator_pos``.

        ``stroke`` (20,) is what a full action asks for [rad].
        """
        if self.backlash is None:
            return target
        movement = target - actuator_pos
        return actuator_pos + self.backlash.apply((movement / stroke).clamp(-1.0, 1.0)) * movement
