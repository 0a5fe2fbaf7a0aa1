"""No read on a host is ever older than what was known there, or of two states at once.

Processes with the reader library and clients of the sidecar read all the while, each with all that
was ever written to compare with, and with what the others have seen. The reflector is killed, and
the local database built anew, again and again. CTLSTORE_CHECK_SECONDS (environment) says how long.
"""

import os
import random
import sys
import threading
import time
import unittest
from typing import List

import grpc
from ctlstore.v1 import sidecar_pb2 as sc

from harness.case import E2eTestCase
from harness.client import CALL_TIMEOUT_S, SidecarClient, failure_of
from harness.cluster import Cluster, Host, binary
from harness.process import Process
from harness.proven import (
    Fact,
    History,
    ProvenTable,
    ProvenWriter,
    SharedNumbers,
    member_name,
    read_facts,
)
from harness.values import row_values, value
from harness.waiting import wait_until

SECONDS = int(os.environ.get("CTLSTORE_CHECK_SECONDS", "15"))
WORLDS = 2
PROCESSES = 3
THREADS = 3


class ReadCheckerTest(E2eTestCase):
    def test_reads_are_new_and_whole_whatever_happens(self) -> None:
        seed = int(os.environ.get("E2E_SEED", random.randrange(10**6)))
        print(f"E2E_SEED={seed} CTLSTORE_CHECK_SECONDS={SECONDS}", file=sys.stderr)
        chance = random.Random(seed)
        cluster = self.start_cluster(executive_flags=["--enable_destructive_changes"])
        (host,) = cluster.hosts
        shared, histories, worlds = self._make_worlds()
        writers = self._start_writers(cluster, shared, histories, worlds, chance)
        checkers = [self._checker(host, number, chance) for number in range(PROCESSES)]
        for checker in checkers:
            checker.start()
        clients = [
            SidecarChecker(host, world, worlds[world], histories[world], shared, chance.random())
            for world in range(WORLDS)
        ]
        for client in clients:
            client.start()

        disturbances = Disturbances(host, chance)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            disturbances.disturb()
            for process in checkers:
                self.assertTrue(process.running(), f"{process.name}: {process.log()[-4000:]}")
            for thread in [*writers, *clients]:
                self.assertEqual(thread.fault, "")

        for writer in writers:
            writer.stop()
        cluster.assert_all_same()
        for client in clients:
            client.stop()
        shared.stop()
        for process in checkers:
            self.assertEqual(process.wait(), 0, process.log()[-4000:])
            print(process.log().splitlines()[-1], file=sys.stderr)
        looks = [client.looks for client in clients]
        positions = [writer.position for writer in writers]
        print(f"sidecar looks {looks}, transactions {positions}, {disturbances}", file=sys.stderr)
        self.assertGreater(min(looks), 10)
        self.assertGreater(min(positions), 10)
        self.assertGreater(disturbances.kills, 0)
        self.assertGreater(disturbances.rebuilds, 0)

    def _make_worlds(self):
        worlds = []
        lines = []
        for world in range(WORLDS):
            family = f"world{world}"
            number = 10 * world
            worlds.append(
                [
                    ProvenTable(family, "hot", number + 1, 5, 5),
                    ProvenTable(family, "warm", number + 2, 8, 20),
                    ProvenTable(family, "large", number + 3, 2, 90),
                ]
            )
            lines += [" ".join(map(str, (world, *proven))) for proven in worlds[-1]]
        (self.folder / "tables").write_text("\n".join(lines) + "\n", encoding="utf-8")
        histories = [History(self.folder / f"world{world}") for world in range(WORLDS)]
        for history in histories:
            self.addCleanup(history.close)
        return SharedNumbers(self.folder / "shared", WORLDS), histories, worlds

    def _start_writers(
        self, cluster: Cluster, shared, histories, worlds, chance
    ) -> List[ProvenWriter]:
        writers = []
        for world, tables in enumerate(worlds):
            client = cluster.client()
            client.create_family(tables[0].family)
            own_chance = random.Random(chance.random())
            writers.append(
                ProvenWriter(world, client, tables, histories[world], shared, own_chance)
            )
            writers[-1].start()
        return writers

    def _checker(self, host: Host, number: int, chance: random.Random) -> Process:
        seed = chance.randrange(10**9)
        argv = [binary("read_checker"), str(host.ldb_path), str(self.folder), str(seed)]
        checker = Process(f"checker{number}", [*argv, str(THREADS)], self.folder)
        self.addCleanup(checker.kill)
        return checker


class Disturbances:
    """What happens to a host's reflector, and to the file that it keeps."""

    def __init__(self, host: Host, chance: random.Random) -> None:
        self.kills = 0
        self.rebuilds = 0
        self._host = host
        self._random = chance

    def __str__(self) -> str:
        return f"{self.kills} kills, {self.rebuilds} rebuilds"

    def disturb(self) -> None:
        self._pause(0.5)
        if self.rebuilds < self.kills:
            self._rebuild()
        else:
            self._kill()

    def _kill(self) -> None:
        sequence = self._host.applied_sequence()
        self._host.reflector.kill()
        self._pause(0.3)
        self._host.reflector.start()
        self.kills += 1
        if self._random.random() < 0.7:
            self._wait_until_behind(sequence)

    def _rebuild(self) -> None:
        before = self._host.ldb_path.resolve()
        self._host.reflector_client.rebuild(wait_for_ready=True)
        wait_until(lambda: self._host.ldb_path.resolve() != before, "it is built anew")
        self.rebuilds += 1

    def _wait_until_behind(self, sequence: int) -> None:
        wait_until(
            lambda: self._host.applied_sequence() > sequence, "the reflector goes on", 120
        )

    def _pause(self, most_s: float) -> None:
        threading.Event().wait(self._random.random() * most_s)


class SidecarChecker(threading.Thread):
    """Reads one world through the sidecar, several rows of one position at a time."""

    def __init__(
        self,
        host: Host,
        world: int,
        tables: List[ProvenTable],
        history: History,
        shared: SharedNumbers,
        seed: float,
    ) -> None:
        super().__init__(name=f"sidecar's reader of world {world}", daemon=True)
        self.looks = 0
        self.fault = ""
        self._client = SidecarClient(host.sidecar_address)
        self._world = world
        self._tables = tables
        self._history = history
        self._shared = shared
        self._random = random.Random(seed)
        self._floor = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), f"the {self.name} hangs"
        assert not self.fault, self.fault
        self._client.close()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._look()
                self.looks += 1
        except grpc.RpcError as error:
            self.fault = f"the {self.name} failed: {failure_of(error)}"
        except Exception as error:  # pylint: disable=broad-except
            self.fault = f"the {self.name} failed: {error!r}"

    def _look(self) -> None:
        # What any process had seen before the call is there.
        for number in (SharedNumbers.COMMITTED, SharedNumbers.SEEN):
            self._floor = max(self._floor, self._shared.get(self._world, number))
        try:
            facts = self._some_rows() if self._random.random() < 0.7 else self._list()
        except grpc.RpcError as error:
            failure = failure_of(error)
            if failure.reason != "TABLE_NOT_FOUND":
                raise
            # It does not say which one where there were several.
            return
        position = self._history.explain(facts, self._floor)
        assert position is not None, f"wrong from {self._floor} on: {facts}"
        # Others check with what they have seen themselves: there is no way here to raise a number
        # that another process may raise at the same time.
        self._floor = position

    def _some_rows(self) -> List[Fact]:
        keys = []
        for _ in range(self._random.randrange(1, 60)):
            proven = self._random.choice(self._tables)
            group = self._random.randrange(proven.groups)
            keys.append((proven, group, self._random.randrange(proven.members)))
        request = sc.BatchGetRowsRequest(
            keys=[
                sc.BatchGetRowsRequest.Key(
                    family=proven.family,
                    table=proven.name,
                    key=[value(group), value(member_name(member))],
                )
                for proven, group, member in keys
            ]
        )
        acknowledged = self._shared.get(self._world, SharedNumbers.ACKNOWLEDGED)
        if self._random.random() < 0.1:
            request.min_sequence = acknowledged & 0xFFFFFFFF
        response = self._client.stub.BatchGetRows(request, timeout=CALL_TIMEOUT_S)
        assert response.sequence >= request.min_sequence, (response.sequence, request.min_sequence)
        if request.min_sequence:
            self._floor = max(self._floor, acknowledged >> 32)
        facts: List[Fact] = []
        for (proven, group, member), answer in zip(keys, response.rows, strict=True):
            if answer.HasField("row"):
                row_facts = read_facts(proven, row_values(answer.row))
                assert row_facts[0][0] == proven.row(group, member), "another row"
                facts += row_facts
            else:
                facts += [(proven.row(group, member), 0), (proven.existence, 1)]
        return facts

    def _list(self) -> List[Fact]:
        proven = self._random.choice(self._tables)
        group = self._random.randrange(proven.groups)
        rows, _ = self._client.list_rows(proven.family, proven.name, [group])
        facts: List[Fact] = [(proven.existence, 1)]
        for row in rows:
            facts += read_facts(proven, row)
        there = {subject for subject, _ in facts}
        for member in range(proven.members):
            if proven.row(group, member) not in there:
                facts.append((proven.row(group, member), 0))
        return facts


if __name__ == "__main__":
    unittest.main()
