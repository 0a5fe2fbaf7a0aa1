"""What an LDB was seen to hold at which sequence, and whether the ledger gives the same."""

import hashlib
import sqlite3
import threading
from pathlib import Path
from typing import Dict, FrozenSet, List, Tuple

from harness.snapshot import LedgerEntry
from harness.sqlite_content import FAMILY_TABLE, kept_families, open_read_only

# A digest of each family table's definition and rows, by the table's name.
Digests = Dict[str, str]


class States:
    """Collects states of one host's LDB. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By sequence and kept families (none: all), the families' tables and where it was seen.
        self._seen: Dict[Tuple[int, FrozenSet[str]], Tuple[Digests, str]] = {}
        self._highest = 0
        # What the LDB kept when it was last looked at at rest; empty for all.
        self.families: FrozenSet[str] = frozenset()
        self.faults: List[str] = []

    def look(self, connection: sqlite3.Connection, where: str, at_least: int) -> int:
        """Takes in one state of the LDB behind `connection`, and returns its sequence.

        It is a fault when that is less than `at_least`.
        """
        connection.execute("BEGIN")
        try:
            row = connection.execute("SELECT seq FROM _ldb_seq WHERE id = 1").fetchone()
            sequence = row[0] if row else 0
            families = kept_families(connection)
            digests = _digests(connection)
        finally:
            connection.execute("COMMIT")
        with self._lock:
            self._check_order(sequence, where, at_least)
            self._highest = max(self._highest, sequence)
            known = self._seen.setdefault((sequence, families), (digests, where))
            if known[0] != digests:
                self._fault(f"{where}: at {sequence}, but not what {known[1]} was at {sequence}")
        return sequence

    def look_at_rest(self, path: Path, where: str) -> int:
        """The same for a file that nobody writes. Nobody may have seen anything later in it.

        Fails where the file is damaged. Without a file, or before anything is committed to it, the
        sequence is 0.
        """
        with self._lock:
            highest = self._highest
        if path.exists():
            connection = open_read_only(path)
            try:
                names = connection.execute("SELECT name FROM sqlite_master").fetchall()
                (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
                assert result == b"ok", f"{where}: integrity_check says {result!r}"
                if (b"_ldb_seq",) in names:
                    self.families = kept_families(connection)
                    return self.look(connection, where, highest)
            finally:
                connection.close()
        with self._lock:
            self._check_order(0, where, highest)
        return 0

    def begin_anew(self) -> None:
        """To be called when the LDB was removed by intention."""
        with self._lock:
            self._highest = 0

    def add_fault(self, what: str) -> None:
        with self._lock:
            self._fault(what)

    def _check_order(self, sequence: int, where: str, at_least: int) -> None:
        if sequence < at_least:
            self._fault(f"{where}: at sequence {sequence}, but {at_least} was seen before")

    def _fault(self, what: str) -> None:
        if len(self.faults) < 20:
            self.faults.append(what)

    def assert_from(self, ledger: List[LedgerEntry]) -> int:
        """Each state is the one after a whole ledger transaction, as SQLite makes it of the text.

        Returns how many states there were.
        """
        waiting = dict(self._seen)
        for sequence, digests in _play(ledger, {sequence for sequence, _ in waiting}):
            for seen_at, families in [key for key in waiting if key[0] == sequence]:
                seen, where = waiting.pop((seen_at, families))
                wanted = {
                    name: digest
                    for name, digest in digests.items()
                    if not families or name.split("___")[0] in families
                }
                if seen != wanted:
                    differing = sorted(
                        name
                        for name in seen.keys() | wanted.keys()
                        if seen.get(name) != wanted.get(name)
                    )
                    self.add_fault(f"{where}: at {sequence}, these are not as then: {differing}")
        for (sequence, _), (_, where) in waiting.items():
            self.add_fault(f"{where}: {sequence} is not at the edge of a ledger transaction")
        assert not self.faults, "\n".join(self.faults)
        return len(self._seen)


def _digests(connection: sqlite3.Connection) -> Digests:
    names = [
        name.decode()
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    ]
    return {name: _digest(connection, name) for name in names if FAMILY_TABLE.fullmatch(name)}


def _digest(connection: sqlite3.Connection, table: str) -> str:
    columns = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    keys = sorted((column[5], column[1].decode()) for column in columns if column[5])
    order = ", ".join(f'"{name}"' for _, name in keys)
    digest = hashlib.sha256(repr([column[1:3] for column in columns]).encode())
    for row in connection.execute(f'SELECT * FROM "{table}" ORDER BY {order}'):
        digest.update(repr(row).encode())
    return digest.hexdigest()


def _play(ledger: List[LedgerEntry], wanted: set):
    """Yields each wanted sequence at which a ledger transaction ends, with the tables as then."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.text_factory = bytes
    try:
        if 0 in wanted:
            yield 0, {}
        within = False
        for entry in ledger:
            if entry.statement == "--- BEGIN":
                within = True
            elif entry.statement == "--- COMMIT":
                within = False
            else:
                connection.execute(entry.statement)
            if not within and entry.sequence in wanted:
                yield entry.sequence, _digests(connection)
    finally:
        connection.close()
