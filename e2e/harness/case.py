"""The base of all end-to-end tests: folders, the ctldb of the wanted kind, logs on failure."""

import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Optional, Sequence

from harness.cluster import Cluster, Launcher, by_own_binary
from harness.ctldb import Ctldb, MariadbCtldb, SqliteCtldb, mariadb_wanted
from harness.mariadb import MariadbServer

_LOG_TAIL_LINES = 60


class E2eTestCase(unittest.TestCase):
    """Each test has a folder of its own; a class shares one MariaDB server.

    After a failure the end of every process's log is shown.
    """

    maxDiff = 4000
    server: Optional[MariadbServer] = None
    _class_folder: Path
    _databases = 0

    @classmethod
    def setUpClass(cls) -> None:
        root = os.environ.get("TEST_TMPDIR")
        cls._class_folder = Path(tempfile.mkdtemp(prefix="e2e-", dir=root))
        cls.addClassCleanup(shutil.rmtree, cls._class_folder, ignore_errors=True)
        # Sockets' paths are limited to 107 bytes, which Bazel's folders alone can take.
        cls.socket_folder = Path(tempfile.mkdtemp(prefix="e2e-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.socket_folder, ignore_errors=True)
        if mariadb_wanted():
            cls.server = MariadbServer(
                cls._class_folder / "mariadb", cls.socket_folder, cls._class_folder
            )
            cls.server.install()
            cls.addClassCleanup(cls.server.kill)
            cls.server.start()

    def setUp(self) -> None:
        self.folder = self._class_folder / self._testMethodName
        self.folder.mkdir()

    def run(self, result: Optional[unittest.TestResult] = None) -> Optional[unittest.TestResult]:
        assert result is not None
        faults = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > faults:
            self._show_logs()
        return result

    def new_ctldb(self) -> Ctldb:
        """An empty ctldb of the kind that this run is for."""
        cls = type(self)
        cls._databases += 1
        if self.server is not None:
            return MariadbCtldb(self.server, f"ctldb{cls._databases}")
        return SqliteCtldb(self.folder / f"ctldb{cls._databases}.db")

    def start_cluster(
        self,
        executives: int = 1,
        hosts: int = 1,
        launcher: Launcher = by_own_binary,
        executive_flags: Sequence[str] = (),
    ) -> Cluster:
        cluster = Cluster(
            self.new_ctldb(),
            self.folder,
            self.socket_folder,
            executives,
            hosts,
            launcher,
            executive_flags,
        )
        self.addCleanup(cluster.stop)
        cluster.start()
        return cluster

    def _show_logs(self) -> None:
        logs = [*self._class_folder.glob("*.log"), *self.folder.rglob("*.log")]
        for log in sorted(logs):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            print(f"\n----- {log.name}, the last of {len(lines)} lines", file=sys.stderr)
            print("\n".join(lines[-_LOG_TAIL_LINES:]), file=sys.stderr)
