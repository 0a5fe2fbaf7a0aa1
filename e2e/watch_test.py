"""Watches through the sidecar miss nothing and hear nothing twice, whatever is killed meanwhile."""

import json
import os
import random
import sys
import threading
import unittest
from typing import Dict, List, Sequence

from harness.case import E2eTestCase
from harness.changes import CacheWatcher, ChangeWatcher, Event, Key, Selector
from harness.client import ExecutiveClient
from harness.cluster import Cluster, Host, binary
from harness.process import Process
from harness.values import PythonValue, delete, table, upsert
from harness.waiting import wait_until

FAMILIES = ["first", "second"]
WRITERS = 3
ROUNDS = 8


class WatchTest(E2eTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.seed = int(os.environ.get("E2E_SEED", random.randrange(10**6)))
        print(f"E2E_SEED={self.seed}", file=sys.stderr)
        self.random = random.Random(self.seed)

    def test_under_load(self) -> None:
        self._watch_while(lambda host: None)

    def test_the_sidecar_is_killed_under_load(self) -> None:
        def fail(host: Host) -> None:
            host.sidecar.kill()
            host.sidecar.start()

        self._watch_while(fail)

    def test_the_sidecar_ends_in_order_under_load(self) -> None:
        def fail(host: Host) -> None:
            self.assertEqual(host.sidecar.terminate(), 0)
            host.sidecar.start()
            # Only then does it take signals.
            host.wait_until_serving()

        self._watch_while(fail)

    def test_the_reflector_is_killed_under_load(self) -> None:
        self._watch_while(lambda host: host.restart_reflector_after_kill())

    def test_the_local_database_is_built_anew_under_load(self) -> None:
        def fail(host: Host) -> None:
            before = host.ldb_path.resolve().stat().st_ino
            host.reflector_client.rebuild()
            wait_until(
                lambda: host.ldb_path.exists() and host.ldb_path.resolve().stat().st_ino != before,
                "it is built anew",
            )

        self._watch_while(fail, resets_allowed=True)

    def test_the_history_is_short(self) -> None:
        """Whoever is away for long is told so, and a cache is right again."""
        cluster = self._start_cluster(["--change_history_bytes=3000"])
        host = cluster.hosts[0]
        cache = self._cache(host, 1)
        client = cluster.client()
        host.sidecar.kill()
        for number in range(300):
            client.mutate("first", [upsert("rows", {"id": number % 100, "number": number})])
            # Each is a commit of its own on the host, so that there is more than is kept.
            cluster.wait_until_caught_up()
        host.sidecar.start()
        cache.stop_at(cluster.ctldb.last_sequence())
        self.assertEqual(cache.faults, [])
        self.assertTrue(cache.told.resets)
        self._assert_kept(cluster, cache)

    def test_the_command_goes_on_over_restarts(self) -> None:
        cluster = self._start_cluster()
        host = cluster.hosts[0]
        command = Process(
            "watch",
            [binary("ctlstore"), "watch", "first.rows", f"--sidecar={host.sidecar_address}"],
            self.folder,
        )
        self.addCleanup(command.kill)
        command.start()
        wait_until(lambda: '{"sequence":' in command.log(), "it has begun")
        client = cluster.client()
        wanted = []
        for number in range(60):
            sequence = client.mutate("first", [upsert("rows", {"id": number, "number": 1})])
            wanted.append((sequence, [number]))
            client.mutate("second", [upsert("rows", {"id": number, "number": 1})])
            if number % 20 == 10:
                host.sidecar.kill()
                host.sidecar.start()
        cluster.wait_until_caught_up()

        def changes() -> List[Dict]:
            # The last line may not be whole yet.
            whole = command.log().rpartition("\n")[0]
            lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
            return [line for line in lines if "family" in line]

        wait_until(lambda: len(changes()) >= len(wanted), "it shows all changes")
        self.assertEqual([(line["sequence"], line["key"]) for line in changes()], wanted)

    def _watch_while(self, fail, resets_allowed: bool = False) -> None:
        cluster = self._start_cluster()
        host = cluster.hosts[0]
        selections: List[Sequence[Selector]] = [
            (),
            [Selector("first")],
            [Selector("second", "rows"), Selector("first", "pairs", ("a",)), Selector("later")],
            [Selector("first", "pairs", ("a", 3)), Selector("first", "pairs", ("a",))],
        ]
        watchers: List[ChangeWatcher] = [
            ChangeWatcher(
                f"watcher {number}", host.sidecar_address, self.seed + number, selectors
            )
            for number, selectors in enumerate(selections)
        ]
        for watcher in watchers:
            watcher.start_and_begin()
        caches = [self._cache(host, number) for number in range(2)]
        writers = [
            ChangeWriter(number, cluster.client(), self.seed + number)
            for number in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        for _ in range(ROUNDS):
            self._progress(host)
            fail(host)
        self._progress(host)
        wait_until(
            lambda: watchers[0].faults or watchers[0].told.calls > 1,
            "a watch has begun where another has ended",
        )
        written = [event for writer in writers for event in writer.stop()]
        cluster.assert_all_same()
        last = cluster.ctldb.last_sequence()
        for watcher in [*watchers, *caches]:
            watcher.stop_at(last)
            watcher.assert_complete(written)
            if not resets_allowed:
                self.assertEqual(watcher.told.resets, [])
        self.assertGreater(len(watchers[0].told.events), 100)
        self.assertGreater(watchers[0].told.calls, 1)
        for cache in caches:
            self._assert_kept(cluster, cache)

    def _start_cluster(self, reflector_flags: Sequence[str] = ()) -> Cluster:
        cluster = self.start_cluster(
            hosts=0, executive_flags=["--enable_destructive_changes"]
        )
        client = cluster.client()
        for family in [*FAMILIES, "later"]:
            client.create_family(family)
        for family in FAMILIES:
            columns = [("id", "integer"), ("number", "integer"), ("filler", "text")]
            client.create_table(table(family, "rows", columns, ["id"]))
            client.create_table(table(family, "cleared", columns, ["id"]))
            columns = [("a", "string"), ("b", "integer"), ("number", "integer")]
            client.create_table(table(family, "pairs", columns, ["a", "b"]))
        cluster.add_host(reflector_flags=reflector_flags)
        cluster.wait_until_caught_up()
        return cluster

    def _cache(self, host: Host, number: int) -> CacheWatcher:
        cache = CacheWatcher(
            f"cache {number}",
            host.sidecar_address,
            self.seed + number,
            "first",
            {"rows", "cleared"},
        )
        cache.start_and_begin()
        return cache

    def _assert_kept(self, cluster: Cluster, cache: CacheWatcher) -> None:
        for name, rows in cache.tables.items():
            listed, truncated = cluster.hosts[0].client.list_rows(
                "first", name, wait_for_ready=True
            )
            self.assertFalse(truncated)
            self.assertEqual(rows, {(row["id"],): row for row in listed}, f"{cache.name}, {name}")

    def _progress(self, host: Host) -> None:
        wanted = host.applied_sequence() + self.random.randrange(20, 200)
        wait_until(lambda: host.applied_sequence() >= wanted, "the host gets on")


class ChangeWriter(threading.Thread):
    """Changes rows and tables at random, and knows what each ledger entry has changed."""

    def __init__(self, number: int, client: ExecutiveClient, seed: int) -> None:
        super().__init__(daemon=True)
        self._number = number
        self._client = client
        self._random = random.Random(seed)
        self._written: List[Event] = []
        self._stopping = threading.Event()
        self._fault = ""

    def stop(self) -> List[Event]:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), "a writer hangs"
        assert not self._fault, self._fault
        return self._written

    def run(self) -> None:
        try:
            number = 0
            while not self._stopping.is_set():
                number += 1
                family = self._random.choice(FAMILIES)
                if self._random.randrange(60) == 0:
                    self._clear(family, "cleared")
                elif self._number == 0 and self._random.randrange(60) == 0:
                    self._make_and_drop(family, f"passing_{number}")
                else:
                    self._mutate(family)
        except Exception as error:  # pylint: disable=broad-except
            self._fault = f"a writer failed: {error!r}"

    def _mutate(self, family: str) -> None:
        keys: Dict[str, set] = {"rows": set(), "cleared": set(), "pairs": set()}
        mutations, events = [], []
        for _ in range(self._random.choice([1, 1, 2, 7])):
            name = self._random.choice(list(keys))
            row = self._key(name)
            key: Key = tuple(row.values())
            if key in keys[name]:
                continue
            keys[name].add(key)
            events.append((name, key))
            if self._random.randrange(3) == 0:
                mutations.append(delete(name, row))
                continue
            row["number"] = self._random.randrange(10**6)
            if name != "pairs":
                row["filler"] = "x" * self._random.choice([0, 10, 20000])
            mutations.append(upsert(name, row))
        sequence = self._client.mutate(family, mutations)
        # Several stand between two markers, of which the sequence is the second.
        first = sequence if len(events) == 1 else sequence - len(events)
        for number, (name, key) in enumerate(events):
            self._written.append(Event(first + number, family, name, key))

    def _key(self, name: str) -> Dict[str, PythonValue]:
        if name == "pairs":
            return {"a": self._random.choice("ab"), "b": self._random.randrange(5)}
        return {"id": self._random.randrange(50)}

    def _clear(self, family: str, name: str) -> None:
        sequence = self._client.clear_table(family, name)
        self._written.append(Event(sequence, family, name, None))

    def _make_and_drop(self, family: str, name: str) -> None:
        sequence = self._client.create_table(
            table(family, name, [("id", "integer"), ("text", "string")], ["id"])
        )
        self._written.append(Event(sequence, family, name, None))
        sequence = self._client.mutate(family, [upsert(name, {"id": 1, "text": "passes"})])
        self._written.append(Event(sequence, family, name, (1,)))
        sequence = self._client.drop_table(family, name)
        self._written.append(Event(sequence, family, name, None))


if __name__ == "__main__":
    unittest.main()
