"""Writers that write all the while, and know afterwards what must be there."""

import threading
from typing import Dict, List, NamedTuple, Tuple

import grpc
from ctlstore.v1 import executive_pb2

from harness.client import ExecutiveClient, Failure, Writer, failure_of
from harness.cluster import Cluster
from harness.snapshot import CtldbSnapshot, cell
from harness.values import PythonValue, delete, table, upsert
from harness.waiting import pause_briefly

FAMILY = "load"
GROUPED = "grouped"  # rows of a group, which all have the number of the request that wrote them
MIRROR = "mirror"  # the same number, a row a group
SINGLE = "single"  # rows that are written once, by requests that are never repeated

PARTS = 4


def members(number: int) -> int:
    """How many rows a group has once request `number` wrote it: some requests also delete."""
    return 5 if number % 3 == 0 else 6


class Outcome(NamedTuple):
    """How a request that is never repeated ended."""

    sequence: int  # 0 without an OK
    definitely_not_applied: bool


class GroupWriter(threading.Thread):
    """Rewrites one group with rising numbers until it is told to stop.

    Each number is repeated until it is acknowledged. After each, one request for the table SINGLE
    is sent just once, whatever comes of it.
    """

    def __init__(self, name: str, client: ExecutiveClient) -> None:
        super().__init__(name=name, daemon=True)
        self.group = name
        self.acknowledged = 0
        self.last_sequence = 0
        self.outcomes: Dict[int, Outcome] = {}
        self.failures: List[Failure] = []
        self.faults: List[str] = []
        self._client = client
        self._stopping = threading.Event()

    def stop(self) -> None:
        """The request under way is still brought to its acknowledgement."""
        self._stopping.set()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._write_group(self.acknowledged + 1)
                self._write_single(self.acknowledged)
        except Exception as error:  # pylint: disable=broad-except
            self.faults.append(f"{self.group} gave up: {error!r}")

    def _write_group(self, number: int) -> None:
        mutations = [upsert(MIRROR, {"grp": self.group, "n": number})]
        for member in range(6):
            key: Dict[str, PythonValue] = {"grp": self.group, "member": member}
            if member < members(number):
                filler = bytes([number % 256]) * (number % 50)
                mutations.append(upsert(GROUPED, {**key, "n": number, "filler": filler}))
            else:
                mutations.append(delete(GROUPED, key))
        while True:
            try:
                self._acknowledge(self._client.mutate(FAMILY, mutations))
                self.acknowledged = number
                return
            except grpc.RpcError as error:
                self._take_failure(failure_of(error))
                pause_briefly()

    def _write_single(self, number: int) -> None:
        mutations: List[executive_pb2.Mutation] = [
            upsert(SINGLE, {"grp": self.group, "n": number, "part": part})
            for part in range(PARTS)
        ]
        try:
            sequence = self._client.mutate(FAMILY, mutations)
            self._acknowledge(sequence)
            self.outcomes[number] = Outcome(sequence, False)
        except grpc.RpcError as error:
            failure = failure_of(error)
            self._take_failure(failure)
            self.outcomes[number] = Outcome(0, failure.definitely_not_applied)

    def _acknowledge(self, sequence: int) -> None:
        if sequence <= self.last_sequence:
            self.faults.append(
                f"{self.group} got sequence {sequence} after {self.last_sequence}"
            )
        self.last_sequence = sequence

    def _take_failure(self, failure: Failure) -> None:
        self.failures.append(failure)
        if failure.code not in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        ):
            self.faults.append(f"{self.group}: {failure}")


class Load:
    """Several writers at once."""

    def __init__(self, cluster: Cluster, writers: int = 4) -> None:
        client = cluster.client()
        client.create_family(FAMILY)
        client.create_tables(
            [
                table(
                    FAMILY,
                    GROUPED,
                    [
                        ("grp", "string"),
                        ("member", "integer"),
                        ("n", "integer"),
                        ("filler", "binary"),
                    ],
                    ["grp", "member"],
                ),
                table(FAMILY, MIRROR, [("grp", "string"), ("n", "integer")], ["grp"]),
                table(
                    FAMILY,
                    SINGLE,
                    [("grp", "string"), ("n", "integer"), ("part", "integer")],
                    ["grp", "n", "part"],
                ),
            ]
        )
        self.writers: List[GroupWriter] = []
        for i in range(writers):
            writer = Writer(f"writer {i}", f"secret {i}")
            client.register(writer)
            executive = i % len(cluster.executives)
            self.writers.append(GroupWriter(f"group{i}", cluster.client(executive, writer)))

    @property
    def groups(self) -> List[str]:
        return [writer.group for writer in self.writers]

    def start(self) -> None:
        for writer in self.writers:
            writer.start()

    def acknowledged(self) -> int:
        """Group requests that are acknowledged so far; fails where a writer found a fault."""
        faults = self.faults()
        assert not faults, faults
        return sum(writer.acknowledged for writer in self.writers)

    def stop(self) -> None:
        """Returns once every writer has its last acknowledgement."""
        for writer in self.writers:
            writer.stop()
        for writer in self.writers:
            writer.join(60)
            assert not writer.is_alive(), f"{writer.group} gets no acknowledgement"

    def failures(self) -> List[Failure]:
        return [failure for writer in self.writers for failure in writer.failures]

    def faults(self) -> List[str]:
        return [fault for writer in self.writers for fault in writer.faults]

    def assert_kept(self, record: CtldbSnapshot) -> None:
        """All that was acknowledged is there, and nothing is there by half. Call after stop()."""
        assert not self.faults(), self.faults()
        statements = {entry.sequence: entry.statement for entry in record.ledger}
        # A pruned ledger does not have all of them.
        first = record.ledger[0].sequence
        singles = _rows_per_request(record)
        for writer in self.writers:
            self._assert_group(record, writer)
            for number, outcome in writer.outcomes.items():
                rows = singles.pop((writer.group, number), 0)
                what = f"request {number} of {writer.group}, {outcome}, has {rows} rows"
                assert rows in (0, PARTS), what
                if outcome.sequence:
                    assert rows == PARTS, what
                    if outcome.sequence >= first:
                        assert statements.get(outcome.sequence) == "--- COMMIT", what
                if outcome.definitely_not_applied:
                    assert rows == 0, what
        assert not singles, f"rows that nobody wrote: {singles}"

    @staticmethod
    def _assert_group(record: CtldbSnapshot, writer: GroupWriter) -> None:
        number = writer.acknowledged
        assert number > 0, f"{writer.group} never wrote"
        group, wanted = cell("text", writer.group.encode()), cell("integer", number)
        mirror = record.tables[f"{FAMILY}___{MIRROR}"].rows
        assert mirror[(group,)][1] == wanted, f"{writer.group}: {mirror[(group,)]}, not {number}"
        rows = [
            row for row in record.tables[f"{FAMILY}___{GROUPED}"].rows.values() if row[0] == group
        ]
        assert len(rows) == members(number), f"{writer.group} has {len(rows)} rows at {number}"
        assert all(row[2] == wanted for row in rows), f"{writer.group}: {rows}, not {number}"


def _rows_per_request(record: CtldbSnapshot) -> Dict[Tuple[str, int], int]:
    counts: Dict[Tuple[str, int], int] = {}
    for row in record.tables[f"{FAMILY}___{SINGLE}"].rows.values():
        key = (row[0].data.decode(), int(row[1].data))
        counts[key] = counts.get(key, 0) + 1
    return counts
