"""What a database holds, in a form that can be compared with what another kind holds."""

import struct
from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Tuple


class Cell(NamedTuple):
    """One value: SQLite's word for its storage class, and its bytes.

    Integers are decimal digits and reals the 8 bytes of the double, so that two cells are equal
    only when nothing at all differs.
    """

    storage: str
    data: bytes

    def __str__(self) -> str:
        shown = self.data if len(self.data) <= 64 else self.data[:64] + b"..."
        return f"{self.storage} {shown!r}"


NULL = Cell("null", b"")


def cell(storage: str, raw: Any) -> Cell:
    """A cell from what a driver returned for a value of this storage class."""
    if storage == "integer":
        return Cell(storage, str(int(raw)).encode())
    if storage == "real":
        return Cell(storage, struct.pack(">d", raw))
    if storage == "null":
        return NULL
    return Cell(storage, bytes(raw))


Key = Tuple[Cell, ...]


class Column(NamedTuple):
    name: str
    # "string", "integer", "decimal", "text", "binary" or "bytestring".
    type: str
    # From 1; 0 where the column is no part of the key.
    key_position: int


# What each type is stored as, when it is not null.
STORAGE_OF_TYPE: Dict[str, str] = {
    "string": "text",
    "integer": "integer",
    "decimal": "real",
    "text": "text",
    "binary": "blob",
    "bytestring": "blob",
}


@dataclass
class TableContent:
    columns: List[Column]
    rows: Dict[Key, Tuple[Cell, ...]] = field(default_factory=dict)

    def key_of(self, row: Tuple[Cell, ...]) -> Key:
        """The row's key, in key order."""
        parts = [
            (column.key_position, row[i])
            for i, column in enumerate(self.columns)
            if column.key_position
        ]
        return tuple(part for _, part in sorted(parts, key=lambda part: part[0]))

    def add(self, row: Tuple[Cell, ...]) -> None:
        key = self.key_of(row)
        assert key not in self.rows, f"two rows with the key {key}"
        self.rows[key] = row


class LedgerEntry(NamedTuple):
    sequence: int
    # UTC, "YYYY-MM-DD HH:MM:SS" with or without a fraction.
    leader_time: str
    statement: str


@dataclass
class CtldbSnapshot:
    """One state of a ctldb."""

    tables: Dict[str, TableContent]
    ledger: List[LedgerEntry]

    @property
    def last_sequence(self) -> int:
        return self.ledger[-1].sequence if self.ledger else 0


@dataclass
class LdbSnapshot:
    """One state of an LDB."""

    tables: Dict[str, TableContent]
    sequence: int
    # _ldb_last_update's time for the ledger; empty where there is none.
    last_update: str
