"""A clean end on SIGINT (Ctrl-C) and SIGTERM."""

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any


class InterruptRequest:
    """While entered, the first SIGINT or SIGTERM only sets ``requested``; a second one acts as usual."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, quiet: bool = False) -> None:
        """``quiet``: says nothing; another process does."""
        self.requested = False
        self._quiet = quiet
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "InterruptRequest":
        # Python runs signal handlers in the main thread and lets only that one set them
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if not self._quiet:
            print("stopping after this update; once more to stop at once", file=sys.stderr)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
