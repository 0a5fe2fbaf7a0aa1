"""The system of record under test: on SQLite or on MariaDB, seen past the executive."""

import abc
import os
import sqlite3
from pathlib import Path
from typing import Dict, List

from pymysql.cursors import Cursor

from harness.mariadb import MariadbServer
from harness.snapshot import (
    NULL,
    STORAGE_OF_TYPE,
    Column,
    CtldbSnapshot,
    LedgerEntry,
    TableContent,
    cell,
)
from harness.sqlite_content import FAMILY_TABLE, open_read_only, read_family_tables

_LEDGER_QUERY = "SELECT seq, leader_ts, statement FROM ctlstore_dml_ledger ORDER BY seq"

_TYPE_OF_COLUMN = {
    "varchar(191)": "string",
    "bigint": "integer",
    "double": "decimal",
    "mediumtext": "text",
    "mediumblob": "binary",
    "varbinary(255)": "bytestring",
}


class Ctldb(abc.ABC):
    """One ctldb, empty until an executive starts on it."""

    # What the services' flag --ctldb takes.
    url: str

    @abc.abstractmethod
    def snapshot(self) -> CtldbSnapshot:
        """All family tables and the ledger, of one moment."""

    @abc.abstractmethod
    def last_sequence(self) -> int:
        """The ledger's last sequence; 0 for an empty one."""

    @abc.abstractmethod
    def first_sequence(self) -> int:
        """The ledger's first sequence; 0 for an empty one."""

    @abc.abstractmethod
    def execute(self, sql: str) -> None:
        """Changes something past the executive: only to put in faults."""

    @abc.abstractmethod
    def copy(self, name: str) -> "Ctldb":
        """A new ctldb that is as this one is now; where it is written to meanwhile, only the ledger
        is of one moment."""

    @abc.abstractmethod
    def restore(self, other: "Ctldb") -> None:
        """The same for a ctldb that is there already. No executive may use it meanwhile."""


class SqliteCtldb(Ctldb):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite://{path}"

    def snapshot(self) -> CtldbSnapshot:
        connection = open_read_only(self.path)
        try:
            connection.execute("BEGIN")
            ledger = [
                LedgerEntry(sequence, leader_time.decode(), statement.decode())
                for sequence, leader_time, statement in connection.execute(_LEDGER_QUERY)
            ]
            return CtldbSnapshot(read_family_tables(connection), ledger)
        finally:
            connection.close()

    def last_sequence(self) -> int:
        return self._sequence("MAX")

    def first_sequence(self) -> int:
        return self._sequence("MIN")

    def _sequence(self, which: str) -> int:
        try:
            connection = open_read_only(self.path)
        except sqlite3.OperationalError:
            return 0
        try:
            row = connection.execute(f"SELECT {which}(seq) FROM ctlstore_dml_ledger").fetchone()
            return row[0] or 0
        finally:
            connection.close()

    def execute(self, sql: str) -> None:
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            connection.execute(sql)
        finally:
            connection.close()

    def copy(self, name: str) -> "SqliteCtldb":
        copy = SqliteCtldb(self.path.with_name(f"{name}.db"))
        copy.restore(self)
        return copy

    def restore(self, other: Ctldb) -> None:
        assert isinstance(other, SqliteCtldb)
        source, target = sqlite3.connect(other.path), sqlite3.connect(self.path, timeout=30)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()


class MariadbCtldb(Ctldb):
    def __init__(self, server: MariadbServer, database: str) -> None:
        self.server = server
        self.database = database
        self.url = f"mysql://root@127.0.0.1:{server.port}/{database}"
        server.execute(f"CREATE DATABASE `{database}`")

    def snapshot(self) -> CtldbSnapshot:
        # Without decoding: what the server has as text and as bytes both come as bytes.
        connection = self.server.connect(self.database, use_unicode=False)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET time_zone = '+00:00'")
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                cursor.execute(
                    "SELECT seq, CAST(leader_ts AS CHAR), statement "
                    "FROM ctlstore_dml_ledger ORDER BY seq"
                )
                ledger = [
                    LedgerEntry(sequence, leader_time.decode(), statement.decode())
                    for sequence, leader_time, statement in cursor.fetchall()
                ]
                tables = {
                    name: self._read_table(cursor, name, columns)
                    for name, columns in self._columns(cursor).items()
                    if FAMILY_TABLE.fullmatch(name)
                }
                return CtldbSnapshot(tables, ledger)
        finally:
            connection.close()

    def last_sequence(self) -> int:
        return self._sequence("MAX")

    def first_sequence(self) -> int:
        return self._sequence("MIN")

    def _sequence(self, which: str) -> int:
        connection = self.server.connect(self.database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {which}(seq) FROM ctlstore_dml_ledger")
                return cursor.fetchone()[0] or 0
        finally:
            connection.close()

    def execute(self, sql: str) -> None:
        self.server.execute(sql, self.database)

    def copy(self, name: str) -> "MariadbCtldb":
        copy = MariadbCtldb(self.server, f"{self.database}_{name}")
        copy.restore(self)
        return copy

    def restore(self, other: Ctldb) -> None:
        assert isinstance(other, MariadbCtldb)
        self.server.execute(f"DROP DATABASE `{self.database}`")
        self.server.execute(f"CREATE DATABASE `{self.database}`")
        connection = self.server.connect(self.database, autocommit=True)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SHOW TABLES FROM `{other.database}`")
                for (table,) in cursor.fetchall():
                    source = f"`{other.database}`.`{table}`"
                    cursor.execute(f"CREATE TABLE `{table}` LIKE {source}")
                    cursor.execute(f"INSERT INTO `{table}` SELECT * FROM {source}")
        finally:
            connection.close()

    def _columns(self, cursor: Cursor) -> Dict[str, List[Column]]:
        cursor.execute(
            "SELECT table_name, column_name, seq_in_index FROM information_schema.statistics "
            "WHERE table_schema = DATABASE() AND index_name = 'PRIMARY'"
        )
        key_positions = {
            (table.decode(), column.decode()): position
            for table, column, position in cursor.fetchall()
        }
        cursor.execute(
            "SELECT table_name, column_name, column_type FROM information_schema.columns "
            "WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
        )
        columns: Dict[str, List[Column]] = {}
        for raw in cursor.fetchall():
            table, name, declared = (part.decode() for part in raw)
            if not FAMILY_TABLE.fullmatch(table):
                continue
            if declared.startswith("bigint("):
                declared = "bigint"
            columns.setdefault(table, []).append(
                Column(name, _TYPE_OF_COLUMN[declared], key_positions.get((table, name), 0))
            )
        return columns

    @staticmethod
    def _read_table(cursor: Cursor, name: str, columns: List[Column]) -> TableContent:
        table = TableContent(columns)
        wanted = ", ".join(f"`{column.name}`" for column in columns)
        cursor.execute(f"SELECT {wanted} FROM `{name}`")
        for raw in cursor.fetchall():
            table.add(
                tuple(
                    NULL if value is None else cell(STORAGE_OF_TYPE[column.type], value)
                    for column, value in zip(columns, raw)
                )
            )
        return table


def mariadb_wanted() -> bool:
    """Which kind this run is for: run_python_test.sh sets it."""
    kind = os.environ["E2E_CTLDB"]
    assert kind in ("sqlite", "mariadb"), kind
    return kind == "mariadb"
