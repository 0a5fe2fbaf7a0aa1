"""The ledger is pruned under load: what goes is old and in snapshots everywhere, and hosts go on."""

import json
import re
import shutil
import subprocess
import threading
import unittest
from typing import Any, Callable, Dict, List

import grpc
from ctlstore.v1 import executive_pb2

from harness.case import E2eTestCase
from harness.client import failure_of
from harness.cluster import Cluster, Host, Supervisor, binary
from harness.load import Load
from harness.metrics import scrape
from harness.snapshots import SnapshotFolder
from harness.values import table, upsert
from harness.waiting import wait_until

OK, REFUSED = 0, 4

# Old enough to go after a second or so.
SOON_OLD = "--prune_older_than_hours=0.0001"


class PruneTest(E2eTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.places = [SnapshotFolder(self.folder / name) for name in ("near", "far")]
        self.urls = ",".join(place.url for place in self.places)

    def test_executives_prune_by_themselves_while_all_goes_on(self) -> None:
        cluster = self._start(
            SOON_OLD,
            "--prune_interval_s=1",
            "--prune_batch_entries=20",
            "--prune_pause_ms=1",
            executives=2,
            hosts=2,
        )
        cluster.add_host([f"grpc://{cluster.executives[0].tcp_address()}"])
        self._supervise(cluster, "--snapshot_interval_s=1")
        load = Load(cluster, writers=3)
        load.start()
        begins = [self._first(cluster)]
        while len(begins) < 5:
            wait_until(lambda: self._first(cluster) > begins[-1], "the ledger is pruned")
            begins.append(self._first(cluster))
            acknowledged = load.acknowledged()
            wait_until(lambda seen=acknowledged: load.acknowledged() > seen, "writers get on")
        load.stop()
        # Nobody had to wait for so long that it failed.
        self.assertEqual(load.failures(), [])
        cluster.wait_until_caught_up()
        for host in cluster.hosts:
            wait_until(lambda host=host: host.reflector_client.state() == "CURRENT", "current")
        metrics = [scrape(executive.metrics_address()) for executive in cluster.executives]
        self.assertGreater(sum(each["ctlstore_executive_pruned_entries_total"] for each in metrics), 0)
        # The log tells what was removed, each entry once.
        for executive in cluster.executives:
            self.assertEqual(executive.process.terminate(), 0)
        logs = "".join(executive.process.log() for executive in cluster.executives)
        self.assertNotIn("event=prune_failed", logs)
        self.assertIn("event=ledger_pruned from=1 ", logs)
        entries = re.findall(r"event=ledger_pruned .*entries=(\d+)", logs)
        told, gone = sum(int(count) for count in entries), self._first(cluster) - 1
        # What was being removed when they ended is not told: a batch each.
        self.assertLessEqual(told, gone)
        self.assertGreater(told, gone - 60)
        load.assert_kept(cluster.assert_all_same(pruned=True))

    def test_hosts_that_are_up_to_date_behind_and_away(self) -> None:
        cluster = self._start(SOON_OLD, hosts=3)
        current, behind, away = cluster.hosts
        supervisor = self._supervise(cluster)
        load = Load(cluster, writers=2)
        load.start()
        wait_until(lambda: load.acknowledged() >= 10, "the writers get on")
        self.assertEqual(away.reflector.terminate(), 0)
        left_at = away.applied_sequence()
        wait_until(lambda: load.acknowledged() >= 40, "the writers get on")
        covered = supervisor.client.take_snapshot().snapshot.sequence
        wait_until(lambda: behind.applied_sequence() >= covered, "the other host has that, too")
        self.assertEqual(behind.reflector.terminate(), 0)
        self.assertGreater(covered, left_at + 10)

        # While it is written.
        answer = self._prune_up_to(cluster, covered)
        self.assertEqual(answer.covered_through_sequence, covered)
        self.assertLess(answer.pruned_through_sequence, covered)
        first = self._first(cluster)
        self.assertEqual(first, answer.pruned_through_sequence + 1)
        self.assertGreater(first, left_at + 1)
        seen = load.acknowledged()
        wait_until(lambda: load.acknowledged() > seen + 10, "the writers get on")

        behind.reflector.start()
        away.reflector.start()
        new = cluster.add_host(wait=False)
        for host in (away, new):
            self._wait_for_state(host, "NEEDS_SNAPSHOT")
        load.stop()
        self.assertEqual(load.failures(), [])
        for host in (current, behind):
            self._wait_for_state(host, "CURRENT")
            self.assertNotIn("event=rebuild", host.reflector.log())
        # What it has, it keeps, and can be read.
        self.assertEqual(away.applied_sequence(), left_at)
        self.assertEqual(away.client.status().applied_sequence, left_at)

        # Told where snapshots are, they come back by themselves.
        for host in (away, new):
            self.assertEqual(host.reflector.terminate(), 0)
            host.reflector.argv.append(f"--snapshot_urls={self.urls}")
            host.reflector.start()
            self._wait_for_state(host, "CURRENT")
        self.assertEqual(cluster.hosts, [current, behind, away, new])
        load.assert_kept(cluster.assert_all_same(pruned=True))

    def test_one_place_that_does_not_cover_keeps_everything(self) -> None:
        cluster = self._start(SOON_OLD, "--prune_reverify_hours=0", hosts=1)
        client = cluster.client()
        self._write(cluster, 60)
        supervisor = self._supervise(cluster)
        snapshot = supervisor.client.take_snapshot().snapshot
        self._write(cluster, 5)
        near, far = self.places
        wait_until(
            lambda: client.prune_ledger(dry_run=True).pruned_through_sequence
            == snapshot.sequence - 1,
            "all that is in the snapshot is old",
        )
        object_path = far.path / far.manifest(snapshot.id)["object"]
        whole = object_path.read_bytes()
        manifest_path = far.path / f"{snapshot.id}.json"
        manifest = manifest_path.read_text(encoding="utf-8")
        another = json.loads(manifest)
        another["ledger_digest"] = "0" * len(another["ledger_digest"])

        def flip() -> None:
            middle = len(whole) // 2
            object_path.write_bytes(
                whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
            )

        def other_ledger() -> None:
            manifest_path.write_text(json.dumps(another), encoding="utf-8")

        faults: Dict[str, Callable[[], Any]] = {
            "another SHA-256": flip,
            "bytes": lambda: object_path.write_bytes(whole[:-1]),
            "No such file": object_path.unlink,
            "another ledger": other_ledger,
            "there is no snapshot": lambda: shutil.rmtree(far.path),
        }
        for words, break_it in faults.items():
            with self.subTest(words):
                break_it()
                for flags in (["--dry_run"], []):
                    told = self._command(cluster, *flags)
                    self.assertEqual(told["covered_through_sequence"], 0)
                    self.assertEqual(told["pruned_entries"], 0)
                    by_url = {place["url"]: place for place in told["places"]}
                    self.assertEqual(by_url[near.url]["snapshot_id"], snapshot.id)
                    self.assertEqual(by_url[far.url]["snapshot_id"], "")
                    self.assertIn(words, by_url[far.url]["error"])
                self.assertEqual(self._first(cluster), 1)
                far.path.mkdir(exist_ok=True)
                object_path.write_bytes(whole)
                manifest_path.write_text(manifest, encoding="utf-8")
        dry = self._command(cluster, "--dry_run")
        self.assertEqual(dry["pruned_through_sequence"], snapshot.sequence - 1)
        self.assertEqual(self._first(cluster), 1)
        told = self._command(cluster)
        self.assertEqual({**told, "dry_run": True}, dry)
        self.assertEqual(self._first(cluster), snapshot.sequence)
        # Sequences go on.
        sequence = cluster.ctldb.last_sequence()
        self._write(cluster, 1)
        self.assertEqual(cluster.ctldb.last_sequence(), sequence + 1)
        cluster.assert_all_same(pruned=True)

    def test_what_is_young_stays_and_who_may_not_does_not(self) -> None:
        cluster = self.start_cluster(
            hosts=0, executive_flags=[f"--snapshot_urls={self.urls}", "--prune_older_than_hours=1"]
        )
        self._write(cluster, 20)
        self._supervise(cluster).client.take_snapshot()
        told = self._command(cluster, "--dry_run")
        self.assertGreater(told["covered_through_sequence"], 0)
        self.assertEqual(told["old_through_sequence"], 0)
        self.assertEqual(told["pruned_through_sequence"], 0)
        result = self._run(cluster)
        self.assertEqual(result.returncode, REFUSED)
        self.assertIn("PRUNING_DISABLED", result.stderr)
        self.assertEqual(self._first(cluster), 1)

    def test_an_executive_does_not_start_where_nothing_could_cover(self) -> None:
        cluster = self.start_cluster(hosts=0)
        for flags, words in (
            (["--prune_ledger"], "--snapshot_urls"),
            (["--prune_ledger", "--snapshot_urls=file:///tmp/one.db"], "single object"),
            (["--prune_older_than_hours=0"], "--prune_older_than_hours"),
            (["--prune_batch_entries=0"], "--prune_batch_entries"),
        ):
            result = subprocess.run(
                [binary("executive"), f"--ctldb={cluster.ctldb.url}", "--http_port=0", *flags],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(words, result.stderr)

    def test_killed_in_the_middle_it_is_gone_on_with(self) -> None:
        cluster = self._start(SOON_OLD, "--prune_batch_entries=3", "--prune_pause_ms=3", hosts=1)
        self._write(cluster, 400)
        supervisor = self._supervise(cluster)
        covered = supervisor.client.take_snapshot().snapshot.sequence
        self._write(cluster, 1)
        wait_until(
            lambda: cluster.client().prune_ledger(dry_run=True).old_through_sequence >= covered,
            "it is old",
        )
        for _ in range(3):
            begun_at = self._first(cluster)
            failures: List[str] = []

            def prune(to: List[str] = failures) -> None:
                try:
                    cluster.client().prune_ledger()
                except grpc.RpcError as error:
                    to.append(failure_of(error).code.name)

            call = threading.Thread(target=prune)
            call.start()
            wait_until(lambda seen=begun_at: self._first(cluster) > seen + 20, "it goes on")
            cluster.executives[0].process.kill()
            call.join()
            self.assertEqual(failures, ["UNAVAILABLE"])
            ledger = cluster.ctldb.snapshot().ledger
            self.assertEqual(
                [entry.sequence for entry in ledger],
                list(range(ledger[0].sequence, ledger[0].sequence + len(ledger))),
            )
            self.assertLess(ledger[0].sequence, covered)
            cluster.executives[0].start()
            cluster.executives[0].wait_until_serving()
        self._prune_up_to(cluster, covered)
        self.assertEqual(self._first(cluster), covered)
        cluster.assert_all_same(pruned=True)

    def _start(self, *flags: str, executives: int = 1, hosts: int) -> Cluster:
        return self.start_cluster(
            executives=executives,
            hosts=hosts,
            executive_flags=["--prune_ledger", f"--snapshot_urls={self.urls}", *flags],
        )

    def _supervise(self, cluster: Cluster, *flags: str) -> Supervisor:
        # There is no snapshot of an empty ledger.
        client = cluster.client()
        client.create_family("first")
        client.create_tables([table("first", "rows", [("id", "integer")], ["id"])])
        return cluster.add_supervisor([place.url for place in self.places], flags)

    def _write(self, cluster: Cluster, rows: int) -> None:
        """Each row is a ledger transaction of one entry."""
        client = cluster.client()
        client.create_family("fam")
        client.create_tables([table("fam", "rows", [("id", "integer"), ("t", "text")], ["id"])])
        for number in range(rows):
            client.mutate("fam", [upsert("rows", {"id": number, "t": "some text"})])

    @staticmethod
    def _first(cluster: Cluster) -> int:
        """The ledger's first sequence."""
        return cluster.ctldb.first_sequence()

    def _prune_up_to(
        self, cluster: Cluster, sequence: int
    ) -> executive_pb2.PruneLedgerResponse:
        """Prunes once all up to a sequence is old."""
        client = cluster.client()
        wait_until(
            lambda: client.prune_ledger(dry_run=True).old_through_sequence >= sequence, "it is old"
        )
        return client.prune_ledger()

    def _wait_for_state(self, host: Host, state: str) -> None:
        client = host.reflector_client
        wait_until(lambda: client.state() == state, f"{host.name}'s state is {state}")

    def _run(self, cluster: Cluster, *flags: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [
                binary("ctlstore"),
                "ledger",
                "prune",
                f"--executive={cluster.executives[0].address}",
                "--json",
                *flags,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _command(self, cluster: Cluster, *flags: str) -> Dict[str, Any]:
        result = self._run(cluster, *flags)
        self.assertEqual(result.returncode, OK, result.stderr)
        told: Dict[str, Any] = json.loads(result.stdout)
        return told


if __name__ == "__main__":
    unittest.main()
