"""The executive's HTTP API, as curl and the Go executive's clients use it."""

import base64
import http.client
import json
import resource
import socket
import threading
import time
import unittest
from contextlib import ExitStack
from typing import Any, Dict, List, Sequence, Union

from harness.case import E2eTestCase
from harness.client import Writer
from harness.cluster import Cluster
from harness.curl import Answer, curl, writer_headers
from harness.sqlite_content import open_read_only
from harness.waiting import wait_until

MIB = 1 << 20

FIELDS = [
    ["code", "string"],
    ["population", "integer"],
    ["area", "decimal"],
    ["anthem", "text"],
    ["flag", "binary"],
    ["sign", "bytestring"],
]
COUNTRIES = {"fields": FIELDS, "keyFields": ["code"]}

WRITER = Writer("loader", "hush hush")

# More than a server takes, and more than a slow client may hold back.
FLOOD = 1300
SLOW = 300


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class HttpApiTest(E2eTestCase):
    def start(self, *flags: str) -> Cluster:
        cluster = self.start_cluster(hosts=1, executive_flags=flags)
        self.address = cluster.executives[0].http_address()
        return cluster

    def prepare(self) -> None:
        """A family, a table and a writer."""
        self.ask("POST", "/families/geo")
        self.ask("POST", "/families/geo/tables/countries", COUNTRIES)
        self.ask("POST", f"/writers/{WRITER.name}", WRITER.secret.encode())

    def ask(
        self,
        method: str,
        path: str,
        body: Union[bytes, Dict[str, Any], List[Any]] = b"",
        status: int = 200,
        headers: Sequence[str] = ("Content-Type: application/json",),
        flags: Sequence[str] = (),
    ) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = curl(self.address, method, path, data, headers, flags)
        self.assertEqual(answer.status, status, f"{method} {path} {data[:200]!r}: {answer}")
        return answer

    def mutate(
        self, body: Union[bytes, Dict[str, Any]], status: int = 200, family: str = "geo"
    ) -> Answer:
        return self.ask(
            "POST", f"/families/{family}/mutations", body, status, writer_headers(WRITER)
        )

    def test_curl_does_everything(self) -> None:
        cluster = self.start("--enable_destructive_changes", "--writer_max_rows=1000")
        path = "/families/geo/tables/countries"
        as_writer = writer_headers(WRITER)
        # Families and tables.
        for _ in range(2):
            self.assertEqual(self.ask("POST", "/families/geo").body, b"")
        created = self.ask("POST", path, COUNTRIES)
        self.assertEqual((created.body, created.headers["ctlstore-sequence"]), (b"", "1"))
        self.assertNotIn("ctlstore-sequence", self.ask("POST", path, COUNTRIES).headers)
        other = {"fields": [["code", "string"]], "keyFields": ["code"]}
        self.assertEqual(self.ask("POST", path, other, 409).reason, "TABLE_DIFFERS")
        self.ask("PUT", path, {"fields": [["capital", "string"]]})
        several = [{"family": "geo", "name": name, **other} for name in ("rivers", "lakes")]
        self.ask("POST", "/tables", several)
        schema = self.ask("GET", "/schema/table/geo/countries").json()
        countries = {
            "family": "geo",
            "name": "countries",
            "fields": [*FIELDS, ["capital", "string"]],
            "keyFields": ["code"],
        }
        self.assertEqual(schema, countries)
        self.assertEqual(
            self.ask("GET", "/schema/family/geo").json(), [countries, several[1], several[0]]
        )
        # Writers and cookies.
        for _ in range(2):
            self.ask("POST", "/writers/loader", WRITER.secret.encode(), headers=())
        taken = self.ask("POST", "/writers/loader", b"another secret", 409, headers=())
        self.assertEqual(taken.reason, "WRITER_DIFFERS")
        self.assertEqual(self.ask("GET", "/cookie", headers=as_writer).body, b"")
        bytes_of_all_kinds = bytes(range(256))
        self.ask("POST", "/cookie", bytes_of_all_kinds, headers=as_writer)
        self.assertEqual(self.ask("GET", "/cookie", headers=as_writer).body, bytes_of_all_kinds)
        # Rows.
        done = self.mutate(
            {
                "check_cookie": b64(bytes_of_all_kinds),
                "cookie": b64(b"second"),
                "mutations": [
                    {
                        "table": "countries",
                        "values": {"code": "NZ", "population": 5124100, "area": 268021.5},
                    },
                    {"table": "rivers", "values": {"code": "Clutha / Mata-Au"}},
                    {"table": "rivers", "delete": False, "values": {"code": "Waikato"}},
                    {"table": "rivers", "delete": True, "values": {"code": "Waikato"}},
                ],
            }
        )
        self.assertEqual(done.body, b"")
        self.assertEqual(
            int(done.headers["ctlstore-sequence"]), cluster.ctldb.last_sequence()
        )
        self.assertEqual(self.ask("GET", "/cookie", headers=as_writer).body, b"second")
        record = cluster.assert_all_same()
        self.assertEqual(len(record.tables["geo___countries"].rows), 1)
        self.assertEqual(len(record.tables["geo___rivers"].rows), 1)
        # Limits.
        size = {"max-size": 2000000, "warn-size": 1000000}
        self.ask("POST", "/limits/tables/geo/countries", size)
        self.assertEqual(
            self.ask("GET", "/limits/tables").json(),
            {
                "global": {"max-size": 100 * MIB, "warn-size": 50 * MIB},
                "tables": [{**size, "family": "geo", "table": "countries"}],
            },
        )
        self.ask("DELETE", "/limits/tables/geo/countries")
        self.ask("DELETE", "/limits/tables/geo/countries", status=404)
        self.ask("POST", "/limits/writers/loader", {"amount": 10, "period": "1m"})
        self.ask("POST", "/limits/writers/other", {"amount": 2, "period": 1_000_000_000})
        minute = 60_000_000_000
        self.assertEqual(
            self.ask("GET", "/limits/writers").json(),
            {
                "global": {"amount": 1000, "period": minute},
                "writers": [
                    {"writer": "loader", "rate-limit": {"amount": 10, "period": minute}},
                    {"writer": "other", "rate-limit": {"amount": 120, "period": minute}},
                ],
            },
        )
        self.ask("DELETE", "/limits/writers/loader")
        self.ask("DELETE", "/limits/writers/loader", status=404)
        # What removes rows.
        self.ask("DELETE", "/clear-rows/families/geo/tables/countries")
        self.ask("DELETE", "/clear-rows/families/geo")
        self.ask("DELETE", "/families/geo/tables/lakes")
        self.ask("GET", "/schema/table/geo/lakes", status=404)
        record = cluster.assert_all_same()
        self.assertEqual(set(record.tables), {"geo___countries", "geo___rivers"})
        self.assertEqual([len(table.rows) for table in record.tables.values()], [0, 0])
        status = self.ask("GET", "/status").json()
        self.assertTrue(status["healthy"])
        self.assertEqual(status["last-sequence"], record.last_sequence)
        self.ask("HEAD", "/status", flags=["--head"])

    def test_numbers_stay_exact(self) -> None:
        cluster = self.start()
        self.prepare()
        numbers = {
            "just over a double": 9007199254740993,
            "largest": 2**63 - 1,
            "smallest": -(2**63),
            "minus one over": -9007199254740993,
            "truth": True,
        }
        for code, number in numbers.items():
            values = {"code": code, "population": number, "area": 0.1, "flag": b64(b"\0\xff")}
            self.mutate({"mutations": [{"table": "countries", "values": values}]})
        cluster.wait_until_caught_up()
        host = cluster.hosts[0]
        connection = open_read_only(host.ldb_path)
        self.addCleanup(connection.close)
        stored = connection.execute(
            "SELECT code, typeof(population), population, area, typeof(flag), flag "
            "FROM geo___countries"
        ).fetchall()
        self.assertEqual(
            {row[0].decode(): row[1:] for row in stored},
            {
                code: (b"integer", int(number), 0.1, b"blob", b"\0\xff")
                for code, number in numbers.items()
            },
        )
        row = host.client.get_row("geo", "countries", ["largest"])
        assert row is not None
        self.assertEqual(row["population"], 2**63 - 1)
        before = cluster.ctldb.last_sequence()
        for token in ("9223372036854775808", "-9223372036854775809", "1.5", "1e3", "1e30", '"5"'):
            body = (
                '{"mutations":[{"table":"countries","values":{"code":"x","population":%s}}]}'
                % token
            )
            self.assertEqual(self.mutate(body.encode(), 400).reason, "INVALID_VALUE")
        self.assertEqual(cluster.ctldb.last_sequence(), before)
        cluster.assert_all_same()

    def test_clients_mistakes_are_theirs(self) -> None:
        cluster = self.start("--limits_refresh_ms=50", "--table_sizes_refresh_ms=50")
        self.prepare()
        before = cluster.ctldb.snapshot()
        good = {"mutations": [{"table": "countries", "values": {"code": "X"}}]}
        path = "/families/geo/mutations"

        def mutation(**members: Any) -> Dict[str, Any]:
            return {"mutations": [{"table": "countries", "values": {"code": "X"}, **members}]}

        for headers in (
            (),
            writer_headers(Writer(WRITER.name, "a wrong secret")),
            writer_headers(Writer("nobody", WRITER.secret)),
        ):
            for method, route in (("POST", path), ("GET", "/cookie")):
                body: Any = good if method == "POST" else b""
                refused = self.ask(method, route, body, 401, headers)
                self.assertEqual(refused.reason, "BAD_CREDENTIALS")
        for wrong, status, reason in (
            (b"", 400, "INVALID_REQUEST"),
            (b"{", 400, "INVALID_REQUEST"),
            (b"[]", 400, "INVALID_REQUEST"),
            (b"\xff\xfe", 400, "INVALID_REQUEST"),
            (b"[" * 100_000, 400, "INVALID_REQUEST"),
            ({}, 400, "INVALID_REQUEST"),
            ({"mutations": []}, 400, "INVALID_REQUEST"),
            ({**good, "check_cookie": b64(b"another")}, 409, "COOKIE_MISMATCH"),
            ({**good, "cookie": "not base64"}, 400, "INVALID_REQUEST"),
            ({**good, "cookie": b64(b"x" * 1025)}, 413, "TOO_LARGE"),
            ({"mutations": good["mutations"] * 101}, 413, "TOO_LARGE"),
            ({"mutation": []}, 400, "UNKNOWN_FIELD"),
            (mutation(table="absent"), 404, "TABLE_NOT_FOUND"),
            (mutation(values={"code": "X", "capital": "Y"}), 400, "UNKNOWN_FIELD"),
            (mutation(values={"population": 1}), 400, "INVALID_KEY"),
            (mutation(values={"code": "X", "flag": "AP8"}), 400, "INVALID_VALUE"),
            (mutation(values={"code": "x\0"}), 400, "INVALID_VALUE"),
            (mutation(values={"code": "x" * 192}), 413, "TOO_LARGE"),
        ):
            with self.subTest(wrong=str(wrong)[:100]):
                self.assertEqual(self.mutate(wrong, status).reason, reason)
        self.assertEqual(self.mutate(good, 404, family="absent").reason, "FAMILY_NOT_FOUND")
        self.ask("POST", path, good, 415, [*writer_headers(WRITER), "Content-Type: image/png"])
        self.ask("GET", "/nothing", status=404)
        self.ask("GET", "/families/%zz", status=400)
        for method, route in (
            ("GET", path),
            ("PATCH", "/cookie"),
            ("POST", "/status"),
            ("DELETE", "/families/geo"),
        ):
            self.assertIn("allow", self.ask(method, route, status=405).headers)
        for method, route in (
            ("DELETE", "/families/geo/tables/countries"),
            ("DELETE", "/clear-rows/families/geo"),
            ("DELETE", "/clear-rows/families/geo/tables/countries"),
        ):
            self.assertEqual(self.ask(method, route, status=403).reason, "DESTRUCTIVE_DISABLED")
        for route, table in (
            ("/families/absent/tables/countries", COUNTRIES),
            ("/families/g/tables/countries", COUNTRIES),
            ("/families/geo/tables/more", {"fields": FIELDS, "keyFields": ["area"]}),
        ):
            self.ask("POST", route, table, 404 if "absent" in route else 400)
        # One byte more than a body may have, announced or not; and one that is just as large.
        padded = json.dumps(good).encode().ljust(MIB, b" ")
        for more in ((), ("Transfer-Encoding: chunked",)):
            self.ask("POST", path, padded + b" ", 413, [*writer_headers(WRITER), *more])
        self.assertEqual(cluster.assert_all_same(), before)
        self.mutate(padded)

        # Limits, as statuses.
        self.ask("POST", "/limits/tables/geo/countries", {"max-size": 1, "warn-size": 1})
        wait_until(lambda: self._status_of(good) == 507, "the table is full")
        self.assertEqual(self.mutate(good, 507).reason, "TABLE_FULL")

    def test_a_writer_over_its_limit_is_told_when_to_come_back(self) -> None:
        self.start("--writer_max_rows=1", f"--writer_rate_period_ms={365 * 86_400_000}")
        self.prepare()
        good = {"mutations": [{"table": "countries", "values": {"code": "X"}}]}
        self.mutate(good)
        refused = self.mutate(good, 429)
        self.assertEqual(refused.reason, "RATE_LIMITED")
        self.assertGreater(int(refused.headers["retry-after"]), 0)

    def test_database_that_is_away(self) -> None:
        server = self.server
        if server is None:
            self.skipTest("the embedded ctldb has no server")
        cluster = self.start()
        self.prepare()
        good = {"mutations": [{"table": "countries", "values": {"code": "X"}}]}
        self.mutate(good)
        server.stop()
        self.ask("GET", "/status", status=503)
        self.ask("GET", "/schema/family/geo", status=503)
        server.start()
        wait_until(
            lambda: curl(self.address, "GET", "/status").status == 200, "the executive is healthy"
        )
        wait_until(lambda: self._status_of(good) == 200, "the executive works again")
        cluster.assert_all_same()

    def test_slow_clients_do_not_stop_a_good_one(self) -> None:
        cluster = self.start()
        self.prepare()
        head = f"POST /families/geo/mutations HTTP/1.1\r\nHost: {self.address}\r\n"
        beginnings = [
            b"P",
            head.encode(),
            f"{head}Content-Length: 1000\r\n\r\n".encode(),
            f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(),
        ]
        trickles = [b"O", b"x", b" ", b"1"]
        with ExitStack() as stack:
            slow = [stack.enter_context(self._connect()) for _ in range(SLOW)]
            for i, connection in enumerate(slow):
                connection.sendall(beginnings[i % len(beginnings)])
            stopping = threading.Event()

            def trickle() -> None:
                while not stopping.wait(0.1):
                    for i, connection in enumerate(slow):
                        try:
                            connection.sendall(trickles[i % len(trickles)])
                        except OSError:
                            pass

            thread = threading.Thread(target=trickle, daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(stopping.set)
            self._good_client(100)
            # However long they trickle, they are not kept.
            for connection in slow:
                connection.settimeout(60)
                self._read_to_end(connection)
        cluster.assert_all_same()

    def test_a_flood_of_connections_does_not_stop_a_good_client(self) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4 * FLOOD), most))
        cluster = self.start()
        self.prepare()
        with ExitStack() as stack:
            # They say nothing at all.
            for _ in range(FLOOD):
                stack.enter_context(self._connect())
            stopping = threading.Event()

            def flood() -> None:
                """Comes and goes, mostly in the middle of a request."""
                while not stopping.is_set():
                    try:
                        with self._connect() as connection:
                            connection.sendall(b"POST /families/geo/mut")
                    except OSError:
                        pass

            threads = [threading.Thread(target=flood, daemon=True) for _ in range(4)]
            for thread in threads:
                thread.start()
                stack.callback(thread.join)
            stack.callback(stopping.set)
            self._good_client(100)
            self.ask("GET", "/status")
        self.assertTrue(cluster.executives[0].process.running())
        cluster.assert_all_same()

    def _connect(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=30)

    def _good_client(self, requests: int) -> None:
        """Each request on a connection of its own is answered well."""
        for number in range(requests):
            connection = http.client.HTTPConnection(self.address, timeout=60)
            values = {"code": f"good {number}"}
            connection.request(
                "POST",
                "/families/geo/mutations",
                json.dumps({"mutations": [{"table": "countries", "values": values}]}),
                {"ctlstore-writer": WRITER.name, "ctlstore-secret": WRITER.secret},
            )
            response = connection.getresponse()
            self.assertEqual(response.status, 200, response.read())
            connection.close()

    @staticmethod
    def _read_to_end(connection: socket.socket) -> None:
        """Returns when the server has closed it."""
        end = time.monotonic() + 60
        try:
            while connection.recv(4096):
                assert time.monotonic() < end
        except ConnectionError:
            pass

    def _status_of(self, body: Dict[str, Any]) -> int:
        data = json.dumps(body).encode()
        return curl(
            self.address, "POST", "/families/geo/mutations", data, writer_headers(WRITER)
        ).status


if __name__ == "__main__":
    unittest.main()
