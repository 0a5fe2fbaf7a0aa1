"""A sidecar's calls: reads of one's own writes on any host, batches, lists that go on, limits."""

import threading
import time
import unittest
from typing import Callable, List

import grpc
from ctlstore.v1 import sidecar_pb2 as sc

from harness.case import E2eTestCase
from harness.client import SidecarClient, failure_of
from harness.cluster import tcp_address
from harness.values import python_value, table, upsert, value

TOGETHER = 20


def failure(call: Callable[[], object]) -> grpc.RpcError:
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call did not fail")


class SidecarCallsTest(E2eTestCase):
    def test_who_waits_for_his_sequence_reads_his_own_writes_on_every_host(self) -> None:
        cluster = self.start_cluster(hosts=3)
        client = cluster.client()
        client.create_family("fam")
        client.create_table(table("fam", "rows", [("id", "integer"), ("n", "integer")], ["id"]))

        def write_and_read(thread: int) -> None:
            own = cluster.client()
            for n in range(40):
                row = {"id": thread, "n": n}
                sequence = own.mutate("fam", [upsert("rows", row)])
                host = cluster.hosts[(thread + n) % len(cluster.hosts)].client
                if n % 3 == 0:
                    found = host.get_row("fam", "rows", [thread], min_sequence=sequence)
                elif n % 3 == 1:
                    (found,), at = host.batch_get_rows([("fam", "rows", [thread])], sequence)
                    self.assertGreaterEqual(at, sequence)
                else:
                    self.assertGreaterEqual(host.wait_for_sequence(sequence), sequence)
                    found = host.get_row("fam", "rows", [thread])
                self.assertEqual(found, row)

        errors: List[BaseException] = []

        def run(thread: int) -> None:
            try:
                write_and_read(thread)
            except BaseException as error:  # pylint: disable=broad-except
                errors.append(error)

        threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])

    def test_a_batch_is_of_one_request_s_state_while_rows_change_together(self) -> None:
        cluster = self.start_cluster(hosts=1)
        client = cluster.client()
        client.create_family("fam")
        for name in ("rows", "more"):
            client.create_table(table("fam", name, [("id", "integer"), ("n", "integer")], ["id"]))
        written = 0

        def write(n: int) -> int:
            return client.mutate(
                "fam",
                [
                    upsert(name, {"id": i, "n": n})
                    for name in ("rows", "more")
                    for i in range(TOGETHER)
                ],
            )

        sequence = write(0)
        sidecar = cluster.hosts[0].client
        keys = [("fam", name, [i]) for i in range(TOGETHER) for name in ("rows", "more")]
        sidecar.wait_for_sequence(sequence)
        stop = threading.Event()

        def keep_writing() -> None:
            nonlocal written
            while not stop.is_set():
                written += 1
                write(written)

        writer = threading.Thread(target=keep_writing)
        writer.start()
        self.addCleanup(writer.join)
        self.addCleanup(stop.set)
        seen = {}
        last = (0, 0)
        deadline = time.monotonic() + 60
        while len(seen) < 10 and time.monotonic() < deadline:
            for _ in range(50):
                rows, at = sidecar.batch_get_rows(keys)
                values = {row["n"] if row else None for row in rows}
                self.assertEqual(len(values), 1, f"a mix at sequence {at}: {values}")
                (n,) = values
                self.assertEqual(seen.setdefault(n, at), at)
                self.assertGreaterEqual((at, n), last)
                last = (at, n)
        stop.set()
        writer.join()
        self.assertGreaterEqual(len(seen), 10)

    def test_a_list_goes_on_where_it_ended(self) -> None:
        cluster = self.start_cluster(hosts=1)
        client = cluster.client()
        client.create_family("fam")
        client.create_table(
            table("fam", "rows", [("a", "string"), ("b", "bytestring")], ["a", "b"])
        )
        expected = []
        sequence = 0
        for a in ("one", "two", "zwei"):
            rows = [{"a": a, "b": bytes([i])} for i in range(60)]
            sequence = client.mutate("fam", [upsert("rows", row) for row in rows])
            expected.extend(rows)
        sidecar = cluster.hosts[0].client
        for prefix, of_prefix in (
            ([], expected),
            (["two"], [row for row in expected if row["a"] == "two"]),
        ):
            request = sc.ListRowsRequest(
                family="fam",
                table="rows",
                key_prefix=[value(v) for v in prefix],
                limit=25,
                min_sequence=sequence,
            )
            found = []
            while True:
                pages = list(sidecar.stub.ListRows(request, timeout=20))
                for page in pages:
                    self.assertGreaterEqual(page.sequence, sequence)
                    found.extend(
                        {name: python_value(v) for name, v in row.values.items()}
                        for row in page.rows
                    )
                if not pages[-1].truncated:
                    self.assertEqual(len(pages[-1].next_after), 0)
                    break
                del request.after[:]
                request.after.extend(pages[-1].next_after)
            self.assertEqual(found, of_prefix)

    def test_what_is_not_applied_in_time_is_said_so(self) -> None:
        cluster = self.start_cluster(hosts=1)
        client = cluster.client()
        client.create_family("fam")
        client.create_table(table("fam", "rows", [("id", "integer")], ["id"]))
        sequence = client.mutate("fam", [upsert("rows", {"id": 1})])
        host = cluster.hosts[0]
        host.client.wait_for_sequence(sequence)
        for call in (
            lambda **options: host.client.wait_for_sequence(sequence + 1, **options),
            lambda **options: host.client.get_row("fam", "rows", [1], sequence + 1, **options),
            lambda **options: host.client.batch_get_rows(
                [("fam", "rows", [1])], sequence + 1, **options
            ),
        ):
            self.assertEqual(
                failure(lambda call=call: call(timeout=0.2)).code(),
                grpc.StatusCode.DEADLINE_EXCEEDED,
            )
        # The server's own limit, for those who are patient; and how many may wait.
        host.sidecar.terminate()
        host.sidecar.argv.extend(["--max_wait_ms=2000", "--max_waits=1"])
        host.sidecar.start()
        host.wait_until_serving()
        first = host.client.stub.WaitForSequence.future(
            sc.WaitForSequenceRequest(sequence=sequence + 1), timeout=60
        )
        second = failure(lambda: host.client.wait_for_sequence(sequence + 1, timeout=60))
        # A read of what is there waits for nobody.
        self.assertEqual(host.client.get_row("fam", "rows", [1], sequence), {"id": 1})
        # One of the two was too many.
        refused, late = sorted(
            (failure_of(first.exception()), failure_of(second)),
            key=lambda outcome: outcome.code.name,
            reverse=True,
        )
        self.assertEqual(late.code, grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertIn(str(sequence + 1), late.message)
        self.assertEqual(refused.code, grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual(refused.reason, "QUEUE_FULL")

    def test_tables_and_limits_over_both_kinds_of_sockets(self) -> None:
        cluster = self.start_cluster(hosts=1)
        client = cluster.client()
        client.create_family("fam")
        fields = [("id", "integer"), ("data", "text")]
        client.create_table(table("fam", "rows", fields, ["id"]))
        for i in range(9):
            sequence = client.mutate("fam", [upsert("rows", {"id": i, "data": "x" * 500_000})])
        host = cluster.hosts[0]
        over_tcp = SidecarClient(tcp_address(host.sidecar))
        self.addCleanup(over_tcp.close)
        for sidecar in (host.client, over_tcp):
            sidecar.wait_for_sequence(sequence)
            self.assertEqual(sidecar.get_table("fam", "rows"), table("fam", "rows", fields, ["id"]))
            self.assertEqual(
                sidecar.list_tables("fam"), [table("fam", "rows", fields, ["id"])]
            )
            keys = [("fam", "rows", [i]) for i in range(9)]
            rows, at = sidecar.batch_get_rows(keys[:8])
            self.assertEqual([row["id"] for row in rows], list(range(8)))
            self.assertEqual(at, sequence)
            for too_many, reason in ((keys, "TOO_LARGE"), (keys[:1] * 1001, "INVALID_REQUEST")):
                refused = failure_of(failure(lambda k=too_many: sidecar.batch_get_rows(k)))
                self.assertEqual(refused.code, grpc.StatusCode.INVALID_ARGUMENT)
                self.assertEqual((refused.reason, refused.fields), (reason, ["keys"]))
            self.assertTrue(sidecar.status().HasField("changes_after"))


if __name__ == "__main__":
    unittest.main()
