"""Two executives on one ctldb, started at the same moment on an empty database."""

import threading
import unittest
from typing import Callable, List, Tuple, TypeVar

import grpc
from ctlstore.v1 import schema_pb2

from harness.case import E2eTestCase
from harness.client import ExecutiveClient, Writer, failure_of
from harness.cluster import Cluster
from harness.load import Load
from harness.values import fields, table, upsert
from harness.waiting import pause_briefly, wait_until
from harness.watch import Watch

T = TypeVar("T")

# Names and types of fields.
Definitions = List[Tuple[str, str]]

ROUNDS = 15


class TwoExecutivesTest(E2eTestCase):
    def test_both_start_at_once_on_an_empty_ctldb(self) -> None:
        for _ in range(10):
            cluster = self.start_cluster(executives=2, hosts=0)
            for i in range(2):
                cluster.client(i).create_family(f"family{i}")
            self.assertEqual(cluster.client().list_families(), ["family0", "family1"])
            cluster.stop()

    def test_a_table_is_never_seen_half_made(self) -> None:
        cluster = self.start_cluster(executives=2, hosts=1)
        cluster.client().create_family("fam")
        made: Definitions = [("key", "string"), ("id", "integer")]
        grown: Definitions = [*made, ("b", "text"), ("c", "binary")]
        stopping = threading.Event()

        def work(client: ExecutiveClient, me: int) -> None:
            if me == 0:
                for number in range(2 * ROUNDS):
                    client.create_table(table("fam", f"table_{number}", made, ["id", "key"]))
                    client.add_fields("fam", f"table_{number}", fields(grown[2:]))
                stopping.set()
                return
            while not stopping.is_set():
                for found in client.list_tables():
                    self._assert_whole(found, made, grown)
                try:
                    self._assert_whole(
                        client.get_table("fam", f"table_{len(client.list_tables())}"), made, grown
                    )
                except grpc.RpcError as error:
                    failure = failure_of(error)
                    self.assertEqual(failure.reason, "TABLE_NOT_FOUND", failure)

        self._run_both(cluster, work)
        cluster.assert_all_same()

    def test_both_change_schema_and_rows(self) -> None:
        # start_cluster() starts both executives before it waits for either.
        cluster = self.start_cluster(executives=2, hosts=2)

        def work(client: ExecutiveClient, me: int) -> None:
            """Both do the same at the same time: one of them finds it done."""
            for number in range(ROUNDS):
                family = f"family{number % 3}"
                name = f"shared_{number}"
                shared = table(family, name, [("id", "integer"), ("by", "integer")], ["id"])
                self.together.wait(60)
                _repeat(lambda: client.create_family(family))
                _repeat(lambda: client.create_table(shared))
                # From here on the table is another one.
                self.together.wait(60)
                _repeat(lambda: client.add_fields(family, name, fields([("extra", "text")])))
                rows = [upsert(name, {"id": i, "by": me, "extra": str(me)}) for i in range(20)]
                _repeat(lambda: client.mutate(family, rows))
                _repeat(
                    lambda: client.create_table(
                        table(family, f"own_{me}_{number}", [("id", "integer")], ["id"])
                    )
                )

        self._run_both(cluster, work)
        record = cluster.assert_all_same()
        self.assertEqual(len(record.tables), 3 * ROUNDS)
        for number in range(ROUNDS):
            rows = record.tables[f"family{number % 3}___shared_{number}"].rows.values()
            self.assertEqual(len(rows), 20)
            # The last of the two Mutates wrote all of them.
            self.assertEqual(len({row[1:] for row in rows}), 1)
        first, second = cluster.client(0), cluster.client(1)
        self.assertEqual(first.list_tables(), second.list_tables())

    def test_both_take_load(self) -> None:
        cluster = self.start_cluster(executives=2, hosts=1)
        load = Load(cluster, writers=4)
        cluster.wait_until_caught_up()
        with Watch(cluster.hosts, load) as watch:
            load.start()
            wait_until(lambda: load.acknowledged() >= 200, "the writers get on")
            load.stop()
            record = cluster.assert_all_same()
        load.assert_kept(record)
        watch.assert_nothing_seen(record)

    def test_a_checked_cookie_lets_just_one_of_them_pass(self) -> None:
        cluster = self.start_cluster(executives=2, hosts=1)
        client = cluster.client()
        client.create_family("fam")
        client.create_table(table("fam", "counters", [("id", "integer"), ("n", "integer")], ["id"]))
        writer = Writer("counting writer", "its secret")
        client.register(writer)
        passed = [0, 0]
        refused = [0, 0]

        def work(client: ExecutiveClient, me: int) -> None:
            """Counts up what is in the cookie, as the writer's row says too."""
            while passed[me] < 20:
                cookie = _repeat(lambda: client.get_cookie(writer))
                number = int(cookie or b"0") + 1
                row = upsert("counters", {"id": 1, "n": number})
                try:
                    client.mutate(
                        "fam",
                        [row],
                        cookie=str(number).encode(),
                        check_cookie=cookie,
                        writer=writer,
                    )
                    passed[me] += 1
                except grpc.RpcError as error:
                    failure = failure_of(error)
                    assert failure.definitely_not_applied, failure
                    assert failure.reason in ("COOKIE_MISMATCH", "CTLDB_BUSY"), failure
                    refused[me] += 1

        self._run_both(cluster, work)
        self.assertEqual(int(client.get_cookie(writer)), sum(passed))
        record = cluster.assert_all_same()
        (row,) = record.tables["fam___counters"].rows.values()
        self.assertEqual(int(row[1].data), sum(passed))

    def _assert_whole(
        self, found: schema_pb2.Table, made: Definitions, grown: Definitions
    ) -> None:
        self.assertEqual(list(found.key_fields), ["id", "key"])
        self.assertIn(list(found.fields), (fields(made), fields(grown)))

    def _run_both(self, cluster: Cluster, work: Callable[[ExecutiveClient, int], None]) -> None:
        faults: List[BaseException] = []
        self.together = threading.Barrier(2)

        def run(me: int) -> None:
            try:
                work(cluster.client(me), me)
            except BaseException as error:  # pylint: disable=broad-except
                faults.append(error)
                self.together.abort()

        threads = [threading.Thread(target=run, args=(me,), daemon=True) for me in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            self.assertFalse(thread.is_alive())
        self.assertEqual(faults, [])


def _repeat(call: Callable[[], T]) -> T:
    """A lock that was not had in time is all that may go wrong between two executives."""
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            failure = failure_of(error)
            assert failure.reason == "CTLDB_BUSY", failure
            pause_briefly()


if __name__ == "__main__":
    unittest.main()
