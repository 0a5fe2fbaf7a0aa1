"""Child processes: started, stopped, killed, never left behind, their output kept."""

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Dict, List, Optional

# How long an orderly end may take before it counts as hanging.
STOP_TIMEOUT_S = 30.0


class Process:
    """One program that may be started again and again. All output goes to one log file.

    The kernel kills a child when the thread that started it ends (setpriv --pdeathsig), so that
    nothing outlives a test that dies. Hence start() may only be called by the main thread.
    """

    def __init__(
        self,
        name: str,
        argv: List[str],
        log_folder: Path,
        environment: Optional[Dict[str, str]] = None,
    ) -> None:
        self.name = name
        self.argv = argv
        self.log_path = log_folder / f"{name}.log"
        self.environment = environment or {}
        self._child: Optional[subprocess.Popen] = None
        self._log_begin = 0

    def start(self) -> None:
        assert threading.current_thread() is threading.main_thread()
        assert not self.running(), f"{self.name} runs already"
        with open(self.log_path, "ab") as log:
            log.write(f"=== start: {' '.join(self.argv)}\n".encode())
            log.flush()
            self._log_begin = log.tell()
            self._child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
            )

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} was never started"
        return self._child.pid

    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """The exit status (negative: the signal) once the process ends by itself."""
        assert self._child is not None
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout_s:.0f} s") from None

    def terminate(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM, and the exit status."""
        self.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL: the process gets no chance to put anything in order."""
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()

    def log(self) -> str:
        """All that it has written since the test began."""
        return self._read_log(0)

    def log_since_start(self) -> str:
        """What it has written since its last start."""
        return self._read_log(self._log_begin)

    def _read_log(self, begin: int) -> str:
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[begin:].decode("utf-8", errors="replace")
