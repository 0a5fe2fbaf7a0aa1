"""Limits on writers and tables, which all executives of a ctldb share."""

import json
import os
import subprocess
import threading
import time
import unittest
from typing import Any, Callable, List

import grpc

from harness.case import E2eTestCase
from harness.client import ExecutiveClient, Failure, Writer, failure_of
from harness.cluster import Cluster, binary
from harness.values import delete, table, upsert
from harness.waiting import wait_until

ROWS = 20  # each writer's limit

MINUTE_S = 60

NOT_FOUND = 3  # the commands' exit status

# A row of this size takes a page of any database.
FILLER = b"x" * 20_000


def period_that_lasts() -> int:
    """About an hour, in seconds: such that no new period begins while a test runs."""
    for minutes in (60, 59, 61):
        period_s = minutes * MINUTE_S
        if period_s - time.time() % period_s > 600:
            return period_s
    raise AssertionError("three periods end at the same time")


class LimitsTest(E2eTestCase):
    def start(self, *flags: str) -> Cluster:
        """Two executives, a host, and an empty table fam.rows."""
        self.period_s = period_that_lasts()
        cluster = self.start_cluster(
            executives=2,
            executive_flags=[
                f"--writer_max_rows={ROWS}",
                f"--writer_rate_period_ms={self.period_s * 1000}",
                "--limits_refresh_ms=50",
                "--table_sizes_refresh_ms=50",
                *flags,
            ],
        )
        client = cluster.client()
        client.create_family("fam")
        for name in ("rows", "others"):
            client.create_table(table("fam", name, [("id", "integer"), ("v", "binary")], ["id"]))
        return cluster

    def test_rows_are_counted_over_all_executives(self) -> None:
        cluster = self.start()
        first, second = cluster.client(0), cluster.client(1)
        write(first, ROWS - 8)
        write(second, 7)
        # One below the edge: two are one too many, on either.
        for client in (first, second):
            before = cluster.ctldb.last_sequence()
            began = time.time()
            failure = self._refused(lambda client=client: write(client, 2))
            ended = time.time()
            self.assertEqual(failure.reason, "RATE_LIMITED", failure)
            # Told is when the next period begins.
            delay = failure.retry_delay_s
            assert delay is not None
            next_period = (int(began) // self.period_s + 1) * self.period_s
            self.assertGreaterEqual(delay, next_period - ended - 0.001)
            self.assertLessEqual(delay, next_period - began + 0.001)
            self.assertEqual(cluster.ctldb.last_sequence(), before)
        # What was refused has counted nothing: the last row passes, also as a delete.
        second.mutate("fam", [delete("rows", {"id": 0})])
        for client in (first, second):
            for mutation in (upsert("rows", {"id": 1}), delete("rows", {"id": 1})):
                failure = self._refused(
                    lambda client=client, mutation=mutation: client.mutate("fam", [mutation])
                )
                self.assertEqual(failure.reason, "RATE_LIMITED", failure)
        # The period's end would not help a request of more rows than the whole limit.
        other = Writer("another writer", "another secret")
        first.register(other)
        failure = self._refused(lambda: write(first, ROWS + 1, other))
        self.assertEqual((failure.reason, failure.retry_delay_s), ("RATE_LIMITED", None), failure)
        write(second, ROWS, other)
        cluster.assert_all_same()
        # Executives that are started anew know what was counted.
        for executive in cluster.executives:
            executive.restart_after_kill()
        failure = self._refused(lambda: write(cluster.client(1), 1))
        self.assertEqual(failure.reason, "RATE_LIMITED", failure)

    def test_writers_at_the_same_time_get_just_their_rows(self) -> None:
        cluster = self.start("--writer_max_rows=100")
        acknowledged: List[int] = []
        faults: List[Failure] = []

        def run(client: ExecutiveClient, me: int) -> None:
            for number in range(100):
                try:
                    row = upsert("rows", {"id": 1000 * me + number})
                    acknowledged.append(client.mutate("fam", [row]))
                except grpc.RpcError as error:
                    failure = failure_of(error)
                    if failure.reason == "RATE_LIMITED":
                        return
                    if failure.reason != "CTLDB_BUSY":
                        faults.append(failure)
                        return

        threads = [
            threading.Thread(target=run, args=(cluster.client(me % 2), me), daemon=True)
            for me in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        self.assertEqual(faults, [])
        self.assertEqual(len(set(acknowledged)), 100)
        record = cluster.assert_all_same()
        self.assertEqual(len(record.tables["fam___rows"].rows), 100)

    def test_a_writers_own_limit_is_followed_by_all_executives(self) -> None:
        cluster = self.start()
        first, second = cluster.client(0), cluster.client(1)
        name = cluster.writer.name
        write(first, ROWS)
        limit = 3 * (self.period_s // MINUTE_S)
        first.set_writer_limit(name, limit, self.period_s)
        # The one that set it knows at once, the other soon.
        write(first, 1)
        wait_until(lambda: passes(second, 1), "the other executive follows")
        used = ROWS + 2
        while used < limit:
            rows = min(90, limit - used)
            write(second, rows)
            used += rows
        for client in (first, second):
            failure = self._refused(lambda client=client: write(client, 1))
            self.assertEqual(failure.reason, "RATE_LIMITED", failure)

        # Of a writer that is not there yet; rows a minute are rounded down, but never to none.
        second.set_writer_limit("later", 5 * 60 + 59, 3600)
        second.set_writer_limit("seldom", 1, 3600)
        for client in (first, second):
            listed = client.list_writer_limits()
            self.assertEqual(listed.default_limit.rows, ROWS)
            self.assertEqual(listed.default_limit.period.seconds, self.period_s)
            self.assertEqual(
                [(own.writer, own.limit.rows, own.limit.period.seconds) for own in listed.writers],
                [(name, 3, MINUTE_S), ("later", 5, MINUTE_S), ("seldom", 1, MINUTE_S)],
            )
        # Lowered below what is used, and taken away.
        first.set_writer_limit(name, 1, MINUTE_S)
        self._refused(lambda: write(first, 1))
        first.set_writer_limit(name, 1000, MINUTE_S)
        wait_until(lambda: passes(second, 1), "the other executive follows")
        second.delete_writer_limit(name)
        self._refused(lambda: write(second, 1))
        wait_until(lambda: not passes(first, 1), "the first executive follows")
        failure = self._refused(lambda: first.delete_writer_limit(name))
        self.assertEqual(failure.reason, "LIMIT_NOT_FOUND", failure)
        self.assertEqual(failure.code, grpc.StatusCode.NOT_FOUND)
        cluster.assert_all_same()

    def test_a_full_table_takes_no_more_rows_until_its_limit_is_raised(self) -> None:
        cluster = self.start("--writer_max_rows=0")
        first, second = cluster.client(0), cluster.client(1)
        first.set_table_limit("fam", "rows", 200_000, 400_000)
        second.set_table_limit("fam", "later", 1, 1)
        for client in (first, second):
            listed = client.list_table_limits()
            self.assertEqual(listed.default_limit.warn_bytes, 50 << 20)
            self.assertEqual(listed.default_limit.max_bytes, 100 << 20)
            self.assertEqual(
                [
                    (own.family, own.table, own.limit.warn_bytes, own.limit.max_bytes)
                    for own in listed.tables
                ],
                [("fam", "later", 1, 1), ("fam", "rows", 200_000, 400_000)],
            )
        numbers = iter(range(1, 100_000))

        def full(client: ExecutiveClient, max_bytes: int = 400_000) -> bool:
            row = upsert("rows", {"id": next(numbers), "v": FILLER})
            try:
                client.mutate("fam", [row])
                return False
            except grpc.RpcError as error:
                failure = failure_of(error)
                self.assertEqual(failure.code, grpc.StatusCode.RESOURCE_EXHAUSTED, failure)
                self.assertEqual(failure.reason, "TABLE_FULL", failure)
                self.assertIn(f"maximum is {max_bytes}:", failure.message)
                return True

        for client in (first, second):
            wait_until(lambda client=client: full(client), "the table is full")
        written = next(numbers)
        self.assertGreater(written, 400_000 // len(FILLER) // 2)
        # Together with a delete as well; a table beside it, and deletes alone, are let through.
        mixed = [delete("rows", {"id": 1}), upsert("rows", {"id": 2})]
        failure = self._refused(lambda: first.mutate("fam", mixed))
        self.assertEqual(failure.reason, "TABLE_FULL", failure)
        first.mutate("fam", [upsert("others", {"id": 1}), delete("rows", {"id": 1})])
        second.mutate("fam", [delete("rows", {"id": 2}), delete("rows", {"id": 3})])
        self.assertIn(
            "event=table_full family=fam table=rows", cluster.executives[0].process.log()
        )

        first.set_table_limit("fam", "rows", 200_000, 100 << 20)
        self.assertFalse(full(first))
        wait_until(lambda: not full(second), "the other executive follows")
        second.set_table_limit("fam", "rows", 1, 1)
        self.assertTrue(full(second, 1))
        # Back to the default.
        second.delete_table_limit("fam", "rows")
        self.assertFalse(full(second))
        failure = self._refused(lambda: second.delete_table_limit("fam", "rows"))
        self.assertEqual(failure.reason, "LIMIT_NOT_FOUND", failure)
        cluster.assert_all_same()

    def test_commands_set_limits(self) -> None:
        cluster = self.start()
        client = cluster.client()
        self.address = cluster.executives[1].address
        name = cluster.writer.name
        self._command("limits", "writer", "set", name, "--rows=2", "--period_ms=60000")
        listed = self._command("limits", "writer", "list")
        self.assertEqual(listed["default"], {"rows": ROWS, "period_ms": self.period_s * 1000})
        self.assertEqual(
            listed["writers"], [{"writer": name, "rows": 2, "period_ms": MINUTE_S * 1000}]
        )
        # By the executive that did not set it.
        wait_until(lambda: passes(client, ROWS + 1), "the other executive follows")
        self._command("limits", "writer", "delete", name)
        self.assertEqual(self._command("limits", "writer", "list")["writers"], [])
        self._command("limits", "writer", "delete", name, status=NOT_FOUND)
        wait_until(lambda: not passes(client, 1), "the other executive follows")

        other = Writer("another writer", "another secret")
        client.register(other)
        self._command(
            "limits", "table", "set", "fam", "rows", "--warn_bytes=1", "--max_bytes=1"
        )
        listed = self._command("limits", "table", "list")
        self.assertEqual(
            listed["tables"],
            [{"family": "fam", "table": "rows", "warn_bytes": 1, "max_bytes": 1}],
        )

        def full() -> bool:
            try:
                write(client, 1, other)
                return False
            except grpc.RpcError as error:
                return failure_of(error).reason == "TABLE_FULL"

        wait_until(full, "the table is full")
        self._command("limits", "table", "delete", "fam", "rows")
        wait_until(lambda: not full(), "the table has the default limit")
        self._command("limits", "table", "delete", "fam", "rows", status=NOT_FOUND)

    def _refused(self, call: Callable[[], Any]) -> Failure:
        with self.assertRaises(grpc.RpcError) as raised:
            call()
        return failure_of(raised.exception)

    def _command(self, *arguments: str, status: int = 0) -> Any:
        result = subprocess.run(
            [binary("ctlstore"), *arguments, "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "CTLSTORE_EXECUTIVE": self.address},
            timeout=60,
            check=False,
            text=True,
        )
        self.assertEqual(result.returncode, status, f"{arguments}: {result.stderr}")
        return json.loads(result.stdout) if status == 0 else None


def write(client: ExecutiveClient, rows: int, writer: Any = None) -> None:
    client.mutate("fam", [upsert("rows", {"id": i}) for i in range(rows)], writer=writer)


def passes(client: ExecutiveClient, rows: int) -> bool:
    try:
        write(client, rows)
        return True
    except grpc.RpcError as error:
        failure = failure_of(error)
        assert failure.reason == "RATE_LIMITED", failure
        return False


if __name__ == "__main__":
    unittest.main()
