"""Dropped and cleared tables: everywhere, all or nothing, and never without being allowed."""

import threading
import unittest
from typing import Dict, List, Optional, Tuple

import grpc
from ctlstore.v1 import executive_pb2

from harness.case import E2eTestCase
from harness.client import CALL_TIMEOUT_S, failure_of
from harness.cluster import Cluster, Host
from harness.refusals import FAILED_PRECONDITION, INVALID, NOT_FOUND, Case, RefusalTestCase
from harness.values import PythonValue, table, upsert
from harness.waiting import pause_briefly, wait_until

ALLOWED = ["--enable_destructive_changes"]

# Each generation of the table has its own columns, and says its number in all of them.
FORMS: List[Tuple[str, str]] = [("integer", "text"), ("text", "decimal"), ("binary", "integer")]
ROWS = 5


def generation_fields(number: int) -> List[Tuple[str, str]]:
    first, second = FORMS[number % len(FORMS)]
    key = ("key", "string" if number % 2 == 0 else "integer")
    fields = [(f"a{number}", first), (f"b{number}", second)]
    fields.insert(number % 3, key)
    return fields


def generation_row(number: int, row: int) -> Dict[str, PythonValue]:
    values: Dict[str, PythonValue] = {}
    for name, kind in generation_fields(number):
        if name == "key":
            values[name] = str(row) if kind == "string" else row
        elif kind == "integer":
            values[name] = number
        elif kind == "decimal":
            values[name] = number + 0.5
        elif kind == "text":
            values[name] = str(number)
        else:
            values[name] = str(number).encode()
    return values


def number_of(row: Dict[str, PythonValue]) -> int:
    """The generation that a row says it is of; fails where it is not one of that generation."""
    numbers = {int(name[1:]) for name in row if name != "key"}
    assert len(numbers) == 1, row
    (number,) = numbers
    assert row == generation_row(number, int(str(row["key"]))), row
    return number


class DisabledTest(RefusalTestCase):
    def test_nothing_is_dropped_or_cleared_unless_that_is_enabled(self) -> None:
        def case(what: str, *arguments: str) -> Case:
            def call() -> int:
                return getattr(self.client, what)(*arguments)

            name = f"{what} {arguments}"
            return Case(name, call, FAILED_PRECONDITION, "DESTRUCTIVE_DISABLED")

        self.assert_refused(
            [
                case("drop_table", "fam", "all_types"),
                case("clear_table", "fam", "all_types"),
                case("clear_family", "fam"),
            ]
        )


class RefusedTest(RefusalTestCase):
    def start_cluster(self, *arguments, **named) -> Cluster:  # type: ignore[no-untyped-def]
        return super().start_cluster(*arguments, **named, executive_flags=ALLOWED)

    def test_what_is_not_there_is_neither_dropped_nor_cleared(self) -> None:
        client = self.client
        cases = [
            Case("family", lambda: client.clear_family("nowhere"), NOT_FOUND, "FAMILY_NOT_FOUND"),
            Case("bad name", lambda: client.clear_family("no"), INVALID, "INVALID_NAME", "family"),
        ]
        for what, call in (("drop", client.drop_table), ("clear", client.clear_table)):
            cases += [
                Case(
                    f"{what}: no such family",
                    lambda call=call: call("nowhere", "other"),
                    NOT_FOUND,
                    "FAMILY_NOT_FOUND",
                ),
                Case(
                    f"{what}: no such table",
                    lambda call=call: call("fam", "nothing"),
                    NOT_FOUND,
                    "TABLE_NOT_FOUND",
                ),
                Case(
                    f"{what}: malformed table",
                    lambda call=call: call("fam", "x; DROP TABLE families"),
                    INVALID,
                    "INVALID_NAME",
                    "table",
                ),
            ]
        self.assert_refused(cases)


class DestructiveTest(E2eTestCase):
    def test_hosts_follow_without_being_started_again(self) -> None:
        cluster = self.start_cluster(hosts=2, executive_flags=ALLOWED)
        client = cluster.client()
        client.create_family("fam")
        client.create_family("empty")
        for name in ("one", "two"):
            client.create_table(table("fam", name, [("id", "integer"), ("v", "text")], ["id"]))
            client.mutate("fam", [upsert(name, {"id": i, "v": "old"}) for i in range(10)])
        self._wait_for(cluster, client.mutate("fam", [upsert("one", {"id": 10, "v": "old"})]))
        for host in cluster.hosts:
            self.assertEqual(host.client.get_row("fam", "one", [10]), {"id": 10, "v": "old"})

        self._wait_for(cluster, client.clear_table("FAM", "One"))
        for host in cluster.hosts:
            self.assertIsNone(host.client.get_row("fam", "one", [10]))
            self.assertEqual(len(host.client.list_rows("fam", "two")[0]), 10)
        cluster.assert_all_same()

        client.mutate("fam", [upsert("one", {"id": 1, "v": "again"})])
        self._wait_for(cluster, client.clear_family("fam"))
        self.assertEqual(client.clear_family("empty"), 0)
        for host in cluster.hosts:
            for name in ("one", "two"):
                self.assertEqual(host.client.list_rows("fam", name), ([], False))
        cluster.assert_all_same()

        client.mutate("fam", [upsert("one", {"id": 1, "v": "again"})])
        self._wait_for(cluster, client.drop_table("fam", "one"))
        for host in cluster.hosts:
            self._assert_not_found(host)
        self.assertEqual([t.name for t in client.list_tables("fam")], ["two"])
        with self.assertRaises(grpc.RpcError) as raised:
            client.mutate("fam", [upsert("one", {"id": 1, "v": "again"})])
        self.assertEqual(failure_of(raised.exception).reason, "TABLE_NOT_FOUND")
        cluster.assert_all_same()

        # Another table of the same name.
        client.create_table(table("fam", "one", [("v", "binary"), ("id", "string")], ["id"]))
        self._wait_for(cluster, client.mutate("fam", [upsert("one", {"id": "10", "v": b"new"})]))
        for host in cluster.hosts:
            self.assertEqual(host.client.get_row("fam", "one", ["10"]), {"id": "10", "v": b"new"})
            with self.assertRaises(grpc.RpcError) as raised:
                host.client.get_row("fam", "one", [10])
            self.assertEqual(failure_of(raised.exception).reason, "INVALID_KEY")
        record = cluster.assert_all_same()
        self.assertEqual(len(record.tables), 2)

    def test_a_second_executive_knows_at_once_what_the_first_has_dropped(self) -> None:
        cluster = self.start_cluster(executives=2, hosts=1, executive_flags=ALLOWED)
        first, second = cluster.client(0), cluster.client(1)
        first.create_family("fam")
        for number in range(12):
            changer, writer = (first, second) if number % 2 == 0 else (second, first)
            if number > 0:
                changer.drop_table("fam", "one")
                # The writer still has the old definition in its cache.
                with self.assertRaises(grpc.RpcError) as raised:
                    writer.mutate("fam", [upsert("one", generation_row(number - 1, 0))])
                self.assertEqual(failure_of(raised.exception).reason, "TABLE_NOT_FOUND")
            changer.create_table(table("fam", "one", generation_fields(number), ["key"]))
            writer.mutate("fam", [upsert("one", generation_row(number, i)) for i in range(ROWS)])
            changer.clear_table("fam", "one")
            writer.mutate("fam", [upsert("one", generation_row(number, i)) for i in range(ROWS)])
        record = cluster.assert_all_same()
        self.assertEqual(len(record.tables["fam___one"].rows), ROWS)

    def test_who_reads_all_the_while_never_sees_a_mix(self) -> None:
        cluster = self.start_cluster(hosts=2, executive_flags=ALLOWED)
        client = cluster.client()
        client.create_family("fam")
        stopping = threading.Event()
        faults: List[BaseException] = []
        seen = [0 for _ in cluster.hosts]

        def watch(which: int, host: Host) -> None:
            last = 0
            while not stopping.is_set():
                rows = self._rows(host)
                numbers = {number_of(row) for row in rows or []}
                if not numbers:
                    continue
                # The state of one ledger position: all rows of one generation.
                assert len(numbers) == 1 and len(rows or []) == ROWS, rows
                (number,) = numbers
                assert number >= last, (number, last)
                last = number
                seen[which] += 1

        def run(which: int, host: Host) -> None:
            try:
                watch(which, host)
            except BaseException as error:  # pylint: disable=broad-except
                faults.append(error)

        threads = [
            threading.Thread(target=run, args=(which, host), daemon=True)
            for which, host in enumerate(cluster.hosts)
        ]
        for thread in threads:
            thread.start()
        number = 0
        # Until both have seen a good many generations.
        while number < 30 or min(seen) < 50:
            if faults:
                break
            number += 1
            client.create_table(table("fam", "one", generation_fields(number), ["key"]))
            rows = [upsert("one", generation_row(number, i)) for i in range(ROWS)]
            client.mutate("fam", rows)
            if number % 3 == 0:
                client.clear_table("fam", "one")
                client.mutate("fam", rows)
            if number % 5 == 0:
                cluster.wait_until_caught_up()
                pause_briefly()
            client.drop_table("fam", "one")
        stopping.set()
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        self.assertEqual(faults, [])
        cluster.assert_all_same()
        for host in cluster.hosts:
            self._assert_not_found(host)

    def test_an_executive_that_is_killed_leaves_a_drop_done_or_not_begun(self) -> None:
        cluster = self.start_cluster(hosts=1, executive_flags=ALLOWED)
        client = cluster.client()
        client.create_family("fam")
        for number in range(10):
            definition = table("fam", "one", generation_fields(number), ["key"])
            client.create_table(definition)
            client.mutate("fam", [upsert("one", generation_row(number, 0))])
            request = executive_pb2.DropTableRequest(family="fam", table="one")
            future = client.stub.DropTable.future(request, timeout=CALL_TIMEOUT_S)
            # Later each time, so that it dies at different points.
            threading.Event().wait(0.002 * number)
            cluster.executives[0].restart_after_kill()
            done = future.exception() is None
            there = self._is_there(cluster)
            if done:
                self.assertFalse(there)
            record = cluster.assert_all_same()
            self.assertEqual("fam___one" in record.tables, there)
            if there:
                self.assertEqual(len(record.tables["fam___one"].rows), 1)
                client.drop_table("fam", "one")
        cluster.assert_all_same()

    def _is_there(self, cluster: Cluster) -> bool:
        """Whether the table is there for the executive, once it answers again."""

        def ask() -> Optional[Tuple[bool]]:
            try:
                cluster.client().get_table("fam", "one")
                return (True,)
            except grpc.RpcError as error:
                failure = failure_of(error)
                if failure.code == grpc.StatusCode.UNAVAILABLE:
                    return None
                self.assertEqual(failure.reason, "TABLE_NOT_FOUND", failure)
                return (False,)

        return wait_until(ask, "the executive answers")[0]

    def _rows(self, host: Host) -> Optional[List[Dict[str, PythonValue]]]:
        """All rows; None where there is no such table."""
        try:
            return host.client.list_rows("fam", "one")[0]
        except grpc.RpcError as error:
            failure = failure_of(error)
            assert failure.reason == "TABLE_NOT_FOUND", failure
            return None

    def _assert_not_found(self, host: Host) -> None:
        for call in (
            lambda: host.client.get_row("fam", "one", [10]),
            lambda: host.client.list_rows("fam", "one"),
        ):
            with self.assertRaises(grpc.RpcError) as raised:
                call()
            failure = failure_of(raised.exception)
            self.assertEqual((failure.code, failure.reason), (NOT_FOUND, "TABLE_NOT_FOUND"))

    def _wait_for(self, cluster: Cluster, sequence: int) -> None:
        self.assertGreater(sequence, 0)
        for host in cluster.hosts:
            wait_until(
                lambda host=host: host.client.status().applied_sequence >= sequence,
                f"{host.name} reaches {sequence}",
            )


if __name__ == "__main__":
    unittest.main()
