"""A consumer of a host's changelog, as programs have them that keep caches."""

import json
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple

from harness.snapshot import Cell, LdbSnapshot

# A table and its key's values as text.
RowKey = Tuple[str, Tuple[str, ...]]
Row = Optional[Tuple[Cell, ...]]


class ChangelogConsumer:
    """Keeps rows, and drops what the changelog names; where its numbers jump, everything.

    For an LDB whose reflector is killed now and then: its look at each time of rest finds what it
    would have kept although it had changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: Dict[int, str] = {}
        self._number: Optional[int] = None
        self._kept: Dict[RowKey, Row] = {}
        # What had changed at the last rest without being named yet. The next writer's is to say so.
        self._unnamed: Set[RowKey] = set()
        self._sequence = 0
        self.lines = 0
        self.jumps = 0
        self.faults: List[str] = []

    def look_at_rest(self, ldb: LdbSnapshot, where: str) -> None:
        """To be called while nobody writes the LDB or the changelog."""
        self._follow(where)
        rows = _rows(ldb)
        if ldb.sequence != self._sequence:
            # Somebody has opened the changelog since, so he has made up for what was not named.
            for key in self._unnamed & self._kept.keys():
                self.faults.append(f"{where}: the change of {key} was never named")
        for key in rows.keys() | self._kept.keys():
            self._kept.setdefault(key, rows.get(key))
        self._unnamed = {key for key, row in self._kept.items() if row != rows.get(key)}
        self._sequence = ldb.sequence

    def _follow(self, where: str) -> None:
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        # What has no end was being written when the writer was killed.
        for line in text.split("\n")[:-1]:
            entry = json.loads(line)
            number = entry["seq"]
            if self._lines.setdefault(number, line) != line:
                self.faults.append(f"{where}: {line} has the number of {self._lines[number]}")
            if self._number is not None and number <= self._number:
                continue
            self.lines += 1
            if number != (self._number or 0) + 1:
                self.jumps += 1
                self._kept.clear()
            self._number = number
            values = tuple(str(part["value"]) for part in entry["key"])
            self._kept.pop((f"{entry['family']}___{entry['table']}", values), None)


def _rows(ldb: LdbSnapshot) -> Dict[RowKey, Row]:
    return {
        (name, tuple(part.data.decode() for part in key)): row
        for name, table in ldb.tables.items()
        for key, row in table.rows.items()
    }
