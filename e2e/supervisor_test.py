"""Snapshots are what the ledger says, wherever they go, and nothing waits for them."""

import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Callable, List, Sequence, Set, Tuple

import grpc
from ctlstore.v1 import supervisor_pb2

from harness.case import E2eTestCase
from harness.client import ExecutiveClient, failure_of
from harness.cluster import Cluster, Supervisor, binary, by_ctlstore
from harness.load import Load
from harness.metrics import metrics_address, scrape
from harness.s3 import S3Server
from harness.snapshots import SnapshotFolder, sha1_in_metadata
from harness.sqlite_content import open_read_only
from harness.states import States
from harness.tcp_proxy import TcpProxy
from harness.values import table, upsert
from harness.waiting import pause_briefly, wait_until

KILLS = int(os.environ.get("CTLSTORE_KILLS", "25"))

# A snapshot may not make any copy older than this.
LAG_BOUND_S = 5.0

Stage = supervisor_pb2.GetSupervisorStatusResponse.Stage

EVERY_SECOND = ("--snapshot_interval_s=1", "--snapshot_keep_count=1000")
# So hard that it takes its time.
SLOWLY = ("--snapshot_compression_level=19", "--snapshot_threads=1")

# The commands' exit statuses.
FAILED = 1
UNAVAILABLE = 5


class SupervisorTest(E2eTestCase):
    def setUp(self) -> None:
        super().setUp()
        seed = int(os.environ.get("E2E_SEED", random.randrange(10**6)))
        print(f"E2E_SEED={seed} CTLSTORE_KILLS={KILLS}", file=sys.stderr)
        self.random = random.Random(seed)
        self.places = [SnapshotFolder(self.folder / name) for name in ("first", "second")]
        self._unpacked = 0

    def test_each_snapshot_of_a_busy_ledger_is_a_state_of_it(self) -> None:
        self._snapshots_are_states("zstd")

    def test_each_snapshot_of_a_busy_ledger_is_a_state_of_it_with_gzip(self) -> None:
        self._snapshots_are_states("gzip")

    def _snapshots_are_states(self, compression: str) -> None:
        cluster = self.start_cluster(hosts=0)
        load = Load(cluster, writers=2)
        cluster.add_supervisor(
            [place.url for place in self.places],
            [*EVERY_SECOND, f"--snapshot_compression={compression}"],
        )
        load.start()
        for place in self.places:
            wait_until(lambda place=place: len(place.ids()) >= 4, "snapshots come")
        load.stop()
        states = States()
        for place in self.places:
            for snapshot_id in place.ids():
                manifest = self._look(place, snapshot_id, states)
                self.assertEqual(manifest["compression"], compression)
        # In both of them the same ones, but for the last moment.
        first, second = (set(place.ids()) for place in self.places)
        self.assertGreaterEqual(len(first & second), 3)
        self.assertGreaterEqual(states.assert_from(cluster.ctldb.snapshot().ledger), 4)

    def test_replication_never_pauses(self) -> None:
        cluster = self.start_cluster(hosts=0)
        self._write_much(cluster.client())
        supervisor = cluster.add_supervisor([self.places[0].url], SLOWLY)
        load = Load(cluster, writers=2)
        load.start()
        metrics = metrics_address(supervisor.process)
        lag = f'ctlstore_reflector_lag_seconds{{ldb="{supervisor.ldb_path}"}}'
        # Stages within which the copy has gone on.
        gone_on: Set[int] = set()
        lags: List[float] = []
        taken = 0
        call = supervisor.client.stub.TakeSnapshot.future(supervisor_pb2.TakeSnapshotRequest())
        stage, sequence = Stage.IDLE, 0

        def watched_enough() -> bool:
            nonlocal call, taken, stage, sequence
            status = supervisor.client.status()
            if status.stage == stage and status.applied_sequence > sequence:
                gone_on.add(stage)
            if status.stage != stage:
                stage, sequence = status.stage, status.applied_sequence
            lags.append(scrape(metrics)[lag])
            if call.done():
                call.result()
                taken += 1
                call = supervisor.client.stub.TakeSnapshot.future(
                    supervisor_pb2.TakeSnapshotRequest()
                )
            return taken >= 2 and gone_on >= {Stage.COPYING, Stage.COMPRESSING}

        wait_until(watched_enough, "the copy goes on in each stage of a snapshot", 180)
        load.stop()
        self.assertGreater(len(lags), 20)
        self.assertLess(max(lags), LAG_BOUND_S)
        call.cancel()

    def test_a_place_that_fails_does_not_stop_the_others(self) -> None:
        cluster = self.start_cluster(hosts=0)
        self._write_little(cluster.client())
        bad, good = self.places
        bad.path.write_text("a file in the way", encoding="utf-8")
        supervisor = cluster.add_supervisor([bad.url, good.url])
        answer = supervisor.client.take_snapshot()
        self.assertEqual([d.url for d in answer.destinations], [bad.url, good.url])
        self.assertNotEqual(answer.destinations[0].error, "")
        self.assertEqual(answer.destinations[1].error, "")
        self.assertEqual(good.ids(), [answer.snapshot.id])
        self._look(good, answer.snapshot.id, States())

        result = self._command(supervisor, "snapshot", "now", "--json")
        self.assertEqual(result.returncode, FAILED, result.stderr)
        told = json.loads(result.stdout)
        self.assertEqual([d["ok"] for d in told["destinations"]], [False, True])
        self.assertEqual(set(good.ids()), {answer.snapshot.id, told["snapshot"]["id"]})
        status = supervisor.client.status()
        self.assertEqual([d.failures for d in status.destinations], [2, 0])
        shown = self._command(supervisor, "status", "supervisor")
        self.assertEqual(shown.returncode, UNAVAILABLE, shown.stderr)
        self.assertIn(good.ids()[0][:20], shown.stdout)
        samples = scrape(metrics_address(supervisor.process))
        for place, outcome in ((bad, "failed"), (good, "ok")):
            name = f'{{destination="{place.url}",outcome="{outcome}"}}'
            self.assertEqual(samples["ctlstore_supervisor_snapshots_total" + name], 2)

        bad.path.unlink()
        answer = supervisor.client.take_snapshot()
        self.assertEqual([d.error for d in answer.destinations], ["", ""])
        for place in self.places:
            self.assertIn(answer.snapshot.id, place.ids())
        self.assertEqual(supervisor.leftovers(), [])

    def test_a_place_that_hangs_does_not_stop_the_others(self) -> None:
        server = S3Server(self.folder / "s3", self.folder)
        self.addCleanup(server.stop)
        server.start()
        proxy = TcpProxy(f"127.0.0.1:{server.port}")
        self.addCleanup(proxy.close)
        cluster = self.start_cluster(hosts=0)
        load = Load(cluster, writers=1)
        good = self.places[0]
        supervisor = cluster.add_supervisor(
            [f"{server.url}/here", good.url],
            EVERY_SECOND,
            {**server.environment, "AWS_ENDPOINT_URL_S3": f"http://{proxy.address}"},
        )
        load.start()
        wait_until(lambda: self._manifests(server), "a snapshot is in the bucket")
        proxy.hang()
        before = len(good.ids())
        wait_until(lambda: len(good.ids()) >= before + 4, "snapshots come where nothing hangs")
        there = set(self._manifests(server))
        proxy.restore()
        wait_until(lambda: set(self._manifests(server)) - there, "the bucket gets one again")
        # An end while it hangs.
        proxy.hang()
        wait_until(
            lambda: supervisor.client.status().stage == Stage.UPLOADING, "something is uploaded"
        )
        self.assertEqual(supervisor.process.terminate(), 0)
        load.stop()

    def test_killed_anywhere_it_leaves_whole_snapshots_only(self) -> None:
        cluster = self.start_cluster(hosts=0)
        self._write_much(cluster.client(), requests=60)
        supervisor = cluster.add_supervisor(
            [place.url for place in self.places],
            ["--snapshot_compression_level=9", "--snapshot_keep_count=1000"],
        )
        begin = time_of(supervisor.client.take_snapshot)
        load = Load(cluster, writers=1)
        load.start()
        states = States()
        seen: List[Set[str]] = [set(), set()]
        interrupted = 0
        for _ in range(KILLS):
            call = supervisor.client.stub.TakeSnapshot.future(
                supervisor_pb2.TakeSnapshotRequest()
            )
            threading.Event().wait(self.random.random() * 1.5 * begin)
            supervisor.process.kill()
            interrupted += not call.done() or call.code() != grpc.StatusCode.OK
            for place, known in zip(self.places, seen):
                for snapshot_id in set(place.ids()) - known:
                    self._look(place, snapshot_id, states)
                    known.add(snapshot_id)
                self.assertLessEqual(known, set(place.ids()))
            supervisor.start()
            supervisor.wait_until_serving()
            self.assertEqual(supervisor.leftovers(), [])
            for place in self.places:
                wait_until(lambda place=place: not place.half_written(), "rubbish is removed")
        answer = supervisor.client.take_snapshot()
        self.assertEqual([d.error for d in answer.destinations], ["", ""])
        load.stop()
        for place in self.places:
            self._look(place, answer.snapshot.id, states)
            self.assertEqual([each["id"] for each in listed(place)], place.ids())
        states.assert_from(cluster.ctldb.snapshot().ledger)
        self.assertGreater(interrupted, 0, "no kill met a snapshot")

    def test_sigterm_ends_it_in_the_middle_of_a_snapshot(self) -> None:
        cluster = self.start_cluster(hosts=0)
        self._write_much(cluster.client())
        supervisor = cluster.add_supervisor([self.places[0].url], SLOWLY)
        for stage in (Stage.COPYING, Stage.COMPRESSING):
            with self.subTest(Stage.Name(stage)):

                def in_the_stage() -> bool:
                    nonlocal call
                    if call.done():
                        call = supervisor.client.stub.TakeSnapshot.future(
                            supervisor_pb2.TakeSnapshotRequest()
                        )
                    return supervisor.client.status().stage == stage

                call = supervisor.client.stub.TakeSnapshot.future(
                    supervisor_pb2.TakeSnapshotRequest()
                )
                wait_until(in_the_stage, "a snapshot is in this stage")
                self.assertEqual(supervisor.process.terminate(), 0)
                if call.code() != grpc.StatusCode.OK:
                    self.assertEqual(failure_of(call).code, grpc.StatusCode.UNAVAILABLE)
                self.assertIn("event=supervisor_stopped", supervisor.process.log_since_start())
                self.assertEqual(supervisor.leftovers(), [])
                self.assertEqual(self.places[0].half_written(), [])
                supervisor.start()
                supervisor.wait_until_serving()

    def test_a_single_object_is_read_by_plain_tools(self) -> None:
        cluster = self.start_cluster(hosts=0)
        packed, plain = self.folder / "go" / "ldb.db.gz", self.folder / "go" / "ldb.db"
        packed.parent.mkdir()
        self._write_little(cluster.client())
        supervisor = cluster.add_supervisor(
            [f"file://{packed}", f"file://{plain}", self.places[0].url]
        )
        states = States()
        for number in range(3):
            cluster.client().mutate("fam", [upsert("rows", {"id": number, "text": "more"})])
            sequence = cluster.ctldb.last_sequence()
            wait_until(
                lambda: supervisor.client.status().applied_sequence >= sequence, "it is copied"
            )
            answer = supervisor.client.take_snapshot()
            self.assertEqual([d.error for d in answer.destinations], ["", "", ""])
            self.assertGreaterEqual(answer.snapshot.sequence, sequence)
            gunzipped = self._new_path()
            with gzip.open(packed) as source:
                gunzipped.write_bytes(source.read())
            # SQLite leaves files beside what it opens.
            copied = self._new_path()
            copied.write_bytes(plain.read_bytes())
            self._assert_checksum(packed, hashlib.sha1(gunzipped.read_bytes()).hexdigest())
            for path in (gunzipped, copied):
                found = states.look_at_copy(path, str(path))
                self.assertEqual(found, answer.snapshot.sequence)
        states.assert_from(cluster.ctldb.snapshot().ledger)

    def test_the_program_takes_and_shows_snapshots(self) -> None:
        cluster = self.start_cluster(hosts=0, launcher=by_ctlstore)
        self._write_little(cluster.client())
        supervisor = cluster.add_supervisor([place.url for place in self.places])
        result = self._command(supervisor, "snapshot", "now")
        self.assertEqual(result.returncode, 0, result.stderr)
        (snapshot_id,) = self.places[0].ids()
        self.assertIn(snapshot_id, result.stdout)
        for place in self.places:
            self.assertIn(place.url, result.stdout)
            self.assertEqual(place.ids(), [snapshot_id])
        result = self._command(supervisor, "status", "supervisor", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        told = json.loads(result.stdout)
        self.assertEqual(
            [d["last_snapshot"]["id"] for d in told["destinations"]], [snapshot_id] * 2
        )
        there = supervisor.client.list_snapshots()
        for destination in there.destinations:
            (snapshot,) = destination.snapshots
            self.assertEqual(snapshot.id, snapshot_id)
            self.assertEqual(snapshot.sequence, int(snapshot_id[:20]))

    def test_families_are_all_that_its_snapshots_have(self) -> None:
        cluster = self.start_cluster(hosts=0)
        client = cluster.client()
        self._write_little(client)
        client.create_family("other")
        client.create_table(table("other", "rows", [("id", "integer")], ["id"]))
        client.mutate("other", [upsert("rows", {"id": 1})])
        supervisor = cluster.add_supervisor([self.places[0].url], ["--families=other"])
        answer = supervisor.client.take_snapshot()
        self.assertEqual(list(answer.snapshot.families), ["other"])
        states = States()
        manifest = self._look(self.places[0], answer.snapshot.id, states)
        self.assertEqual(manifest["families"], ["other"])
        self.assertEqual([t["family"] for t in manifest["tables"]], ["other"])
        states.assert_from(cluster.ctldb.snapshot().ledger)

    def test_without_a_ledger_it_says_what_is_missing(self) -> None:
        cluster = self.start_cluster(hosts=0)
        supervisor = Supervisor(
            "early",
            cluster.ctldb,
            self.folder,
            self.socket_folder,
            lambda service: [binary(service)],
            [self.places[0].url],
            [f"--ctldb=sqlite://{self.folder}/none/ctldb.db"],
        )
        self.addCleanup(supervisor.process.kill)
        supervisor.start()
        self.assertNotEqual(supervisor.client.status().not_ready, "")
        with self.assertRaises(grpc.RpcError) as raised:
            supervisor.client.take_snapshot(wait_for_ready=True)
        failure = failure_of(raised.exception)
        self.assertEqual(failure.code, grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(failure.reason, "LDB_UNAVAILABLE")
        self.assertEqual(supervisor.process.terminate(), 0)
        self.assertEqual(self.places[0].ids(), [])

    def _look(self, place: SnapshotFolder, snapshot_id: str, states: States) -> Any:
        """Takes in what a snapshot holds, and returns its manifest."""
        path = self._new_path()
        manifest = place.unpack(snapshot_id, path)
        connection = open_read_only(path)
        try:
            (result,) = connection.execute("PRAGMA integrity_check").fetchone()
            self.assertEqual(result, b"ok")
            sequence = states.look(connection, f"{place.url} {snapshot_id}", 0)
            for summary in manifest["tables"]:
                name = f"{summary['family']}___{summary['table']}"
                (rows,) = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()
                self.assertEqual(rows, summary["rows"], name)
        finally:
            connection.close()
        self.assertEqual(sequence, manifest["sequence"])
        path.unlink()
        return manifest

    def _new_path(self) -> Path:
        self._unpacked += 1
        return self.folder / f"unpacked{self._unpacked}.db"

    def _assert_checksum(self, path: Path, sha1: str) -> None:
        try:
            self.assertEqual(sha1_in_metadata(path), sha1)
        except OSError as error:
            # This file system has no attributes: the object comes without its metadata.
            print(f"{path}: {error}", file=sys.stderr)

    @staticmethod
    def _manifests(server: S3Server) -> List[str]:
        return [
            key
            for key in server.keys()
            if key.endswith(".json") and not key.endswith("index.json")
        ]

    @staticmethod
    def _command(supervisor: Supervisor, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [binary("ctlstore"), *arguments, f"--supervisor={supervisor.address}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
            text=True,
        )

    @staticmethod
    def _write_little(client: ExecutiveClient) -> None:
        client.create_family("fam")
        client.create_table(
            table("fam", "rows", [("id", "integer"), ("text", "text")], ["id"])
        )
        client.mutate("fam", [upsert("rows", {"id": n, "text": f"row {n}"}) for n in range(100)])

    def _write_much(self, client: ExecutiveClient, requests: int = 200) -> None:
        """Rows that do not compress, 100 kB a request."""
        client.create_family("fam")
        columns = [("id", "integer"), ("data", "binary")]
        client.create_table(table("fam", "much", columns, ["id"]))
        for request in range(requests):
            rows = [
                upsert("much", {"id": request * 50 + n, "data": self.random.randbytes(2000)})
                for n in range(50)
            ]
            client.mutate("fam", rows)


def listed(place: SnapshotFolder) -> Sequence[Any]:
    """The index's snapshots."""
    index = place.index()
    snapshots = index["snapshots"] if isinstance(index, dict) else index
    return [each if isinstance(each, dict) else {"id": each} for each in snapshots]


def time_of(call: Callable[[], Any]) -> float:
    """In seconds."""
    begin = time.monotonic()
    call()
    return time.monotonic() - begin


if __name__ == "__main__":
    unittest.main()
