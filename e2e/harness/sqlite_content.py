"""Family tables in a SQLite file, read as they lie there: the LDB and the embedded ctldb."""

import re
import sqlite3
from pathlib import Path
from typing import Dict, FrozenSet

from harness.snapshot import Column, LdbSnapshot, TableContent, cell

FAMILY_TABLE = re.compile(r"[a-z][a-z0-9_]*___[a-z][a-z0-9_]*")

_TYPE_OF_COLUMN = {
    "VARCHAR(191)": "string",
    "INTEGER": "integer",
    "REAL": "decimal",
    "TEXT": "text",
    "BLOB": "binary",
    "BLOB(255)": "bytestring",
}


def open_read_only(path: Path) -> sqlite3.Connection:
    """As a foreign reader opens it. Text comes as bytes, so that nothing is converted."""
    connection = sqlite3.connect(
        f"file:{path}?mode=ro", uri=True, timeout=30, isolation_level=None
    )
    connection.text_factory = bytes
    return connection


def read_family_tables(connection: sqlite3.Connection) -> Dict[str, TableContent]:
    """All family tables with all rows; within the caller's transaction."""
    names = [
        name.decode()
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    ]
    return {
        name: _read_table(connection, name) for name in names if FAMILY_TABLE.fullmatch(name)
    }


def read_ldb(path: Path) -> LdbSnapshot:
    """One state of the LDB."""
    connection = open_read_only(path)
    try:
        connection.execute("BEGIN")
        sequence = connection.execute("SELECT seq FROM _ldb_seq WHERE id = 1").fetchone()
        last_update = connection.execute(
            "SELECT timestamp FROM _ldb_last_update WHERE name = 'ledger'"
        ).fetchone()
        return LdbSnapshot(
            tables=read_family_tables(connection),
            sequence=sequence[0] if sequence else 0,
            last_update=last_update[0].decode() if last_update else "",
        )
    finally:
        connection.close()


def read_ldb_sequence(path: Path) -> int:
    """The applied sequence; 0 where there is no LDB, or nothing is applied."""
    if not path.exists():
        return 0
    try:
        connection = open_read_only(path)
        try:
            row = connection.execute("SELECT seq FROM _ldb_seq WHERE id = 1").fetchone()
            return row[0] if row else 0
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        # The file is being made: SQLite cannot read it yet, or it has no tables.
        if "no such table" in str(error) or "unable to open" in str(error):
            return 0
        raise


def kept_families(connection: sqlite3.Connection) -> FrozenSet[str]:
    """The families that the LDB keeps; empty for all."""
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_ldb_state'").fetchone()
    if not there:
        return frozenset()
    row = connection.execute("SELECT value FROM _ldb_state WHERE name = 'families'").fetchone()
    return frozenset(row[0].decode().split(",")) if row and row[0] else frozenset()


def read_kept_families(path: Path) -> FrozenSet[str]:
    connection = open_read_only(path)
    try:
        return kept_families(connection)
    finally:
        connection.close()


def _read_table(connection: sqlite3.Connection, name: str) -> TableContent:
    columns = [
        Column(column.decode(), _TYPE_OF_COLUMN[declared.decode().upper()], key_position)
        for _, column, declared, _, _, key_position in connection.execute(
            f'PRAGMA table_info("{name}")'
        )
    ]
    table = TableContent(columns)
    wanted = ", ".join(f'typeof("{c.name}"), "{c.name}"' for c in columns)
    for raw in connection.execute(f'SELECT {wanted} FROM "{name}"'):
        table.add(
            tuple(cell(raw[2 * i].decode(), raw[2 * i + 1]) for i in range(len(columns)))
        )
    return table
