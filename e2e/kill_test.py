"""kill -9 of a reflector, many times: after each its LDB is whole, and a state of the ctldb.

Each test kills CTLSTORE_KILLS times (environment; a few by default).
"""

import os
import random
import shutil
import sys
import threading
import time
import unittest
from pathlib import Path
from typing import FrozenSet, List, Optional, Sequence, Tuple

from harness.case import E2eTestCase
from harness.changelog import ChangelogConsumer
from harness.client import ExecutiveClient
from harness.cluster import Cluster, Host
from harness.freshness import read_freshness_page
from harness.sqlite_content import (
    open_read_only,
    read_kept_families,
    read_ldb,
    read_ldb_sequence,
)
from harness.states import States
from harness.values import delete, table, upsert
from harness.waiting import pause_briefly, wait_until

KILLS = int(os.environ.get("CTLSTORE_KILLS", "25"))
WRITERS = 3
FAMILIES = ["first", "second"]
KEPT = [frozenset(families) for families in ((), ("first",), ("second",))]


class KillTest(E2eTestCase):
    def setUp(self) -> None:
        super().setUp()
        seed = int(os.environ.get("E2E_SEED", random.randrange(10**6)))
        print(f"E2E_SEED={seed} CTLSTORE_KILLS={KILLS}", file=sys.stderr)
        self.random = random.Random(seed)

    def test_under_load(self) -> None:
        self._kill_under_load([])

    def test_under_load_with_the_stream(self) -> None:
        self._kill_under_load([f"grpc:unix:{self.socket_folder}/executive0.sock"])

    def _kill_under_load(self, upstreams: List[str]) -> None:
        cluster, host = self._start_system(upstreams)
        victim = Victim(host, self.random)
        # Small enough to be begun anew now and then.
        changelog = victim.keep_changelog(200_000)
        writers = start_writers(cluster)
        with Reading(host.ldb_path, victim.states):
            for _ in range(KILLS):
                # Always at work: much time between two commits would let most kills miss.
                victim.start([*changelog, "--poll_interval_ms=1", *self._checkpointing()])
                victim.kill_at_work()
            victim.start(changelog)
            stop_writers(writers)
            record = cluster.assert_all_same()
        victim.kill()
        states = victim.states.assert_from(record.ledger)
        self.assertGreater(states, KILLS // 2, "the reflector hardly got on between the kills")
        victim.assert_changelog_complete()

    def test_while_catching_up_from_the_beginning(self) -> None:
        cluster, host = self._start_system()
        last = write_much(cluster)
        victim = Victim(host, self.random)
        changelog = victim.keep_changelog(4_000_000)
        in_the_middle = 0
        for _ in range(KILLS):
            victim.start([*changelog, *self._batching(), *self._checkpointing()])
            sequence = victim.kill_on_the_way_to(last)
            in_the_middle += 0 < sequence < last
            if sequence >= last:
                remove_ldb(host)
                victim.states.begin_anew()
        victim.start(changelog)
        record = cluster.assert_all_same()
        victim.kill()
        victim.states.assert_from(record.ledger)
        victim.assert_changelog_complete()
        self.assertGreater(in_the_middle, 0, "no kill met the work")

    def test_while_it_is_built_anew(self) -> None:
        cluster, host = self._start_system()
        write_much(cluster)
        victim = Victim(host, self.random)
        begin = time.monotonic()
        victim.start([])
        cluster.wait_until_caught_up()
        whole_s = time.monotonic() - begin
        victim.kill()
        wanted: FrozenSet[str] = frozenset()
        built = 0
        with Reading(host.ldb_path, victim.states):
            for kill in range(KILLS):
                if victim.states.families == wanted:
                    built += 1
                    wanted = self.random.choice([kept for kept in KEPT if kept != wanted])
                flags = [f"--families={','.join(wanted)}"]
                if kill % 5 < 4:
                    victim.start([*flags, *self._batching(), *self._checkpointing()])
                else:
                    victim.start(flags)
                    wait_until(
                        lambda: read_kept_families(host.ldb_path) == wanted, "it is built anew"
                    )
                victim.kill_within(whole_s * 1.5)
            victim.start(["--families="])
            wait_until(lambda: not read_kept_families(host.ldb_path), "all families are there")
            record = cluster.assert_all_same()
        victim.kill()
        victim.states.assert_from(record.ledger)
        self.assertGreater(built, 1, "nothing was ever built to its end")

    def _start_system(self, upstreams: Sequence[str] = ()) -> Tuple[Cluster, Host]:
        """With a host whose reflector does not run any more."""
        cluster = self.start_cluster(hosts=0, executive_flags=["--enable_destructive_changes"])
        for family in FAMILIES:
            cluster.client().create_family(family)
        create_tables(cluster.client())
        host = cluster.add_host(upstreams)
        cluster.wait_until_caught_up()
        host.reflector.kill()
        return cluster, host

    def _batching(self) -> List[str]:
        """From a reflector that commits after almost every ledger transaction to the usual one."""
        return [
            f"--max_entries_per_query={self.random.choice([100, 10000])}",
            f"--max_commit_entries={self.random.choice([1, 1000, 10000])}",
        ]

    def _checkpointing(self) -> List[str]:
        """From one that checkpoints after every commit to one that hardly does."""
        return [f"--checkpoint_wal_bytes={self.random.choice([1, 64 << 10, 8 << 20])}"]


class Victim:
    """A host's reflector, killed again and again, and what its LDB was then."""

    def __init__(self, host: Host, chance: random.Random) -> None:
        self.states = States()
        # Looks after each kill, where there is one.
        self._consumer: Optional[ChangelogConsumer] = None
        # From a start to what was waited for, the last time that something was.
        self._way_s = 0.1
        self._host = host
        self._argv = list(host.reflector.argv)
        self._random = chance
        self._kills = 0

    def keep_changelog(self, max_bytes: int) -> List[str]:
        """From now on, with these flags."""
        path = self._host.ldb_path.with_name("changelog")
        self._consumer = ChangelogConsumer(path)
        return [f"--changelog_path={path}", f"--changelog_max_bytes={max_bytes}"]

    def assert_changelog_complete(self) -> None:
        """A consumer that follows it keeps nothing that has changed."""
        assert self._consumer is not None
        assert not self._consumer.faults, "\n".join(self._consumer.faults[:20])
        assert self._consumer.lines > self._kills, "the changelog hardly got on"

    def start(self, flags: List[str]) -> None:
        self._host.reflector.argv = self._argv + flags
        self._host.reflector.start()

    def kill_at_work(self) -> int:
        """Kills it anywhere between its start and some time after it got on."""
        if self._random.random() < 0.3:
            self._pause(self._way_s)
        else:
            begin = time.monotonic()
            self._wait_for(self._sequence() + 1)
            self._way_s = time.monotonic() - begin
            self._pause(0.06)
        return self.kill()

    def kill_on_the_way_to(self, last: int) -> int:
        """Kills it when it has come to any sequence up to `last`."""
        if self._random.random() < 0.3:
            self._pause(self._way_s)
        else:
            begin = time.monotonic()
            self._wait_for(self._random.randint(self._sequence(), last))
            self._way_s = time.monotonic() - begin
        return self.kill()

    def kill_within(self, most_s: float) -> int:
        """Kills it at any time up to this one after its start."""
        self._pause(most_s)
        return self.kill()

    def kill(self) -> int:
        """Returns the LDB's sequence."""
        reflector, path = self._host.reflector, self._host.ldb_path
        if not reflector.running():
            raise AssertionError(f"the reflector ended:\n{reflector.log_since_start()}")
        reflector.kill()
        self._kills += 1
        where = f"after kill {self._kills} ({' '.join(reflector.argv[-3:])})"
        copy = None
        if self._random.random() < 0.5:
            # A reader puts the index of the WAL in order, which is then done for the reflector. Now
            # that will have to do it itself.
            copy = self._copy(path)
        sequence = self.states.look_at_rest(copy or path, where)
        if self._consumer is not None and sequence:
            self._consumer.look_at_rest(read_ldb(copy or path), where)
        if copy is not None:
            shutil.rmtree(copy.parent)
        page = read_freshness_page(path)
        if page is not None and page.current and page.sequence != sequence:
            self.states.add_fault(f"{where}: at {sequence}, and the freshness page at {page}")
        return sequence

    def _copy(self, path: Path) -> Path:
        folder = path.parent / "copy"
        folder.mkdir()
        file = path.resolve()
        for suffix in ("", "-wal"):
            part = file.with_name(file.name + suffix)
            if part.exists():
                shutil.copy(part, folder / f"{path.name}{suffix}")
        return folder / path.name

    def _wait_for(self, sequence: int) -> None:
        reflector = self._host.reflector

        def there() -> bool:
            assert reflector.running(), f"the reflector ended:\n{reflector.log_since_start()}"
            return self._sequence() >= sequence

        wait_until(there, f"the reflector gets to sequence {sequence}")

    def _sequence(self) -> int:
        return read_ldb_sequence(self._host.ldb_path)

    def _pause(self, most_s: float) -> None:
        threading.Event().wait(self._random.random() * most_s)


class Reading(threading.Thread):
    """Reads the LDB while a `with` block runs, whether a reflector runs or not.

    What it reads never goes back, also when it opens the LDB again.
    """

    def __init__(self, path: Path, states: States) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._states = states
        self._sequence = 0
        self._stopping = threading.Event()

    def __enter__(self) -> "Reading":
        self.start()
        return self

    def __exit__(self, *_exception) -> None:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), "the reader hangs"

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._look_for_a_while()
        except Exception as error:  # pylint: disable=broad-except
            self._states.add_fault(f"the reader cannot read: {error!r}")

    def _look_for_a_while(self) -> None:
        connection = open_read_only(self._path)
        try:
            for _ in range(50):
                if self._stopping.is_set():
                    return
                self._sequence = self._states.look(connection, "a reader", self._sequence)
                pause_briefly()
        finally:
            connection.close()


class RoundWriter(threading.Thread):
    """Rewrites its rows in two tables with the number of the round, one request a round.

    Sometimes a request is of one mutation only, and sometimes it is large. One of the writers also
    makes tables and drops them.
    """

    def __init__(self, number: int, client: ExecutiveClient, families: List[str]) -> None:
        super().__init__(daemon=True)
        self._number = number
        self._client = client
        self._families = families
        self._stopping = threading.Event()
        self.fault = ""

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), "a writer hangs"
        assert not self.fault, self.fault

    def run(self) -> None:
        try:
            round_number = 0
            while not self._stopping.is_set():
                round_number += 1
                self._write(self._families[round_number % len(self._families)], round_number)
        except Exception as error:  # pylint: disable=broad-except
            self.fault = f"a writer failed: {error!r}"

    def _write(self, family: str, number: int) -> None:
        key = {"writer": self._number}
        mutations = [upsert("mirror", {**key, "round": number})]
        if number % 7:
            # Not written again soon: a change that is never told of stays so.
            mutations.append(upsert("slow", {**key, "slot": number % 300, "round": number}))
            filler = f"{number} " * (number % 40 if number % 20 else 5000)
            for member in range(6):
                row = {**key, "member": member}
                if member == number % 6:
                    mutations.append(delete("rounds", row))
                else:
                    row.update(round=number, filler=filler)
                    mutations.append(upsert("rounds", row))
        self._client.mutate(family, mutations)
        if self._number == 0 and number % 25 == 0:
            name = f"passing_{number}"
            columns = [("id", "integer"), ("text", "string")]
            self._client.create_table(table(family, name, columns, ["id"]))
            self._client.mutate(family, [upsert(name, {"id": 1, "text": "passes"})])
            self._client.drop_table(family, name)


def create_tables(client: ExecutiveClient) -> None:
    for family in FAMILIES:
        columns = [("writer", "integer"), ("round", "integer")]
        client.create_table(table(family, "mirror", columns, ["writer"]))
        slow = [*columns, ("slot", "integer")]
        client.create_table(table(family, "slow", slow, ["writer", "slot"]))
        columns += [("member", "integer"), ("filler", "text")]
        client.create_table(table(family, "rounds", columns, ["writer", "member"]))


def start_writers(cluster: Cluster) -> List[RoundWriter]:
    writers = [RoundWriter(i, cluster.client(), FAMILIES) for i in range(WRITERS)]
    for writer in writers:
        writer.start()
    return writers


def stop_writers(writers: List[RoundWriter]) -> None:
    for writer in writers:
        writer.stop()


def write_much(cluster: Cluster) -> int:
    """Fills a ledger in many requests of many rows and returns its last sequence."""
    client = cluster.client()
    sequence = 0
    for number in range(250):
        rows = [
            upsert("rounds", {"writer": row % 37, "member": row % 101, "round": number})
            for row in range(41 * number, 41 * (number + 1))
        ]
        rows += [upsert("mirror", {"writer": writer, "round": number}) for writer in range(2)]
        sequence = client.mutate(FAMILIES[number % len(FAMILIES)], rows)
    return sequence


def remove_ldb(host: Host) -> None:
    """The LDB with all that lies beside it."""
    for path in host.ldb_path.parent.glob(f"{host.ldb_path.name}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


if __name__ == "__main__":
    unittest.main()
