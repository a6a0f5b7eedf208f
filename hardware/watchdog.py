"""What a hand's driver does when the commands stop: hold the measured pose with reduced force.

Shadow, LEAP and Allegro hands keep their last target at full force for ever; so does any driver without this.
"""

from hardware.clock import NS

ACTIVE, HOLD = "active", "hold"


class Watchdog:
    """Decides whether a hand follows commands or holds. It holds until the first command."""

    def __init__(self, timeout: float) -> None:
        """``timeout``: seconds of silence after which the hand holds.

        Raises:
            ValueError: if it is not positive.
        """
        if timeout <= 0.0:
            raise ValueError(f"the watchdog's timeout is {timeout} s; it must be positive")
        self._timeout_ns = round(timeout * NS)
        self._last_ns: int | None = None

    def command(self, now_ns: int) -> None:
        """A target has arrived."""
        self._last_ns = now_ns

    def hold(self) -> None:
        """The order to hold has arrived."""
        self._last_ns = None

    def mode(self, now_ns: int) -> str:
        """``active`` or ``hold``."""
        return HOLD if self._last_ns is None or now_ns - self._last_ns > self._timeout_ns else ACTIVE
