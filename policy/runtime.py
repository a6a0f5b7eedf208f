"""Running a policy: what the control loop, the evaluation and the replay use. Knows nothing of simulation."""

import copy
from pathlib import Path

import torch
from torch import Tensor

from policy import artefact
from policy.network import Actor
from robot.action import ActionContract
from robot.observation import ObservationContract


class NotFinite(RuntimeError):
    """A policy gave a NaN or an infinity: its input or its weights hold one, and no action of it may be trusted."""


class PolicyRuntime:
    """An actor with its two contracts.

    With a batch of one, on a CPU and with one torch thread, equal inputs give equal outputs to the last bit.
    """

    def __init__(self, actor: Actor, policy_contract: ObservationContract, action_contract: ActionContract) -> None:
        self.actor = actor
        self.policy_contract = policy_contract
        self.action_contract = action_contract

    @classmethod
    def load(cls, directory: Path, device: torch.device | str = "cpu") -> "PolicyRuntime":
        """Loads a policy artefact and checks it on the CPU, then moves it to ``device``.

        Raises:
            ArtefactError: see ``artefact.load``.
        """
        loaded = artefact.load(directory)
        return cls(loaded.actor.to(device), loaded.policy_contract, loaded.action_contract)

    def to(self, device: torch.device) -> "PolicyRuntime":
        """The same policy on another device; this one stays where it is."""
        # a module moves itself, not a copy
        return PolicyRuntime(copy.deepcopy(self.actor).to(device), self.policy_contract, self.action_contract)

    def initial_state(self, n: int) -> Tensor:
        """The recurrent state of ``n`` hands at the start of an episode, (2, n, width)."""
        return self.actor.initial_state(n)

    @torch.inference_mode()
    def act(
        self, observation: Tensor, state: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """One control step of n hands.

        Args:
            observation: vectors of ``policy_contract``, (n, p).
            state: recurrent state, (2, n, width).
            generator: draws the actions; without, the most probable ones are taken.

        Returns:
            Unit actions (n, 20) and the next state. A continuous action that was drawn may lie outside [-1, 1]; the
            action path clamps it.

        Raises:
            NotFinite: if the network's output or the next state is not finite.
        """
        output, state = self.actor.step(observation, state)
        # the most probable bin of NaNs is a bin like any other: nothing downstream could tell
        for name, value in (("output", output), ("recurrent state", state)):
            if not value.isfinite().all():
                raise NotFinite(f"the policy's {name} is not finite; look for a NaN in observation, state or weights")
        distribution = self.actor.distribution(output)
        action = distribution.mode() if generator is None else distribution.sample(generator)
        return self.action_contract.unit(action), state
