"""Which commands a hand's driver carries out, and what it does when they stop: hold the pose with reduced force.

Shadow, LEAP and Allegro hands keep their last target at full force for ever; so does any driver without this.
"""

from collections import deque

from hardware.bus import CLOCK_SLACK
from hardware.clock import NS
from hardware.messages import ACTIVE, HOLD, JointCommand, Mode


class Watchdog:
    """Decides whether a hand follows commands or holds. It holds until the first command.

    A command counts from the moment it was *sent*: after a stall, what waited in a queue is not obeyed as if new.
    """

    def __init__(self, timeout: float, delay: float = 0.0) -> None:
        """``timeout``: age [s] at which a command ends in hold; ``delay``: seconds until a command takes effect.

        Raises:
            ValueError: if the timeout is not longer than the delay.
        """
        if not timeout > delay >= 0.0:
            raise ValueError(f"the watchdog's timeout is {timeout} s; it must be above the commands' delay, {delay} s")
        self._timeout_ns, self._delay_ns = round(timeout * NS), round(delay * NS)
        self._waiting: deque[JointCommand] = deque()
        self._followed_ns: int | None = None

    def arrived(self, command: JointCommand, now_ns: int) -> None:
        """A command has arrived; one that was sent in the future is of another clock, and does not count."""
        if command.send_ns <= now_ns + CLOCK_SLACK * NS:
            self._waiting.append(command)

    def due(self, now_ns: int) -> JointCommand | None:
        """The command to carry out now, if there is one: the newest, unless it is too old."""
        command = None
        while self._waiting and self._waiting[0].send_ns + self._delay_ns <= now_ns:
            command = self._waiting.popleft()
        if command is None or now_ns - command.send_ns > self._timeout_ns:
            return None
        self._followed_ns = None if command.target is None else command.send_ns
        return command

    def mode(self, now_ns: int) -> Mode:
        """What the hand does now."""
        silent = self._followed_ns is None or now_ns - self._followed_ns > self._timeout_ns
        return HOLD if silent else ACTIVE
