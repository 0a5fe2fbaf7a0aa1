"""Writers of rows that prove what they are, and the history by which each read can be checked.

The same rows and files as e2e/read_checker.cc and common/ldb/proven_rows.h know them.
"""

import bisect
import mmap
import random
import struct
import threading
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import grpc
from ctlstore.v1 import executive_pb2

from harness.client import ExecutiveClient, failure_of
from harness.values import PythonValue, delete, fields, table, upsert
from harness.waiting import pause_briefly

Fact = Tuple[int, int]

MAX_MUTATIONS = 100
MAX_ADDED = 5


class ProvenTable(NamedTuple):
    """A table and the keys that its rows may have."""

    family: str
    name: str
    number: int
    groups: int
    members: int

    def row(self, group: int, member: int) -> int:
        return self.number * 1000000000 + group * 100000 + member + 10

    @property
    def existence(self) -> int:
        return self.number * 1000000000

    @property
    def shape(self) -> int:
        return self.number * 1000000000 + 1


def shape_state(generation: int, added: int) -> int:
    return generation * 1000 + added + 1


def member_name(member: int) -> str:
    return f"m{member:05d}"


def proof_of(number: int, group: int, member: int, version: int) -> int:
    proof = 0
    for part in (version, number, group, member):
        proof = (proof * 1000003 + part) % 1000000007
    return proof


def filler_of(version: int) -> str:
    return f"{version}." * (version % 50 * (20 if version % 11 == 0 else 1))


class SharedNumbers:
    """The numbers that all processes of a check share; of world -1 are the first ones."""

    STOP = (-1, 0)
    COMMITTED, SEEN, ACKNOWLEDGED = range(3)

    def __init__(self, path: Path, worlds: int) -> None:
        path.write_bytes(bytes(32 * (worlds + 1)))
        with open(path, "r+b") as file:
            # Each is written at once, as a number, not byte by byte.
            self._numbers = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")

    def get(self, world: int, number: int) -> int:
        return self._numbers[4 * (world + 1) + number]

    def set(self, world: int, number: int, to: int) -> None:
        self._numbers[4 * (world + 1) + number] = to

    def stop(self) -> None:
        self.set(*self.STOP, 1)


class History:
    """All states of all subjects by position, as common/ldb/read_history.h has them."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab", buffering=0)  # pylint: disable=consider-using-with
        self._lock = threading.Lock()
        self._subjects: Dict[int, Tuple[List[int], List[int]]] = {}

    def close(self) -> None:
        self._file.close()

    def record(self, position: int, facts: Sequence[Fact]) -> None:
        last = dict(facts)
        numbers = [position, len(last), *(number for fact in last.items() for number in fact)]
        with self._lock:
            for subject, state in last.items():
                positions, states = self._subjects.setdefault(subject, ([], []))
                positions.append(position)
                states.append(state)
        self._file.write(struct.pack(f"<{len(numbers)}q", *numbers))

    def explain(self, facts: Iterable[Fact], floor: int) -> Optional[int]:
        """The first position from `floor` on at which all of these are so."""
        facts = list(facts)
        position = floor
        with self._lock:
            while True:
                before = position
                for subject, state in facts:
                    first = self._first(subject, state, position)
                    if first is None:
                        return None
                    position = first
                if position == before:
                    return position

    def _first(self, subject: int, state: int, floor: int) -> Optional[int]:
        positions, states = self._subjects.get(subject, ([], []))
        index = bisect.bisect_right(positions, floor)
        if state == (states[index - 1] if index else 0):
            return floor
        for later in range(index, len(states)):
            if states[later] == state:
                return positions[later]
        return None


class ProvenWriter(threading.Thread):
    """Writes one world: one transaction after the other, each of which stands in its history."""

    def __init__(
        self,
        world: int,
        client: ExecutiveClient,
        tables: Sequence[ProvenTable],
        history: History,
        shared: SharedNumbers,
        chance: random.Random,
    ) -> None:
        super().__init__(name=f"writer of world {world}", daemon=True)
        self.position = 0
        self.fault = ""
        self._world = world
        self._client = client
        self._tables = [_TableWriter(table) for table in tables]
        self._history = history
        self._shared = shared
        self._random = chance
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), f"the {self.name} hangs"
        assert not self.fault, self.fault

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.write()
                if self._random.random() < 0.1:
                    # Without it nothing would ever stay for a while.
                    self._stopping.wait(self._random.random() * 0.2)
        except grpc.RpcError as error:
            self.fault = f"the {self.name} failed: {failure_of(error)}"
        except Exception as error:  # pylint: disable=broad-except
            self.fault = f"the {self.name} failed: {error!r}"

    def write(self) -> None:
        """One transaction, repeated until it is acknowledged."""
        self.position += 1
        choice = self._random.choice(self._tables)
        facts: List[Fact] = []
        kind = self._random.random()
        if not choice.exists:
            call = choice.create(self._client, facts)
        elif kind < 0.01:
            call = choice.drop(self._client, facts)
        elif kind < 0.02:
            call = choice.clear(self._client, facts)
        elif kind < 0.03 and choice.added < MAX_ADDED:
            call = choice.add_field(self._client, facts)
        else:
            mutations = self._mutations(choice, facts)
            family = choice.table.family
            call = lambda: self._client.mutate(family, mutations)  # noqa: E731
        self._history.record(self.position, facts)
        sequence = self._until_acknowledged(call)
        self._shared.set(
            self._world, SharedNumbers.ACKNOWLEDGED, (self.position << 32) + sequence
        )

    def _mutations(
        self, choice: "_TableWriter", facts: List[Fact]
    ) -> List[executive_pb2.Mutation]:
        groups, members = choice.table.groups, choice.table.members
        kind = self._random.random()
        group = self._random.randrange(groups)
        mutations = []
        if kind < 0.4:
            for member in range(members):
                mutations.append(choice.upsert(group, member, self.position, facts))
        elif kind < 0.45:
            for member in range(members):
                mutations.append(choice.delete(group, member, facts))
        else:
            for _ in range(1 if kind < 0.7 else self._random.randrange(1, 12)):
                some = self._random.choice([table for table in self._tables if table.exists])
                group = self._random.randrange(some.table.groups)
                member = self._random.randrange(some.table.members)
                if self._random.random() < 0.7:
                    mutations.append(some.upsert(group, member, self.position, facts))
                else:
                    mutations.append(some.delete(group, member, facts))
        assert len(mutations) <= MAX_MUTATIONS
        return mutations

    def _until_acknowledged(self, call) -> int:
        while True:
            try:
                return call()
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or self._stopping.is_set():
                    raise
                pause_briefly()


class _TableWriter:
    """One table, what is in it, and the changes that it takes."""

    def __init__(self, proven: ProvenTable) -> None:
        self.table = proven
        self.exists = False
        self.added = 0
        self._generation = 0
        self._rows: Dict[Tuple[int, int], int] = {}

    def create(self, client: ExecutiveClient, facts: List[Fact]):
        self.exists = True
        self._generation += 1
        self.added = self._generation % 2
        facts += [(self.table.existence, 1), self._shape()]
        columns = [(f"gen{self._generation}", "integer"), ("filler", "text")]
        key = [("grp", "integer"), ("member", "string")]
        columns = [*key, *columns] if self._generation % 3 == 0 else [*columns, *key]
        columns += [("version", "integer"), ("added", "integer"), ("proof", "integer")]
        columns += [(f"f{number}", "integer") for number in range(1, self.added + 1)]
        made = table(self.table.family, self.table.name, columns, ["grp", "member"])
        return lambda: client.create_table(made)

    def drop(self, client: ExecutiveClient, facts: List[Fact]):
        self.exists = False
        facts.append((self.table.existence, 0))
        self._forget_rows(facts)
        return lambda: client.drop_table(self.table.family, self.table.name)

    def clear(self, client: ExecutiveClient, facts: List[Fact]):
        self._forget_rows(facts)
        return lambda: client.clear_table(self.table.family, self.table.name)

    def add_field(self, client: ExecutiveClient, facts: List[Fact]):
        self.added += 1
        facts.append(self._shape())
        added = fields([(f"f{self.added}", "integer")])
        return lambda: client.add_fields(self.table.family, self.table.name, added)

    def upsert(
        self, group: int, member: int, version: int, facts: List[Fact]
    ) -> executive_pb2.Mutation:
        self._rows[group, member] = version
        facts.append((self.table.row(group, member), version))
        row: Dict[str, PythonValue] = {
            "grp": group,
            "member": member_name(member),
            "version": version,
            "added": self.added,
            "filler": filler_of(version),
            "proof": proof_of(self.table.number, group, member, version),
            f"gen{self._generation}": self._generation,
        }
        row.update({f"f{number}": version for number in range(1, self.added + 1)})
        return upsert(self.table.name, row)

    def delete(self, group: int, member: int, facts: List[Fact]) -> executive_pb2.Mutation:
        self._rows.pop((group, member), None)
        facts.append((self.table.row(group, member), 0))
        return delete(self.table.name, {"grp": group, "member": member_name(member)})

    def _shape(self) -> Fact:
        return self.table.shape, shape_state(self._generation, self.added)

    def _forget_rows(self, facts: List[Fact]) -> None:
        facts += [(self.table.row(group, member), 0) for group, member in self._rows]
        self._rows.clear()


def read_facts(proven: ProvenTable, row: Dict[str, PythonValue]) -> List[Fact]:
    """What a row shows; fails where it is none that was ever written."""
    (generation,) = (int(name[3:]) for name in row if name.startswith("gen"))
    added = sum(1 for name in row if name[0] == "f" and name != "filler")
    group, version = row["grp"], row["version"]
    assert isinstance(group, int) and isinstance(version, int), row
    member = int(str(row["member"])[1:])
    wanted: Dict[str, PythonValue] = {
        "grp": group,
        "member": member_name(member),
        "version": version,
        "added": row["added"],
        "filler": filler_of(version),
        "proof": proof_of(proven.number, group, member, version),
        f"gen{generation}": generation,
    }
    for number in range(1, added + 1):
        wanted[f"f{number}"] = version if number <= int(str(row["added"])) else None
    assert row == wanted, f"{row} is not {wanted}"
    return [
        (proven.row(group, member), version),
        (proven.shape, shape_state(generation, added)),
        (proven.existence, 1),
    ]
