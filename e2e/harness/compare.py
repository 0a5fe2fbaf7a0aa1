"""The comparison: whether an LDB says exactly what the ctldb says."""

import re
from datetime import datetime
from pathlib import Path
from typing import Iterator, List

from harness.ctldb import Ctldb
from harness.snapshot import (
    STORAGE_OF_TYPE,
    CtldbSnapshot,
    Key,
    LdbSnapshot,
    LedgerEntry,
    TableContent,
)
from harness.sqlite_content import read_ldb, read_ldb_sequence
from harness.waiting import DEFAULT_TIMEOUT_S, wait_until

_MAX_SHOWN = 20
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,9})?\+00:00")


def wait_until_caught_up(
    ctldb: Ctldb, ldb_path: Path, timeout_s: float = DEFAULT_TIMEOUT_S
) -> None:
    """Returns once the LDB has applied all that is in the ledger now."""
    wanted = ctldb.last_sequence()
    wait_until(
        lambda: read_ldb_sequence(ldb_path) >= wanted,
        f"{ldb_path} applies ledger sequence {wanted}",
        timeout_s,
    )


def assert_same(ctldb: Ctldb, ldb_path: Path, pruned: bool = False) -> CtldbSnapshot:
    """Fails with what differs. Nothing may be written meanwhile. Returns what the ctldb holds.

    `pruned`: the ledger may begin anywhere.
    """
    record, copy = ctldb.snapshot(), read_ldb(ldb_path)
    found = differences(record, copy, pruned)
    if found:
        raise AssertionError(
            f"{ldb_path} differs from the ctldb in {len(found)} points:\n"
            + "\n".join(found[:_MAX_SHOWN])
        )
    return record


def differences(record: CtldbSnapshot, copy: LdbSnapshot, pruned: bool = False) -> List[str]:
    """What is wrong, a line each; empty where nothing is."""
    first = record.ledger[0].sequence if pruned and record.ledger else 1
    return [*_ledger_faults(record.ledger, first), *_position_faults(record, copy), *_tables(record, copy)]


def _ledger_faults(ledger: List[LedgerEntry], first: int) -> Iterator[str]:
    """Sequences from the first one without gaps, and ledger transactions that begin and end."""
    open_since = 0
    statements = 0
    for expected, entry in enumerate(ledger, start=first):
        if entry.sequence != expected:
            yield f"the ledger has sequence {entry.sequence} where {expected} was to be"
            return
        if entry.statement == "--- BEGIN":
            if open_since:
                yield f"the ledger transaction at {open_since} has another within it"
            open_since, statements = entry.sequence, 0
        elif entry.statement == "--- COMMIT":
            if not open_since:
                yield f"the ledger's COMMIT at {entry.sequence} has no BEGIN"
            elif statements < 2:
                yield f"the ledger transaction at {open_since} has {statements} statements"
            open_since = 0
        else:
            statements += 1
    if open_since:
        yield f"the ledger transaction at {open_since} has no COMMIT"


def _position_faults(record: CtldbSnapshot, copy: LdbSnapshot) -> Iterator[str]:
    if copy.sequence != record.last_sequence:
        yield f"the LDB is at {copy.sequence}, the ledger's last sequence is {record.last_sequence}"
        return
    if not record.ledger:
        return
    expected = f"{record.ledger[-1].leader_time}+00:00"
    # The same moment; how many digits its fraction has is free.
    if not _TIME.fullmatch(copy.last_update) or (
        datetime.fromisoformat(copy.last_update) != datetime.fromisoformat(expected)
    ):
        yield f"the LDB's last update is {copy.last_update!r}, the last entry's {expected!r}"


def _tables(record: CtldbSnapshot, copy: LdbSnapshot) -> Iterator[str]:
    for name in sorted(record.tables.keys() | copy.tables.keys()):
        if name not in copy.tables:
            yield f"{name}: only the ctldb has it"
        elif name not in record.tables:
            yield f"{name}: only the LDB has it"
        else:
            yield from _table(name, record.tables[name], copy.tables[name])


def _table(name: str, record: TableContent, copy: TableContent) -> Iterator[str]:
    if record.columns != copy.columns:
        yield f"{name}: columns {record.columns} in the ctldb, {copy.columns} in the LDB"
        return
    for where, table in (("ctldb", record), ("LDB", copy)):
        for key, row in table.rows.items():
            for column, cell in zip(table.columns, row):
                if cell.storage not in ("null", STORAGE_OF_TYPE[column.type]):
                    yield f"{name}: {_show(key)}: {column.name} is {cell} in the {where}"
    for key in record.rows.keys() | copy.rows.keys():
        record_row, copy_row = record.rows.get(key), copy.rows.get(key)
        if record_row is None or copy_row is None:
            yield f"{name}: {_show(key)}: only the {'ctldb' if record_row else 'LDB'} has this row"
            continue
        for column, wanted, found in zip(record.columns, record_row, copy_row):
            if wanted != found:
                yield f"{name}: {_show(key)}: {column.name} is {wanted}, in the LDB {found}"


def _show(key: Key) -> str:
    return "(" + ", ".join(str(part) for part in key) + ")"
