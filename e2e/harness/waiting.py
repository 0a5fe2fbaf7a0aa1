"""Waiting for conditions: the only way in which these tests wait."""

import threading
import time
from typing import Callable, Optional, TypeVar

T = TypeVar("T")

# Long enough for a loaded machine and for sanitizers; a test that works never waits so long.
DEFAULT_TIMEOUT_S = 60.0

_PAUSE_S = 0.01
_pause = threading.Event()  # never set: its wait() is the pause between two looks


def wait_until(
    condition: Callable[[], Optional[T]],
    what: str,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> T:
    """Returns the first true result of `condition`; AssertionError names `what` did not happen."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s:.0f} s: {what}")
        _pause.wait(_PAUSE_S)


def pause_briefly() -> None:
    """The pause between two tries of something that may fail for a while."""
    _pause.wait(_PAUSE_S)
