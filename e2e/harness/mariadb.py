"""A MariaDB server of the test's own: own folder, socket and port; no service of the machine."""

import os
import random
import socket
import subprocess
from pathlib import Path
from typing import Any, List, Optional

import pymysql

from harness.process import Process
from harness.waiting import wait_until

# Below the range from which the system takes ports for outgoing connections, so that nothing takes
# the server's port while it is stopped.
_PORTS = range(20000, 32000)


class MariadbServer:
    """Starts, stops and kills one mariadbd. Its data stays between starts."""

    def __init__(self, data_folder: Path, socket_folder: Path, log_folder: Path) -> None:
        self.port = _free_port()
        self.socket = socket_folder / "mariadb.sock"
        self._data = data_folder
        self._temporary = data_folder.with_name(f"{data_folder.name}-tmp")
        self._install_log = log_folder / "mariadb-install-db.log"
        argv = [
            "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--datadir={data_folder}",
            f"--socket={self.socket}",
            f"--pid-file={socket_folder / 'mariadb.pid'}",
            # A server that starts removes all servers' temporary tables from its folder for them,
            # and those that still use them fail or crash.
            f"--tmpdir={self._temporary}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--innodb-buffer-pool-size=64M",
            "--max-connections=200",
            # Folding is the server's default; ctlstore must not depend on it.
            "--character-set-server=latin1",
        ]
        self.process = Process("mariadb", [*argv, *_as_root()], log_folder)

    def install(self) -> None:
        """Creates the data folder."""
        self._temporary.mkdir()
        with open(self._install_log, "ab") as log:
            subprocess.run(
                [
                    "mariadb-install-db",
                    "--no-defaults",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                    f"--datadir={self._data}",
                    f"--tmpdir={self._temporary}",
                    *_as_root(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )

    def start(self) -> None:
        """Returns once the server answers."""
        self.process.start()
        wait_until(self._answers, "MariaDB answers")

    def stop(self) -> None:
        """An orderly end."""
        if self.process.running():
            self.process.terminate()

    def kill(self) -> None:
        self.process.kill()

    def connect(self, database: Optional[str] = None, **options: Any) -> pymysql.Connection:
        return pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            database=database,
            charset="utf8mb4",
            **options,
        )

    def execute(self, sql: str, database: Optional[str] = None) -> None:
        connection = self.connect(database, autocommit=True)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
        finally:
            connection.close()

    def _answers(self) -> bool:
        if not self.process.running():
            raise AssertionError(f"mariadbd ended:\n{self.process.log()[-4000:]}")
        try:
            self.connect().close()
            return True
        except pymysql.err.OperationalError:
            return False


def _as_root() -> List[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _free_port() -> int:
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port")
