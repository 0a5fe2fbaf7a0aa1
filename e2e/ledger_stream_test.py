"""The ledger as a stream, as a client in another language sees it."""

import hashlib
import random
import struct
import threading
import unittest
from typing import List

import grpc
from ctlstore.v1 import ledger_pb2, ledger_pb2_grpc

from harness.case import E2eTestCase
from harness.client import failure_of, open_channel
from harness.cluster import Cluster
from harness.load import Load
from harness.metrics import scrape
from harness.reflection import HEALTH_SERVING, check_health, list_services
from harness.snapshot import LedgerEntry
from harness.values import table, upsert
from harness.waiting import pause_briefly, wait_until

LISTENERS = 6
# Nothing is waited for longer.
STREAM_TIMEOUT_S = 120.0


def digest_of(entry: LedgerEntry) -> bytes:
    """What docs/formats.md calls the digest of an entry."""
    sha = hashlib.sha256(struct.pack("<q", entry.sequence))
    sha.update(entry.leader_time[:19].encode())
    sha.update(entry.statement.encode())
    return sha.digest()[:16]


class Listener(threading.Thread):
    """Listens to one executive after the other, and goes on from where it is."""

    def __init__(self, me: int, cluster: Cluster) -> None:
        super().__init__(name=f"listener {me}", daemon=True)
        self.entries: List[LedgerEntry] = []
        self.breaks = 0
        self.faults: List[str] = []
        self._me = me
        self._addresses = [executive.address for executive in cluster.executives]
        self._random = random.Random(me)
        self._end = threading.Event()
        self._last = 0

    def end_at(self, sequence: int) -> None:
        """Lets it end when it has this one."""
        self._last = sequence
        self._end.set()

    def run(self) -> None:
        try:
            upstream = self._me
            while not self._done():
                with open_channel(self._addresses[upstream % len(self._addresses)]) as channel:
                    self._listen(ledger_pb2_grpc.LedgerStub(channel))
                upstream += 1
                pause_briefly()
        except Exception as error:  # pylint: disable=broad-except
            self.faults.append(f"{self.name} gave up: {error!r}")

    def _done(self) -> bool:
        return self._end.is_set() and bool(self.entries) and self._at() >= self._last

    def _at(self) -> int:
        return self.entries[-1].sequence if self.entries else 0

    def _listen(self, stub: ledger_pb2_grpc.LedgerStub) -> None:
        request = ledger_pb2.TailRequest(after_sequence=self._at(), instance=self.name)
        if self.entries:
            request.after_digest = digest_of(self.entries[-1])
        stream = stub.Tail(request, timeout=STREAM_TIMEOUT_S)
        answers = self._random.randint(20, 200)
        try:
            for answer in stream:
                for entry in answer.entries:
                    assert entry.sequence == self._at() + 1, (entry.sequence, self._at())
                    self.entries.append(
                        LedgerEntry(entry.sequence, entry.leader_time, entry.statement.decode())
                    )
                assert answer.last_sequence >= self._at()
                answers -= 1
                if self._done() or answers == 0:
                    stream.cancel()
                    return
        except grpc.RpcError as error:
            self.breaks += 1
            failure = failure_of(error)
            allowed = failure.code == grpc.StatusCode.UNAVAILABLE or failure.reason == "SLOW_READER"
            # A killed server.
            allowed = allowed or failure.code == grpc.StatusCode.UNKNOWN and failure.reason is None
            assert allowed, failure


class LedgerStreamTest(E2eTestCase):
    def test_listeners_have_the_whole_ledger_whoever_dies(self) -> None:
        cluster = self.start_cluster(executives=2, hosts=0)
        load = Load(cluster, writers=4)
        listeners = [Listener(me, cluster) for me in range(LISTENERS)]
        load.start()
        for listener in listeners:
            listener.start()
        for number in range(4):
            reached = load.acknowledged()
            wait_until(
                lambda reached=reached: load.acknowledged() >= reached + 50, "the writers get on"
            )
            cluster.executives[number % 2].restart_after_kill()
        load.stop()
        ledger = cluster.ctldb.snapshot().ledger
        for listener in listeners:
            listener.end_at(ledger[-1].sequence)
        # So that streams that wait for something have it.
        client = cluster.client()
        client.create_family("more")
        client.create_table(table("more", "rows", [("id", "integer")], ["id"]))
        for listener in listeners:
            listener.join(STREAM_TIMEOUT_S)
            self.assertFalse(listener.is_alive())
            self.assertEqual(listener.faults, [])
            got = listener.entries[: len(ledger)]
            self.assertEqual([entry.sequence for entry in got], [e.sequence for e in ledger])
            for entry, expected in zip(got, ledger):
                self.assertEqual(entry.statement, expected.statement)
                self.assertEqual(entry.leader_time[:19], expected.leader_time[:19])
        self.assertGreater(sum(listener.breaks for listener in listeners), 0)

    def test_a_position_of_another_ledger_is_told(self) -> None:
        cluster = self.start_cluster(hosts=0)
        client = cluster.client()
        client.create_family("fam")
        client.create_table(table("fam", "rows", [("id", "integer")], ["id"]))
        for number in range(10):
            client.mutate("fam", [upsert("rows", {"id": number})])
        ledger = cluster.ctldb.snapshot().ledger
        with open_channel(cluster.executives[0].address) as channel:
            self.assertIn("ctlstore.v1.Ledger", list_services(channel))
            self.assertEqual(check_health(channel, "ctlstore.v1.Ledger"), HEALTH_SERVING)
            stub = ledger_pb2_grpc.LedgerStub(channel)

            def begin(sequence: int, digest: bytes) -> ledger_pb2.TailResponse:
                request = ledger_pb2.TailRequest(after_sequence=sequence, after_digest=digest)
                stream = stub.Tail(request, timeout=STREAM_TIMEOUT_S)
                answer = next(stream)
                stream.cancel()
                return answer

            for entry in ledger:
                answer = begin(entry.sequence, digest_of(entry))
                self.assertEqual(answer.last_sequence, ledger[-1].sequence)
                if answer.entries:
                    self.assertEqual(answer.entries[0].sequence, entry.sequence + 1)
                with self.assertRaises(grpc.RpcError) as caught:
                    begin(entry.sequence, digest_of(entry._replace(statement="another")))
                failure = failure_of(caught.exception)
                self.assertEqual(failure.code, grpc.StatusCode.FAILED_PRECONDITION)
                self.assertEqual(failure.reason, "LEDGER_DIVERGED")
            with self.assertRaises(grpc.RpcError) as caught:
                begin(len(ledger) + 1, b"")
            self.assertEqual(failure_of(caught.exception).reason, "LEDGER_BEHIND")
        samples = scrape(cluster.executives[0].metrics_address())
        let_go = "ctlstore_executive_ledger_listeners_let_go_total"
        self.assertEqual(samples[f'{let_go}{{reason="LEDGER_DIVERGED"}}'], len(ledger))
        self.assertEqual(samples[f'{let_go}{{reason="LEDGER_BEHIND"}}'], 1)
        self.assertEqual(samples["ctlstore_executive_ledger_listeners_max"], 5000)

    def test_the_end_of_an_executive_ends_its_streams(self) -> None:
        cluster = self.start_cluster(hosts=0)
        executive = cluster.executives[0]
        with open_channel(executive.address) as channel:
            stub = ledger_pb2_grpc.LedgerStub(channel)
            streams = [
                stub.Tail(ledger_pb2.TailRequest(), timeout=STREAM_TIMEOUT_S) for _ in range(20)
            ]
            for stream in streams:
                self.assertEqual(len(next(stream).entries), 0)
            self.assertEqual(executive.process.terminate(), 0)
            for stream in streams:
                with self.assertRaises(grpc.RpcError) as caught:
                    for _ in stream:
                        pass
                self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
                failure = failure_of(caught.exception)
                self.assertIsNotNone(failure.retry_delay_s, failure)


if __name__ == "__main__":
    unittest.main()
