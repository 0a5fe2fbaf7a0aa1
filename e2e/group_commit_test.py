"""Many clients at once, whose Mutates share transactions: each gets its own true answer."""

import os
import random
import re
import threading
import unittest
from collections import Counter
from contextlib import closing
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import grpc
import pymysql

from harness.case import E2eTestCase
from harness.client import CALL_TIMEOUT_S, ExecutiveClient, Writer, failure_of
from harness.cluster import Cluster
from harness.snapshot import CtldbSnapshot
from harness.values import delete, mutate_request, table, upsert
from harness.waiting import pause_briefly, wait_until

CLIENTS = 64
CHANNELS = 8
WRITERS = 4  # they share cookies, so that many checks fail

# What a refused request may be told, by its kind.
REFUSALS = {
    "wrong cookie": "COOKIE_MISMATCH",
    "bad value": "INVALID_VALUE",
    "bad second value": "INVALID_VALUE",
    "no table": "TABLE_NOT_FOUND",
}
# Each client draws its requests' kinds from these.
KINDS = [
    *["good"] * 8,
    *["good, of many rows"] * 3,
    "good, sets the cookie",
    "good, deletes",
    *["cancelled"] * 2,
    *["short deadline"] * 2,
    "wrong cookie",
    "bad value",
    "bad second value",
    "no table",
]


class Request(NamedTuple):
    """What became of one request, whose rows have its number."""

    kind: str
    rows: int
    sequence: int  # 0 without an OK
    definitely_not_applied: bool


class Client(threading.Thread):
    """Sends requests, each with rows of its own, until it is told to stop."""

    def __init__(self, me: int, client: ExecutiveClient, writer: Writer, seed: str) -> None:
        super().__init__(name=f"client {me}", daemon=True)
        self.me = me
        self.requests: List[Request] = []
        self.faults: List[str] = []
        self.acknowledged = 0
        self._client = client
        self._writer = writer
        self._random = random.Random(f"{seed} {me}")
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._one()
        except Exception as error:  # pylint: disable=broad-except
            self.faults.append(f"{self.name} gave up: {error!r}")

    def _one(self) -> None:
        kind = self._random.choice(KINDS)
        number = len(self.requests)
        rows = self._random.randint(2, 10) if kind == "good, of many rows" else 1
        keys = [{"client": self.me, "number": number, "part": part} for part in range(rows)]
        mutations = [upsert("rows", {**key, "v": f"{self.me}/{number}"}) for key in keys]
        cookies: Dict[str, bytes] = {}
        if kind == "good, sets the cookie":
            cookies["cookie"] = f"{self.me}/{number}".encode()
        elif kind == "wrong cookie":
            cookies["check_cookie"] = b"nobody's"
        elif kind == "good, deletes":
            mutations.append(delete("rows", {**keys[0], "part": -1}))
            mutations.append(upsert("rows", {**keys[0], "part": -2}))
            mutations.append(delete("rows", {**keys[0], "part": -2}))
        elif kind == "bad value":
            mutations = [upsert("rows", {**keys[0], "v": 1})]
        elif kind == "bad second value":
            mutations.append(upsert("rows", {**keys[0], "part": 1, "v": b"bytes"}))
        elif kind == "no table":
            mutations.append(upsert("nothing", keys[0]))
        request = mutate_request("fam", mutations, **cookies)
        timeout = CALL_TIMEOUT_S
        if kind == "short deadline":
            timeout = self._random.uniform(0.001, 0.03)
        call = self._client.stub.Mutate.future(
            request, metadata=self._writer.metadata, timeout=timeout
        )
        if kind == "cancelled":
            threading.Event().wait(self._random.uniform(0, 0.02))
            call.cancel()
        self.requests.append(self._take(kind, rows, call))

    def _take(self, kind: str, rows: int, call: grpc.Future) -> Request:
        try:
            sequence = call.result().sequence
            self.acknowledged += 1
            if kind in REFUSALS:
                self.faults.append(f"{self.name}: {kind} passed at {sequence}")
            return Request(kind, rows, sequence, False)
        except grpc.FutureCancelledError:
            return Request(kind, rows, 0, False)
        except grpc.RpcError as error:
            failure = failure_of(error)
            code, wanted = failure.code, REFUSALS.get(kind)
            away = code == grpc.StatusCode.UNAVAILABLE
            if kind in ("cancelled", "short deadline"):
                expected = away or code in (
                    grpc.StatusCode.CANCELLED,
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                )
            else:
                expected = away or (wanted is not None and failure.reason == wanted)
            if not expected:
                self.faults.append(f"{self.name}: {kind}: {failure}")
            if away:
                pause_briefly()
            return Request(kind, rows, 0, failure.definitely_not_applied)


class GroupCommitTest(E2eTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.seed = os.environ.get("E2E_SEED") or str(random.randrange(1 << 32))
        print(f"E2E_SEED={self.seed}")

    def test_executive_is_killed_under_load(self) -> None:
        def disturb(cluster: Cluster) -> None:
            cluster.executives[0].restart_after_kill()

        self._run(disturb, times=3)

    def test_nothing_is_wrong_while_nothing_goes_away(self) -> None:
        clients = self._run(None, times=1)
        for client in clients:
            for request in client.requests:
                # Each request that was answered was answered truly, the first time.
                if request.kind in REFUSALS:
                    self.assertTrue(request.definitely_not_applied, request)
                elif request.kind.startswith("good"):
                    self.assertGreater(request.sequence, 0, request)

    def test_database_is_killed_under_load(self) -> None:
        server = self.server
        if server is None:
            self.skipTest("the embedded ctldb has no server")

        def disturb(_: Cluster) -> None:
            server.kill()
            server.start()

        self._run(disturb, times=2)

    def test_connections_to_the_database_are_cut_under_load(self) -> None:
        server = self.server
        if server is None:
            self.skipTest("the embedded ctldb has no server")

        def disturb(_: Cluster) -> None:
            connection = server.connect(autocommit=True)
            with closing(connection), connection.cursor() as cursor:
                for _ in range(20):
                    cursor.execute(
                        "SELECT id FROM information_schema.processlist "
                        "WHERE user = 'root' AND id <> CONNECTION_ID()"
                    )
                    for (thread,) in cursor.fetchall():
                        try:
                            cursor.execute(f"KILL CONNECTION {thread}")
                        except pymysql.err.MySQLError:
                            pass  # It has ended by itself.
                    pause_briefly()

        self._run(disturb, times=5)

    def _run(self, disturb: Optional[Callable[[Cluster], None]], times: int) -> List[Client]:
        cluster = self.start_cluster(hosts=1)
        admin = cluster.client()
        admin.create_family("fam")
        definitions = [
            ("client", "integer"),
            ("number", "integer"),
            ("part", "integer"),
            ("v", "string"),
        ]
        admin.create_table(table("fam", "rows", definitions, ["client", "number", "part"]))
        writers = [Writer(f"writer {i}", f"secret {i}") for i in range(WRITERS)]
        for writer in writers:
            admin.register(writer)
        channels = [cluster.client() for _ in range(CHANNELS)]
        clients = [
            Client(me, channels[me % CHANNELS], writers[me % WRITERS], self.seed)
            for me in range(CLIENTS)
        ]
        for client in clients:
            client.start()

        def acknowledged() -> int:
            faults = [fault for client in clients for fault in client.faults]
            self.assertEqual(faults, [])
            return sum(client.acknowledged for client in clients)

        for _ in range(times):
            before = acknowledged()
            wait_until(lambda before=before: acknowledged() >= before + 300, "the clients get on")
            if disturb is not None:
                disturb(cluster)
        before = acknowledged()
        wait_until(lambda: acknowledged() >= before + 500, "the clients get on")
        for client in clients:
            client.stop()
        for client in clients:
            client.join(60)
            self.assertFalse(client.is_alive(), client.name)
        acknowledged()
        # Also compares the ctldb with the LDB, and sees that the ledger's sequences have no gap.
        record = cluster.assert_all_same()
        log = cluster.executives[0].process.log()
        print("commits whose outcome was looked for:", log.count("event=commit_outcome_"))
        self._assert_true(clients, record)
        kinds = {request.kind for client in clients for request in client.requests}
        self.assertEqual(kinds, set(KINDS))
        return clients

    def _assert_true(self, clients: List[Client], record: CtldbSnapshot) -> None:
        found: Dict[Tuple[int, int], int] = {}
        for key in record.tables["fam___rows"].rows:
            client, number, part = (int(cell.data) for cell in key)
            self.assertGreaterEqual(part, 0)
            found[client, number] = found.get((client, number), 0) + 1
        ends = {entry.sequence: entry.statement for entry in record.ledger}
        written = Counter(
            match.group(1)
            for entry in record.ledger
            if (match := re.search(r"^REPLACE .*'(\d+/\d+)'\)", entry.statement))
        )
        sequences = set()
        for client in clients:
            for number, request in enumerate(client.requests):
                what = f"request {number} of {client.name}, {request}"
                rows = found.pop((client.me, number), 0)
                self.assertIn(rows, (0, request.rows), what)
                # Once, however often the executive had to try.
                self.assertEqual(written[f"{client.me}/{number}"], rows, what)
                if request.sequence:
                    self.assertEqual(rows, request.rows, what)
                    self.assertNotIn(request.sequence, sequences, what)
                    sequences.add(request.sequence)
                    one = request.rows == 1 and request.kind != "good, deletes"
                    self.assertIn(
                        f"'{client.me}/{number}'" if one else "--- COMMIT",
                        ends[request.sequence],
                        what,
                    )
                if request.definitely_not_applied or request.kind in REFUSALS:
                    self.assertEqual(rows, 0, what)
        self.assertEqual(found, {}, "rows that nobody wrote")


if __name__ == "__main__":
    unittest.main()
