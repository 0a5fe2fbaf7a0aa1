"""New hosts begin from a snapshot, wherever they are cut off meanwhile, and nobody sees a step back.

The snapshots are in S3; the ledger's beginning is gone.
"""

import json
import os
import random
import subprocess
import threading
import unittest
from typing import Any, Dict, List

import grpc

from harness.case import E2eTestCase
from harness.cluster import Cluster, Host, Supervisor, binary
from harness.s3 import S3Server
from harness.values import table, upsert
from harness.waiting import wait_until

FAMILY = "boot"
ROWS = 4000
ROW_BYTES = 6000
REQUEST_ROWS = 50
KILLS = 12
HOUR_S = 3600


class SequenceWatcher(threading.Thread):
    """Reads a host's copy through its sidecar all the while."""

    def __init__(self, host: Host) -> None:
        super().__init__(daemon=True)
        self.sequences: List[int] = []
        self.faults: List[str] = []
        self._client = host.client
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                sequence = self._client.status().applied_sequence
                if self._client.get_row(FAMILY, "rows", [0]) is None:
                    self.faults.append(f"the row is gone at {sequence}")
            except grpc.RpcError as error:
                self.faults.append(f"cannot read: {error}")
                return
            if self.sequences and sequence < self.sequences[-1]:
                self.faults.append(f"went back from {self.sequences[-1]} to {sequence}")
            if not self.sequences or sequence != self.sequences[-1]:
                self.sequences.append(sequence)

    def stop(self) -> None:
        self._stopping.set()
        self.join()


class BootstrapTest(E2eTestCase):
    s3: S3Server

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.s3 = S3Server(cls._class_folder / "s3", cls._class_folder)
        cls.addClassCleanup(cls.s3.stop)
        cls.s3.start()
        # For all processes that tests start.
        os.environ.update(cls.s3.environment)

    def setUp(self) -> None:
        super().setUp()
        self.s3.clear_faults()
        self.url = f"{self.s3.url}/{self._testMethodName}"

    def test_a_new_host_begins_from_a_snapshot_of_a_pruned_ledger(self) -> None:
        cluster = self._cluster()
        supervisor = self._supervisor(cluster)
        self._write(cluster, 0, ROWS)
        self._snapshot()
        self._write(cluster, ROWS, ROWS + 100)
        self._prune(cluster)
        host = cluster.add_host(reflector_flags=self._snapshot_flags())
        self._wait_until_current(host)
        self.assertTrue(host.reflector_client.status().snapshot_id)
        self._assert_equal(cluster, host)
        # It goes on with the ledger as any other one.
        self._write(cluster, ROWS + 100, ROWS + 200)
        cluster.wait_until_caught_up()
        self._assert_equal(cluster, host)
        # Without a place for snapshots it could not have begun.
        other = cluster.add_host()
        wait_until(
            lambda: self._state(other) == "NEEDS_SNAPSHOT", "a host without snapshots says so"
        )
        supervisor.process.kill()

    def test_a_new_host_serves_while_nothing_but_the_store_answers(self) -> None:
        cluster = self._cluster()
        supervisor = self._supervisor(cluster)
        self._write(cluster, 0, 500)
        snapshot = self._snapshot()
        supervisor.process.kill()
        for executive in cluster.executives:
            executive.process.kill()
        host = cluster.add_host(
            upstreams=["grpc://127.0.0.1:1"], reflector_flags=self._snapshot_flags()
        )
        self.assertEqual(host.client.status().applied_sequence, snapshot["sequence"])
        self.assertIsNotNone(host.client.get_row(FAMILY, "rows", [499]))

    def test_a_fetch_that_is_killed_again_and_again_comes_to_its_end(self) -> None:
        seed = int(os.environ.get("E2E_SEED", random.randrange(1 << 32)))
        print(f"E2E_SEED={seed}")
        moments = random.Random(seed)
        cluster = self._cluster()
        self._supervisor(cluster)
        self._write(cluster, 0, ROWS)
        snapshot = self._snapshot()
        self._prune(cluster)
        host = self._new_host(cluster, "killed")
        for _ in range(KILLS):
            host.reflector.start()
            # The moment is what is at random here.
            threading.Event().wait(moments.uniform(0, 0.4))
            host.reflector.kill()
            if host.ldb_path.exists():
                self.assertGreaterEqual(host.applied_sequence(), snapshot["sequence"])
        host.start()
        host.wait_until_serving()
        self._wait_until_current(host)
        self._assert_equal(cluster, host)
        wait_until(
            lambda: not host.ldb_path.with_name("ldb.db.fetch").exists(),
            "what was left of the fetch is removed",
        )

    def test_broken_connections_to_the_store_do_not_matter(self) -> None:
        cluster = self._cluster()
        self._supervisor(cluster)
        self._write(cluster, 0, ROWS)
        self._snapshot()
        self._prune(cluster)
        self.s3.add_fault(method="GET", contains=".db.zst", times=3, cutResponseAfter=200_000)
        self.s3.add_fault(method="GET", times=2, status=503)
        host = cluster.add_host(reflector_flags=self._snapshot_flags())
        self._wait_until_current(host)
        self.assertTrue(host.reflector_client.status().snapshot_id)
        self._assert_equal(cluster, host)

    def test_a_host_that_was_away_for_too_long_comes_back_and_no_reader_goes_back(self) -> None:
        cluster = self._cluster()
        self._supervisor(cluster)
        self._write(cluster, 0, 200)
        host = cluster.add_host(reflector_flags=self._snapshot_flags())
        self._wait_until_current(host)
        away_at = host.applied_sequence()
        host.reflector.kill()
        watcher = SequenceWatcher(host)
        watcher.start()
        self._write(cluster, 200, ROWS)
        snapshot = self._snapshot()
        self._prune(cluster)
        host.reflector.start()
        wait_until(
            lambda: host.client.status().applied_sequence >= snapshot["sequence"],
            "the host comes back by itself",
        )
        self._wait_until_current(host)
        watcher.stop()
        self.assertEqual(watcher.faults, [])
        self.assertGreaterEqual(watcher.sequences[0], away_at)
        self.assertEqual(host.reflector_client.status().snapshot_id, snapshot["id"])
        self._assert_equal(cluster, host)

    def test_without_a_good_snapshot_the_ledger_is_played_if_it_is_whole(self) -> None:
        cluster = self._cluster()
        self._write(cluster, 0, 200)
        # Nothing is there; then there is nobody.
        host = cluster.add_host(reflector_flags=self._snapshot_flags())
        self._wait_until_current(host)
        self._assert_equal(cluster, host)
        self.assertFalse(host.reflector_client.status().snapshot_id)
        other = cluster.add_host(
            reflector_flags=[
                *self._snapshot_flags(),
                "--s3_endpoint=http://127.0.0.1:1",
                "--object_store_max_attempts=2",
            ]
        )
        self._wait_until_current(other)
        self._assert_equal(cluster, other)

    def _cluster(self) -> Cluster:
        cluster = self.start_cluster(
            hosts=0,
            executive_flags=[
                *self._snapshot_flags(),
                "--prune_ledger",
                f"--prune_older_than_hours={0.001 / HOUR_S}",
                "--prune_pause_ms=1",
            ],
        )
        client = cluster.client()
        client.create_family(FAMILY)
        client.create_table(table(FAMILY, "rows", [("id", "integer"), ("t", "text")], ["id"]))
        return cluster

    def _snapshot_flags(self) -> List[str]:
        return [f"--snapshot_urls={self.url}"]

    def _supervisor(self, cluster: Cluster) -> Supervisor:
        supervisor = cluster.add_supervisor([self.url])
        self.supervisor_address = supervisor.address
        return supervisor

    def _new_host(self, cluster: Cluster, name: str) -> Host:
        """A host that is not started."""
        host = cluster._new_host(name, reflector_flags=self._snapshot_flags())
        cluster.hosts.append(host)
        return host

    def _write(self, cluster: Cluster, begin: int, end: int) -> None:
        client = cluster.client()
        for first in range(begin, end, REQUEST_ROWS):
            client.mutate(
                FAMILY,
                [
                    upsert("rows", {"id": i, "t": random.randbytes(ROW_BYTES // 2).hex()})
                    for i in range(first, min(first + REQUEST_ROWS, end))
                ],
            )

    def _ctlstore(self, *arguments: str) -> Dict[str, Any]:
        done = subprocess.run(
            [binary("ctlstore"), *arguments, "--json"], capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return json.loads(done.stdout)

    def _snapshot(self) -> Dict[str, Any]:
        """Of all that is there now."""
        return self._ctlstore("snapshot", "now", f"--supervisor={self.supervisor_address}")["snapshot"]

    def _prune(self, cluster: Cluster) -> None:
        """Removes all of the ledger that may be removed."""

        def pruned() -> bool:
            answer = self._ctlstore(
                "ledger", "prune", f"--executive={cluster.executives[0].address}"
            )
            return answer["pruned_through_sequence"] > 1

        wait_until(pruned, "the ledger's beginning is removed")

    def _state(self, host: Host) -> str:
        return host.reflector_client.state()

    def _wait_until_current(self, host: Host) -> None:
        wait_until(lambda: self._state(host) == "CURRENT", f"{host.name} has caught up")

    def _assert_equal(self, cluster: Cluster, host: Host) -> None:
        report = self._ctlstore(
            "verify", f"--ldb={host.ldb_path}", f"--ctldb={cluster.ctldb.url}"
        )
        self.assertEqual(report["result"], "equal", report)


if __name__ == "__main__":
    unittest.main()
