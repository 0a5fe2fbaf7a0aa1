"""Readers that watch all along, and would see half a request or a step back in time."""

import bisect
import re
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

import grpc

from harness.client import SidecarClient, failure_of
from harness.cluster import Host
from harness.load import FAMILY, GROUPED, MIRROR, PARTS, SINGLE, Load, members
from harness.snapshot import CtldbSnapshot, LedgerEntry
from harness.sqlite_content import open_read_only

_MIRROR_STATEMENT = re.compile(
    rf"REPLACE INTO {FAMILY}___{MIRROR} \(\"grp\",\"n\"\) VALUES\('(\w+)',(\d+)\)"
)


class Watcher(threading.Thread):
    """Looks again and again until it is told to stop, and keeps what it found wrong."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.looks = 0
        self.faults: List[str] = []
        self._numbers: Dict[str, int] = {}
        self._sequence = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), f"{self.name} hangs"

    @property
    def changes_seen(self) -> int:
        return sum(self._numbers.values())

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.look()
                self.looks += 1
        except Exception as error:  # pylint: disable=broad-except
            self.fault(f"cannot read: {error!r}")

    def look(self) -> None:
        raise NotImplementedError

    def fault(self, what: str) -> None:
        if len(self.faults) < 20:
            self.faults.append(f"{self.name}: {what}")

    def see_group(self, group: str, numbers: List[int]) -> None:
        """`numbers` is what each of the group's rows says, in one state of the database."""
        if not numbers:
            if group in self._numbers:
                self.fault(f"{group} is gone")
            return
        number = numbers[0]
        if set(numbers) != {number} or len(numbers) != members(number):
            self.fault(f"half of a request: {group} has {numbers}")
        if number < self._numbers.get(group, 0):
            self.fault(f"{group} went back from {self._numbers[group]} to {number}")
        self._numbers[group] = number

    def see_sequence(self, sequence: int) -> None:
        if sequence < self._sequence:
            self.fault(f"the sequence went back from {self._sequence} to {sequence}")
        self._sequence = sequence


class FileWatcher(Watcher):
    """Reads the LDB file itself, as any SQLite does.

    Remembers what it saw at which sequence, to be compared with the ledger afterwards.
    """

    def __init__(self, ldb_path: Path) -> None:
        super().__init__(f"watcher of {ldb_path}")
        self._path = ldb_path
        self._seen: List[Tuple[int, Dict[str, int]]] = []

    def look(self) -> None:
        # Now and then a new connection, as programs come and go.
        connection = open_read_only(self._path)
        try:
            for _ in range(20):
                if not self._stopping.is_set():
                    self._look(connection)
        finally:
            connection.close()

    def _look(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        try:
            (sequence,) = connection.execute("SELECT seq FROM _ldb_seq WHERE id = 1").fetchone()
            groups: Dict[str, List[int]] = {}
            for group, number in connection.execute(f"SELECT grp, n FROM {FAMILY}___{GROUPED}"):
                groups.setdefault(group.decode(), []).append(number)
            mirror = {
                group.decode(): number
                for group, number in connection.execute(f"SELECT grp, n FROM {FAMILY}___{MIRROR}")
            }
            halves: List[Tuple[bytes, int, int]] = connection.execute(
                f"SELECT grp, n, COUNT(*) FROM {FAMILY}___{SINGLE} "
                f"GROUP BY grp, n HAVING COUNT(*) <> {PARTS}"
            ).fetchall()
        finally:
            connection.execute("COMMIT")
        self.see_sequence(sequence)
        for group in groups.keys() | mirror.keys():
            self.see_group(group, groups.get(group, []))
            if set(groups.get(group, [])) != {mirror.get(group)}:
                self.fault(f"half of a request: {group} {groups.get(group)} {mirror.get(group)}")
        if halves:
            self.fault(f"half of a request: {halves}")
        if not self._seen or self._seen[-1] != (sequence, mirror):
            self._seen.append((sequence, mirror))

    def compare_with(self, ledger: List[LedgerEntry]) -> None:
        """Each state that was seen is the state after just its sequence; else there is a fault."""
        history = _history(ledger)
        for sequence, mirror in self._seen:
            wanted = {
                group: changes[index - 1][1]
                for group, changes in history.items()
                if (index := bisect.bisect_right(changes, (sequence, sys.maxsize)))
            }
            if mirror != wanted:
                self.fault(f"at sequence {sequence} the groups were {mirror}, not {wanted}")


class SidecarWatcher(Watcher):
    """Reads through the host's sidecar, which must always answer."""

    def __init__(self, host: Host, groups: Iterable[str]) -> None:
        super().__init__(f"watcher of {host.name}'s sidecar")
        self._client = SidecarClient(host.sidecar_address)
        self._groups = list(groups)

    def look(self) -> None:
        try:
            self.see_sequence(self._client.status().applied_sequence)
            for group in self._groups:
                rows, _ = self._client.list_rows(FAMILY, GROUPED, [group])
                self.see_group(group, [row["n"] for row in rows])
        except grpc.RpcError as error:
            self.fault(f"the sidecar failed: {failure_of(error)}")


# Each group with the numbers that it got, and the sequence at which it got each.
History = Dict[str, List[Tuple[int, int]]]


def _history(ledger: List[LedgerEntry]) -> History:
    history: History = {}
    open_changes: List[Tuple[str, int]] = []
    for entry in ledger:
        if change := _MIRROR_STATEMENT.fullmatch(entry.statement):
            open_changes.append((change.group(1), int(change.group(2))))
        elif entry.statement == "--- COMMIT":
            for group, number in open_changes:
                history.setdefault(group, []).append((entry.sequence, number))
            open_changes = []
    return history


class Watch:
    """A watcher of the file and one of the sidecar for every host, while a `with` block runs."""

    def __init__(self, hosts: Iterable[Host], load: Load) -> None:
        self._watchers: List[Watcher] = []
        for host in hosts:
            self._watchers += [FileWatcher(host.ldb_path), SidecarWatcher(host, load.groups)]

    def __enter__(self) -> "Watch":
        for watcher in self._watchers:
            watcher.start()
        return self

    def __exit__(self, *_exception) -> None:
        for watcher in self._watchers:
            watcher.stop()

    def assert_nothing_seen(self, record: CtldbSnapshot) -> None:
        """Each watcher saw changes, and no fault. Call after the block."""
        for watcher in self._watchers:
            if isinstance(watcher, FileWatcher):
                watcher.compare_with(record.ledger)
            assert not watcher.faults, "\n".join(watcher.faults)
            assert watcher.changes_seen > 0, f"{watcher.name} saw nothing in {watcher.looks} looks"
