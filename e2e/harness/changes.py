"""Watches through a sidecar, and what they told, compared with what was written."""

import random
import threading
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import grpc
from ctlstore.v1 import sidecar_pb2 as sc

from harness.client import SidecarClient, failure_of
from harness.values import PythonValue, python_value, row_values, value
from harness.waiting import pause_briefly, wait_until

Key = Tuple[PythonValue, ...]
Row = Dict[str, PythonValue]

# What ends a watch because something was killed or ended, or because its client wanted it so.
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Event(NamedTuple):
    sequence: int
    family: str
    table: str
    # None: the whole table.
    key: Optional[Key]


class Selector(NamedTuple):
    family: str
    table: str = ""
    key_prefix: Key = ()

    def selects(self, event: Event) -> bool:
        if event.family != self.family:
            return False
        if not self.table:
            return True
        if event.table != self.table:
            return False
        return event.key is None or event.key[: len(self.key_prefix)] == self.key_prefix


@dataclass
class Told:
    """All that a watch was told, over all its calls."""

    begin: int = 0
    sequence: int = 0
    events: List[Event] = field(default_factory=list)
    # Between such two sequences anything may have changed.
    resets: List[Tuple[int, int]] = field(default_factory=list)
    calls: int = 0


class ChangeWatcher(threading.Thread):
    """Watches until it is told to stop, and ends its calls at random moments by itself, too.

    Begins each call where the one before ended.
    """

    def __init__(
        self,
        name: str,
        address: str,
        seed: int,
        selectors: Sequence[Selector] = (),
        with_rows: bool = False,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.told = Told()
        self.faults: List[str] = []
        self.selectors = selectors
        self._client = SidecarClient(address)
        self._random = random.Random(seed)
        self._with_rows = with_rows
        self._begun = threading.Event()
        self._stopping = threading.Event()
        self._call: Optional[grpc.Future] = None

    def start_and_begin(self) -> None:
        """Returns when it knows where it begins."""
        self.start()
        assert self._begun.wait(60), f"{self.name} does not begin"

    def stop_at(self, sequence: int) -> None:
        """Stops it when it has been told all up to there."""
        wait_until(
            lambda: self.faults or self.told.sequence >= sequence,
            f"{self.name} is told all up to {sequence}",
        )
        self._stopping.set()
        if self._call is not None:
            self._call.cancel()
        self.join(60)
        assert not self.is_alive(), f"{self.name} hangs"
        self._client.close()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._watch()
                except grpc.RpcError as error:
                    failure = failure_of(error)
                    if failure.code not in _PASSING:
                        self.faults.append(f"{self.name}: {failure}")
                        return
                    pause_briefly()
        except Exception as error:  # pylint: disable=broad-except
            self.faults.append(f"{self.name} gave up: {error!r}")

    def _watch(self) -> None:
        request = sc.WatchRequest(with_rows=self._with_rows)
        if self._begun.is_set():
            request.after_sequence = self.told.sequence
        for one in self.selectors:
            selector = request.selectors.add(family=one.family, table=one.table)
            selector.key_prefix.extend(value(part) for part in one.key_prefix)
        call = self._client.stub.Watch(request)
        self._call = call
        self.told.calls += 1
        messages = self._random.choice([1, 10, 100, 1000])
        for message in call:
            self._take(message)
            messages -= 1
            if messages == 0 or self._stopping.is_set():
                call.cancel()
                return

    def _take(self, message: sc.WatchResponse) -> None:
        before = self.told.sequence
        if not self._begun.is_set():
            if message.changes or message.everything_changed:
                self.faults.append(f"{self.name} begins with {message}")
            self.told.begin = message.sequence
        elif message.sequence < before:
            self.faults.append(f"{self.name} went back from {before} to {message.sequence}")
        for change in message.changes:
            event = _event(change)
            if not before < event.sequence <= message.sequence:
                self.faults.append(f"{self.name}: {event} between {before}, {message.sequence}")
            self.told.events.append(event)
        if message.everything_changed:
            self.told.resets.append((before, message.sequence))
        self.take(message)
        self.told.sequence = message.sequence
        self._begun.set()

    def take(self, message: sc.WatchResponse) -> None:
        """What is done with a message besides, in the watcher's thread."""

    def assert_complete(self, written: List[Event]) -> None:
        """It was told each change once, in order, but for those that a reset stands for."""
        assert not self.faults, "\n".join(self.faults[:20])
        wanted = [
            event
            for event in sorted(written, key=lambda event: event.sequence)
            if self._is_wanted(event)
        ]
        told = self.told.events
        if told == wanted:
            return
        lost = [event for event in wanted if event not in set(told)]
        repeated = sorted(set(event for event in told if told.count(event) > 1))
        foreign = [event for event in told if event not in set(wanted)]
        raise AssertionError(
            f"{self.name}, {len(told)} told of {len(wanted)} in {self.told.calls} calls:\n"
            f"lost {lost[:5]}\nrepeated {repeated[:5]}\nnot to be told {foreign[:5]}\n"
            f"resets {self.told.resets}"
        )

    def _is_wanted(self, event: Event) -> bool:
        if not self.told.begin < event.sequence <= self.told.sequence:
            return False
        if any(begin < event.sequence <= end for begin, end in self.told.resets):
            return False
        return not self.selectors or any(one.selects(event) for one in self.selectors)


class CacheWatcher(ChangeWatcher):
    """Keeps a copy of some tables by what it is told, as a cache in an application does."""

    def __init__(self, name: str, address: str, seed: int, family: str, tables: Set[str]) -> None:
        selectors = [Selector(family, table) for table in sorted(tables)]
        super().__init__(name, address, seed, selectors, with_rows=True)
        self.tables: Dict[str, Dict[Key, Row]] = {}
        self._family = family
        self._names = tables
        # One to read with while the other one is watched with.
        self._reader = SidecarClient(address)

    def take(self, message: sc.WatchResponse) -> None:
        if message.everything_changed or not self.tables:
            for table in self._names:
                self._load(table)
        for change in message.changes:
            key = tuple(python_value(part) for part in change.key)
            if not key:
                self._load(change.table)
            elif change.HasField("row"):
                self.tables[change.table][key] = row_values(change.row)
            else:
                self.tables[change.table].pop(key, None)

    def _load(self, table: str) -> None:
        def load() -> bool:
            try:
                rows, truncated = self._reader.list_rows(self._family, table)
            except grpc.RpcError as error:
                if failure_of(error).code in _PASSING:
                    return False
                raise
            assert not truncated
            # Its key is the first field, by the names of the tests' tables.
            self.tables[table] = {(row["id"],): row for row in rows}
            return True

        wait_until(load, f"{self.name} reads {table}")


def _event(change: sc.RowChange) -> Event:
    key = tuple(python_value(part) for part in change.key)
    return Event(change.sequence, change.family, change.table, key or None)
