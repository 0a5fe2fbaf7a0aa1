"""A ctldb is destroyed on purpose, and brought back by the steps of docs/disaster-recovery.md.

Hosts that are at the snapshot, behind it, ahead of it, and new ones agree with the restored ctldb
afterwards, and no reader has seen a step back.
"""

import json
import random
import subprocess
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Dict, List, Tuple

import grpc

from harness.case import E2eTestCase
from harness.client import ExecutiveClient, SidecarClient
from harness.cluster import Cluster, Host, binary
from harness.ctldb import Ctldb, MariadbCtldb, SqliteCtldb
from harness.sqlite_content import open_read_only, read_ldb_sequence
from harness.values import table, upsert
from harness.waiting import pause_briefly, wait_until

FAMILY = "fam"
TABLE = "rows"
OK, REFUSED = 0, 4


class RowWriter(threading.Thread):
    """Writes rows with rising numbers, whatever comes of it, and knows which ones are there."""

    def __init__(self, client: ExecutiveClient) -> None:
        super().__init__(daemon=True)
        # Number and sequence of each row that was acknowledged.
        self.acknowledged: List[Tuple[int, int]] = []
        self._client = client
        self._stopping = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            rows = [upsert(TABLE, {"id": number, "part": part, "v": "x"}) for part in range(2)]
            try:
                self.acknowledged.append((number, self._client.mutate(FAMILY, rows, timeout=5)))
            except grpc.RpcError:
                pause_briefly()

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), "the writer hangs"


class Steps(threading.Thread):
    """Reads on a host all the while, and keeps every step back that it sees."""

    def __init__(self, host: Host) -> None:
        super().__init__(daemon=True)
        self.faults: List[str] = []
        self.looks = 0
        self.last = 0
        self._host = host
        self._client = SidecarClient(host.sidecar_address)
        self._stopping = threading.Event()

    def run(self) -> None:
        file_last = 0
        while not self._stopping.is_set():
            try:
                applied = self._client.status().applied_sequence
                self._client.get_row(FAMILY, TABLE, [1, 0])
            except grpc.RpcError as error:
                self.faults.append(f"{self._host.name}: a read failed: {error}")
                return
            in_file = read_ldb_sequence(self._host.ldb_path)
            if applied < self.last or in_file < file_last:
                self.faults.append(
                    f"{self._host.name} went back from {self.last} to {applied}, "
                    f"its file from {file_last} to {in_file}"
                )
            self.last, file_last = applied, in_file
            self.looks += 1

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), "a reader hangs"
        self._client.close()


class DisasterTest(E2eTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = f"file://{self.folder}/snapshots"

    def test_a_lost_ctldb_comes_back_by_the_documented_steps(self) -> None:
        cluster = self._cluster()
        behind, at_snapshot, ahead = (self._add_host(cluster, polls) for polls in (1, 0, 1))
        hosts = [behind, at_snapshot, ahead]
        writer = RowWriter(cluster.client())
        writer.start()
        readers = self._read_on(hosts)
        self._progress(behind)
        behind.reflector.kill()
        self._progress(at_snapshot)
        at_snapshot.reflector.kill()
        taken = self._ctlstore_json("snapshot", "take", f"--ldb={at_snapshot.ldb_path}", self.place)
        snapshot = taken["sequence"]
        self.assertEqual(snapshot, at_snapshot.applied_sequence())
        self._progress(ahead)

        self._destroy(cluster.ctldb)
        writer.stop()
        before = {host.name: host.applied_sequence() for host in hosts}
        self.assertLess(before[behind.name], snapshot)
        self.assertGreater(before[ahead.name], snapshot)
        at_snapshot.reflector.start()

        self.assertEqual(cluster.executives[0].process.terminate(), 0)
        listed = self._ctlstore_json("snapshot", "list", self.place)
        self.assertEqual([found["id"] for found in listed["snapshots"]], [taken["id"]])
        self._ctlstore("snapshot", "verify", self.place)
        self._make_empty(cluster.ctldb)
        restored = self._restore(cluster)
        self.assertEqual(restored["snapshot_sequence"], snapshot)
        self.assertEqual(restored["last_sequence"], snapshot + 1000000)
        self._serve_again(cluster)

        # What is lost is what was written behind the snapshot, and nothing else.
        client = cluster.client()
        new_host = self._add_host(cluster, polls=0)
        sequence = client.mutate(FAMILY, [upsert(TABLE, {"id": -1, "part": 0, "v": "after"})])
        self.assertGreater(sequence, restored["last_sequence"])
        behind.reflector.start()
        for host in [*hosts, new_host]:
            self._wait_for(host, sequence)
            self._assert_equal(cluster, host)
            self.assertEqual(
                host.client.get_row(FAMILY, TABLE, [-1, 0]), {"id": -1, "part": 0, "v": "after"}
            )
            for number, written in writer.acknowledged:
                found = host.client.get_row(FAMILY, TABLE, [number, 1])
                self.assertEqual(found is not None, written <= snapshot, (host.name, number))
        # One that was exactly at the snapshot has gone on as it was.
        self.assertEqual(at_snapshot.ldb_path.resolve(), at_snapshot.ldb_path)
        self.assertNotEqual(ahead.ldb_path.resolve(), ahead.ldb_path)
        self._assert_no_step_back(readers)

    def test_the_host_that_is_furthest_saves_what_no_snapshot_has(self) -> None:
        cluster = self._cluster()
        hosts = [self._add_host(cluster, polls) for polls in (1, 0)]
        writer = RowWriter(cluster.client())
        writer.start()
        readers = self._read_on(hosts)
        self._progress(hosts[0])
        self._ctlstore("snapshot", "take", f"--ldb={hosts[0].ldb_path}", self.place)
        hosts[0].reflector.kill()
        self._progress(hosts[1])
        writer.stop()
        last = cluster.ctldb.last_sequence()
        wait_until(lambda: hosts[1].applied_sequence() == last, "a host has all of it")
        self._destroy(cluster.ctldb)
        hosts[0].reflector.start()

        self.assertEqual(cluster.executives[0].process.terminate(), 0)
        # While its reflector runs.
        taken = self._ctlstore_json("snapshot", "take", f"--ldb={hosts[1].ldb_path}", self.place)
        self.assertEqual(taken["sequence"], last)
        self._make_empty(cluster.ctldb)
        self.assertEqual(self._restore(cluster)["snapshot_sequence"], last)
        self._serve_again(cluster)
        sequence = cluster.client().mutate(
            FAMILY, [upsert(TABLE, {"id": -1, "part": 0, "v": "after"})]
        )
        for host in hosts:
            self._wait_for(host, sequence)
            self._assert_equal(cluster, host)
            for number, _ in writer.acknowledged:
                self.assertIsNotNone(host.client.get_row(FAMILY, TABLE, [number, 1]))
        self._assert_no_step_back(readers)

    def test_a_restore_that_is_killed_is_not_served_and_can_be_completed(self) -> None:
        cluster = self._cluster()
        host = self._add_host(cluster, polls=1)
        client = cluster.client()
        text = "v" * 20000
        for begin in range(0, 2000, 40):
            rows = [{"id": i, "part": 0, "v": text} for i in range(begin, begin + 40)]
            client.mutate(FAMILY, [upsert(TABLE, row) for row in rows])
        cluster.wait_until_caught_up()
        self._ctlstore("snapshot", "take", f"--ldb={host.ldb_path}", self.place)
        self._destroy(cluster.ctldb)
        executive = cluster.executives[0]
        executive.process.terminate()
        self._make_empty(cluster.ctldb)

        command = self._restore_command(cluster)
        begun = False
        for _ in range(50):
            with subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                wait_until(
                    lambda: self._marked(cluster.ctldb) or process.poll() is not None, "it begins"
                )
                time.sleep(random.uniform(0, 0.1))
                process.kill()
            begun = self._marked(cluster.ctldb)
            if begun:
                break
            self._destroy(cluster.ctldb)
            self._make_empty(cluster.ctldb)
        self.assertTrue(begun, "no restore was met in the middle")

        status, _, errors = self._run(command)
        self.assertEqual(status, REFUSED)
        self.assertIn("--resume", errors)
        executive.start()
        wait_until(
            lambda: "is being restored" in executive.process.log_since_start(), "it says why"
        )
        self.assertTrue(executive.process.running())
        self._restore(cluster, "--resume")
        executive.wait_until_serving()
        self._register(cluster)
        sequence = client.mutate(FAMILY, [upsert(TABLE, {"id": -1, "part": 0, "v": "after"})])
        self._wait_for(host, sequence)
        self._assert_equal(cluster, host)

    def _cluster(self) -> Cluster:
        cluster = self.start_cluster(hosts=0)
        client = cluster.client()
        client.create_family(FAMILY)
        client.create_table(
            table(
                FAMILY,
                TABLE,
                [("id", "integer"), ("part", "integer"), ("v", "text")],
                ["id", "part"],
            )
        )
        return cluster

    def _add_host(self, cluster: Cluster, polls: int) -> Host:
        stream = f"grpc:{cluster.executives[0].address}"
        return cluster.add_host(
            [cluster.ctldb.url if polls else stream],
            reflector_flags=[f"--snapshot_urls={self.place}"],
        )

    def _read_on(self, hosts: List[Host]) -> List[Steps]:
        readers = [Steps(host) for host in hosts]
        for host, reader in zip(hosts, readers):
            # It has the table.
            self._progress(host)
            reader.start()
        return readers

    def _progress(self, host: Host) -> None:
        before = host.applied_sequence()
        wait_until(lambda: host.applied_sequence() > before + 30, f"{host.name} gets on")

    def _wait_for(self, host: Host, sequence: int) -> None:
        wait_until(
            lambda: host.applied_sequence() >= sequence,
            f"{host.name} applies {sequence}; it is {host.reflector_client.state()}",
            timeout_s=60,
        )

    def _destroy(self, ctldb: Ctldb) -> None:
        if isinstance(ctldb, MariadbCtldb):
            ctldb.server.execute(f"DROP DATABASE `{ctldb.database}`")
            return
        assert isinstance(ctldb, SqliteCtldb)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{ctldb.path}{suffix}").unlink(missing_ok=True)

    def _make_empty(self, ctldb: Ctldb) -> None:
        if isinstance(ctldb, MariadbCtldb):
            ctldb.server.execute(f"CREATE DATABASE `{ctldb.database}`")

    def _marked(self, ctldb: Ctldb) -> bool:
        """Whether a restore was begun and is not at its end."""
        query = "SELECT 1 FROM locks WHERE id = 'restore'"
        try:
            if isinstance(ctldb, MariadbCtldb):
                connection = ctldb.server.connect(ctldb.database)
                try:
                    with connection.cursor() as cursor:
                        return cursor.execute(query) > 0
                finally:
                    connection.close()
            assert isinstance(ctldb, SqliteCtldb)
            connection = open_read_only(ctldb.path)
            try:
                return connection.execute(query).fetchone() is not None
            finally:
                connection.close()
        except Exception:  # pylint: disable=broad-except
            # There is no such table yet.
            return False

    def _register(self, cluster: Cluster) -> None:
        cluster.client().register(cluster.writer)

    def _serve_again(self, cluster: Cluster) -> None:
        cluster.executives[0].start()
        cluster.executives[0].wait_until_serving()
        self._register(cluster)

    def _restore_command(self, cluster: Cluster, *flags: str) -> List[str]:
        return [
            binary("ctlstore"),
            "snapshot",
            "restore",
            f"--ctldb={cluster.ctldb.url}",
            "--yes",
            "--json",
            *flags,
            self.place,
        ]

    def _restore(self, cluster: Cluster, *flags: str) -> Dict[str, Any]:
        status, output, errors = self._run(self._restore_command(cluster, *flags))
        self.assertEqual(status, OK, errors)
        return json.loads(output)

    def _assert_equal(self, cluster: Cluster, host: Host) -> None:
        self._ctlstore("verify", f"--ldb={host.ldb_path}", f"--ctldb={cluster.ctldb.url}")

    def _assert_no_step_back(self, readers: List[Steps]) -> None:
        for reader in readers:
            reader.stop()
            self.assertEqual(reader.faults, [])
            self.assertGreater(reader.looks, 0)

    def _ctlstore(self, *arguments: str) -> str:
        status, output, errors = self._run([binary("ctlstore"), *arguments])
        self.assertEqual(status, OK, f"{arguments}: {output}{errors}")
        return output

    def _ctlstore_json(self, *arguments: str) -> Dict[str, Any]:
        return json.loads(self._ctlstore(*arguments, "--json"))

    def _run(self, command: List[str]) -> Tuple[int, str, str]:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        return done.returncode, done.stdout, done.stderr


if __name__ == "__main__":
    unittest.main()
