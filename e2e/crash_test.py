"""kill -9, at any moment: nothing acknowledged is lost, and nothing is ever seen by half."""

import os
import random
import sys
import threading
import unittest
from typing import Callable, List

import grpc

from harness.case import E2eTestCase
from harness.client import ExecutiveClient, failure_of
from harness.load import Load
from harness.values import fields, table, upsert
from harness.waiting import pause_briefly, wait_until
from harness.watch import Watch

REFLECTOR_KILLS = 30
EXECUTIVE_KILLS = 15
SCHEMA_KILLS = 25


class CrashTest(E2eTestCase):
    def setUp(self) -> None:
        super().setUp()
        seed = int(os.environ.get("E2E_SEED", random.randrange(10**6)))
        print(f"E2E_SEED={seed}", file=sys.stderr)
        self.random = random.Random(seed)

    def test_kills_of_reflector_and_executive_under_load(self) -> None:
        cluster = self.start_cluster(hosts=2)
        executive, victim = cluster.executives[0], cluster.hosts[0]
        load = Load(cluster, writers=4)
        cluster.wait_until_caught_up()
        kills: List[Callable[[], None]] = [victim.restart_reflector_after_kill] * REFLECTOR_KILLS
        kills += [executive.restart_after_kill] * EXECUTIVE_KILLS
        self.random.shuffle(kills)
        with Watch(cluster.hosts, load) as watch:
            load.start()
            for kill in kills:
                self._let_work(load.acknowledged)
                kill()
            self._let_work(load.acknowledged)
            load.stop()
            record = cluster.assert_all_same()
            # The watchers see the end of it, too.
        load.assert_kept(record)
        watch.assert_nothing_seen(record)
        self.assertGreater(len(load.failures()), 0, "no kill met a request")

    def test_kills_of_the_executive_during_schema_changes(self) -> None:
        cluster = self.start_cluster(hosts=2)
        executive = cluster.executives[0]
        cluster.client().create_family("changing")
        changers = [_SchemaChanger(f"t{i}", cluster.client()) for i in range(3)]
        for changer in changers:
            changer.start()
        for _ in range(SCHEMA_KILLS):
            self._let_work(lambda: sum(changer.changes for changer in changers), most=6)
            executive.restart_after_kill()
        for changer in changers:
            changer.stop()
        record = cluster.assert_all_same()

        client = cluster.client()
        there = {f"changing___{answer.name}": answer for answer in client.list_tables()}
        self.assertEqual(there.keys(), record.tables.keys())
        for changer in changers:
            self.assertEqual(changer.faults, [])
            self.assertGreater(changer.rounds, 0)
            for number in range(changer.rounds):
                for name in changer.names(number):
                    content = record.tables[f"changing___{name}"]
                    self.assertEqual(
                        [column.name for column in content.columns], ["id", "a", "b", "c"]
                    )
                    self.assertEqual(len(content.rows), 1)

    def _let_work(self, progress: Callable[[], int], most: int = 25) -> None:
        """Returns at a random moment, after some more work has been done."""
        wanted = progress() + self.random.randint(1, most)
        wait_until(lambda: progress() >= wanted, "the writers get on")
        # Anywhere within the next request.
        threading.Event().wait(self.random.random() * 0.02)


class _SchemaChanger(threading.Thread):
    """Creates two tables at once, adds fields to them, writes to them, and again from the start.

    Each step is repeated until it is acknowledged.
    """

    def __init__(self, prefix: str, client: ExecutiveClient) -> None:
        super().__init__(name=prefix, daemon=True)
        self.rounds = 0
        self.changes = 0
        self.faults: List[str] = []
        self._prefix = prefix
        self._client = client
        self._stopping = threading.Event()

    def names(self, number: int) -> List[str]:
        return [f"{self._prefix}_{number}_{part}" for part in ("x", "y")]

    def stop(self) -> None:
        """Returns once the round under way is at its end."""
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), f"{self.name} hangs"

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._round(self.names(self.rounds))
                self.rounds += 1
        except Exception as error:  # pylint: disable=broad-except
            self.faults.append(f"{self.name} gave up: {error!r}")

    def _round(self, names: List[str]) -> None:
        columns = [("id", "integer"), ("a", "string")]
        tables = [table("changing", name, columns, ["id"]) for name in names]
        self._repeat(lambda: self._client.create_tables(tables))
        for name in names:
            new = fields([("b", "text"), ("c", "decimal")])
            self._repeat(lambda name=name: self._client.add_fields("changing", name, new))
        rows = [upsert(name, {"id": 1, "a": "a", "b": "b", "c": 0.5}) for name in names]
        self._repeat(lambda: self._client.mutate("changing", rows))

    def _repeat(self, call: Callable[[], int]) -> None:
        while True:
            try:
                call()
                self.changes += 1
                return
            except grpc.RpcError as error:
                failure = failure_of(error)
                if failure.code not in (
                    grpc.StatusCode.UNAVAILABLE,
                    grpc.StatusCode.CANCELLED,
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                ):
                    self.faults.append(f"{self.name}: {failure}")
                pause_briefly()


if __name__ == "__main__":
    unittest.main()
