"""The sidecar's HTTP API, as curl and the Go sidecar's clients use it."""

import base64
import concurrent.futures
import json
import unittest
import urllib.error
import urllib.request
from typing import Any, Dict, List, Sequence, Union

from harness.case import E2eTestCase
from harness.certificates import Authority
from harness.cluster import Cluster, Host, binary, started_at
from harness.curl import Answer, curl
from harness.process import Process
from harness.values import table, upsert
from harness.waiting import wait_until

TOKEN = "the-token-of-those-who-read"

FIELDS = [
    ("code", "string"),
    ("population", "integer"),
    ("area", "decimal"),
    ("anthem", "text"),
    ("flag", "binary"),
]
INTEGERS = {
    "just over a double": 9007199254740993,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "zero": 0,
}
DECIMALS = [0.1, 1.0, 0.0, 5e-324, 1.7976931348623157e308, 2.0**53, 1 / 3]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def key(*values: Union[str, int, bytes]) -> Dict[str, Any]:
    """A request's body."""
    return {
        "Key": [
            {"Binary": b64(value)} if isinstance(value, bytes) else {"Value": value}
            for value in values
        ]
    }


class SidecarHttpTest(E2eTestCase):
    def start(self) -> Cluster:
        cluster = self.start_cluster(hosts=1)
        self.address = cluster.hosts[0].sidecar_http_address()
        client = cluster.client()
        client.create_family("geo")
        client.create_table(table("geo", "countries", FIELDS, ["code"]))
        signs = [("id", "integer"), ("sign", "bytestring"), ("note", "string")]
        client.create_table(table("geo", "signs", signs, ["id", "sign"]))
        return cluster

    def ask(
        self,
        method: str,
        path: str,
        body: Union[bytes, Dict[str, Any], List[Any]] = b"",
        status: int = 200,
        headers: Sequence[str] = ("Content-Type: application/json",),
        address: str = "",
        **options: Any,
    ) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = curl(address or self.address, method, path, data, headers, **options)
        self.assertEqual(answer.status, status, f"{method} {path} {data[:200]!r}: {answer}")
        return answer

    def sidecar(self, name: str, host: Host, *flags: str) -> Process:
        """A second sidecar of that host, with flags of its own."""
        process = Process(
            name,
            [
                binary("sidecar"),
                f"--ldb={host.ldb_path}",
                "--listen=127.0.0.1:0",
                "--http_port=0",
                *flags,
            ],
            self.folder,
        )
        self.addCleanup(process.kill)
        process.start()
        return process

    def test_every_route(self) -> None:
        cluster = self.start()
        cluster.client().mutate(
            "geo",
            [
                upsert("countries", {"code": "NZ", "population": 5124100, "area": 268021.5}),
                upsert("countries", {"code": 'a "b" \\ \n é 😀', "anthem": "\t", "flag": b"\0\xff"}),
                upsert("signs", {"id": 1, "sign": b"\0", "note": "a"}),
                upsert("signs", {"id": 1, "sign": b"\xff" * 255, "note": "b"}),
                upsert("signs", {"id": 2, "sign": b"", "note": "c"}),
            ],
        )
        cluster.wait_until_caught_up()
        row = self.ask("POST", "/get-row-by-key/geo/countries", key("NZ"))
        wanted = {"code": "NZ", "population": 5124100, "area": 268021.5}
        self.assertEqual(row.json(), {**wanted, "anthem": None, "flag": None})
        self.assertEqual(list(row.json()), [name for name, _ in FIELDS])
        odd = self.ask("POST", "/get-row-by-key/geo/countries", key('a "b" \\ \n é 😀'))
        self.assertEqual(
            odd.json(),
            {
                "code": 'a "b" \\ \n é 😀',
                "population": None,
                "area": None,
                "anthem": "\t",
                "flag": b64(b"\0\xff"),
            },
        )
        # Keys of bytes.
        for sign, note in ((b"\0", "a"), (b"\xff" * 255, "b")):
            answer = self.ask("POST", "/get-row-by-key/geo/signs", key(1, sign))
            self.assertEqual(answer.json(), {"id": 1, "sign": b64(sign), "note": note})
        # What is not there.
        absent = self.ask("POST", "/get-row-by-key/geo/countries", key("XX"), 404)
        self.assertEqual(absent.headers["x-ctlstore"], "Not Found")
        self.assertEqual(absent.reason, "ROW_NOT_FOUND")
        for route in ("get-row-by-key", "get-rows-by-key-prefix"):
            unknown = self.ask("POST", f"/{route}/geo/rivers", key("XX"), 404)
            self.assertNotIn("x-ctlstore", unknown.headers)
            self.assertEqual(unknown.reason, "TABLE_NOT_FOUND")
        # Prefixes.
        for values, notes in (((1,), "ab"), ((1, b"\0"), "a"), ((), "abc"), ((3,), "")):
            answer = self.ask("POST", "/get-rows-by-key-prefix/geo/signs", key(*values))
            self.assertEqual([one["note"] for one in answer.json()], list(notes))
        all_rows = self.ask("POST", "/get-rows-by-key-prefix/geo/signs", {}).json()
        self.assertEqual(len(all_rows), 3)
        # How it does.
        latency = self.ask("GET", "/get-ledger-latency").json()
        self.assertEqual((set(latency), latency["unit"]), ({"value", "unit"}, "seconds"))
        self.assertGreaterEqual(latency["value"], 0)
        for route in ("/healthcheck", "/ping"):
            self.assertEqual(self.ask("GET", route).body, b"")
            self.ask("HEAD", route, flags=["--head"])
        cluster.assert_all_same()

    def test_what_python_s_own_client_sees(self) -> None:
        cluster = self.start()
        cluster.client().mutate("geo", [upsert("countries", {"code": "NZ"})])
        cluster.wait_until_caught_up()

        def post(code: str) -> Any:
            request = urllib.request.Request(
                f"http://{self.address}/get-row-by-key/geo/countries",
                json.dumps(key(code)).encode(),
                {"Content-Type": "application/json"},
            )
            return urllib.request.urlopen(request, timeout=60)

        with post("NZ") as answer:
            self.assertEqual(answer.status, 200)
            self.assertEqual(json.load(answer)["code"], "NZ")
        with self.assertRaises(urllib.error.HTTPError) as caught:
            post("XX")
        self.assertEqual(caught.exception.code, 404)
        self.assertEqual(caught.exception.headers["X-Ctlstore"], "Not Found")
        caught.exception.close()

    def test_numbers_stay_exact(self) -> None:
        cluster = self.start()
        client = cluster.client()
        rows = [upsert("countries", {"code": c, "population": n}) for c, n in INTEGERS.items()]
        rows += [upsert("countries", {"code": str(d), "area": d}) for d in DECIMALS]
        rows += [upsert("signs", {"id": n, "sign": b"s", "note": c}) for c, n in INTEGERS.items()]
        client.mutate("geo", rows)
        cluster.wait_until_caught_up()
        for code, number in INTEGERS.items():
            answer = self.ask("POST", "/get-row-by-key/geo/countries", key(code))
            self.assertIn(f'"population":{number},'.encode(), answer.body)
            self.assertEqual(answer.json()["population"], number)
            by_number = self.ask("POST", "/get-row-by-key/geo/signs", key(number, b"s"))
            self.assertEqual(by_number.json()["note"], code)
            prefix = self.ask("POST", "/get-rows-by-key-prefix/geo/signs", key(number))
            self.assertEqual([row["note"] for row in prefix.json()], [code])
        for decimal in DECIMALS:
            answer = self.ask("POST", "/get-row-by-key/geo/countries", key(str(decimal)))
            area = answer.json()["area"]
            self.assertIsInstance(area, float)
            self.assertEqual(area, decimal)
        # The neighbours of numbers that a double cannot tell apart.
        for neighbour in (9007199254740992, 9007199254740994, 2**63 - 2, -(2**63) + 1):
            self.ask("POST", "/get-row-by-key/geo/signs", key(neighbour, b"s"), 404)
        cluster.assert_all_same()

    def test_clients_mistakes_are_theirs(self) -> None:
        cluster = self.start()
        cluster.client().mutate("geo", [upsert("countries", {"code": "NZ"})])
        cluster.wait_until_caught_up()
        row, rows = "/get-row-by-key/geo/countries", "/get-rows-by-key-prefix/geo/countries"
        for path in (row, rows):
            for wrong, reason, field in (
                (b"", "INVALID_REQUEST", "body"),
                (b"{", "INVALID_REQUEST", "body"),
                (b"[]", "INVALID_REQUEST", "body"),
                (b"\xff\xfe", "INVALID_REQUEST", "body"),
                (b"[" * 10_000, "INVALID_REQUEST", "body"),
                ({"Keys": []}, "UNKNOWN_FIELD", "Keys"),
                ({"Key": "NZ"}, "INVALID_REQUEST", "Key"),
                ({"Key": [{}]}, "INVALID_KEY", "Key[0]"),
                ({"Key": [{"Value": True}]}, "INVALID_KEY", "Key[0].Value"),
                ({"Key": [{"Value": 2**63}]}, "INVALID_KEY", ""),
                ({"Key": [{"Binary": "not base64"}]}, "INVALID_REQUEST", "Key[0].Binary"),
                (key(1), "INVALID_KEY", ""),
                (key(b"NZ"), "INVALID_KEY", ""),
                (key("NZ", "NZ"), "INVALID_KEY", ""),
            ):
                with self.subTest(path=path, wrong=str(wrong)[:100]):
                    refused = self.ask("POST", path, wrong, 400)
                    self.assertEqual(refused.reason, reason)
                    if field:
                        self.assertEqual(refused.json()["error"]["field"], field)
            self.ask("POST", path, key("x" * 70_000), 413)
            self.ask("POST", path, key("NZ"), 415, ["Content-Type: image/png"])
            self.assertEqual(self.ask("GET", path, status=405).headers["allow"], "POST")
        self.assertEqual(self.ask("POST", row, {}, 400).reason, "INVALID_KEY")
        self.ask("POST", "/get-row-by-key/g/countries", key("NZ"), 400)
        self.ask("POST", "/get-row-by-key/geo/%zz", key("NZ"), 400)
        self.ask("POST", "/get-row-by-key/geo", key("NZ"), 404)
        self.ask("POST", "/ping", status=405)
        for query in ("min_sequence=x", "min_sequence=-1", "min_sequence=", "minimum=1"):
            self.ask("POST", f"{row}?{query}", key("NZ"), 400)
        self.ask("POST", row, key("NZ"))

    def test_lists_have_limits(self) -> None:
        cluster = self.start()
        client = cluster.client()
        rows = [upsert("signs", {"id": i // 100, "sign": b"%d" % i}) for i in range(300)]
        for begin in range(0, 300, 100):
            client.mutate("geo", rows[begin : begin + 100])
        cluster.wait_until_caught_up()
        path = "/get-rows-by-key-prefix/geo/signs"
        whole = self.ask("POST", path, {})
        self.assertEqual(len(whole.json()), 300)
        size = len(whole.body)
        for name, flag, fits in (
            ("rows299", "--max_list_rows=299", False),
            ("rows300", "--max_list_rows=300", True),
            ("bytes-1", f"--max_http_list_bytes={size - 1}", False),
            ("bytes", f"--max_http_list_bytes={size}", True),
        ):
            with self.subTest(flag):
                process = self.sidecar(name, cluster.hosts[0], flag)
                address = started_at(process, "sidecar", "http")
                answer = self.ask("POST", path, {}, 200 if fits else 416, address=address)
                if not fits:
                    self.assertEqual(answer.reason, "LIST_TOO_LONG")
                some = self.ask("POST", path, key(1), address=address)
                self.assertEqual(len(some.json()), 100)

    def test_reads_can_wait_for_a_sequence(self) -> None:
        cluster = self.start()
        host = cluster.hosts[0]
        path = "/get-row-by-key/geo/countries?min_sequence="
        for number in range(20):
            code = f"N{number}"
            sequence = cluster.client().mutate("geo", [upsert("countries", {"code": code})])
            answer = self.ask("POST", f"{path}{sequence}", key(code))
            self.assertEqual(answer.json()["code"], code)
        # Nothing arrives while nobody brings it.
        host.reflector.kill()
        sequence = cluster.client().mutate("geo", [upsert("countries", {"code": "late"})])
        impatient = self.sidecar("impatient", host, "--max_wait_ms=50")
        address = started_at(impatient, "sidecar", "http")
        self.ask("POST", f"{path}{sequence}", key("late"), 504, address=address)
        with concurrent.futures.ThreadPoolExecutor() as executor:
            waiting = executor.submit(self.ask, "POST", f"{path}{sequence}", key("late"))
            host.reflector.start()
            self.assertEqual(waiting.result().json()["code"], "late")

    def test_without_a_local_database(self) -> None:
        cluster = self.start()
        process = Process(
            "alone",
            [
                binary("sidecar"),
                f"--ldb={self.folder / 'none' / 'ldb.db'}",
                "--listen=127.0.0.1:0",
                "--http_port=0",
            ],
            self.folder,
        )
        self.addCleanup(process.kill)
        process.start()
        address = started_at(process, "sidecar", "http")
        for method, path, body in (
            ("POST", "/get-row-by-key/geo/countries", key("NZ")),
            ("POST", "/get-rows-by-key-prefix/geo/countries", {}),
            ("GET", "/get-ledger-latency", b""),
            ("GET", "/healthcheck", b""),
        ):
            refused = self.ask(method, path, body, 503, address=address)
            self.assertEqual(refused.reason, "LDB_UNAVAILABLE")
        self.ask("GET", "/ping", address=address)
        self.assertEqual(process.terminate(), 0)
        self.ask("GET", "/healthcheck", address=cluster.hosts[0].sidecar_http_address())

    def test_tls_and_roles(self) -> None:
        cluster = self.start()
        cluster.client().mutate("geo", [upsert("countries", {"code": "NZ"})])
        cluster.wait_until_caught_up()
        authority = Authority(self.folder, "authority")
        pair = authority.for_server()
        tokens = self.folder / "reader_tokens"
        tokens.write_text(f"{TOKEN}\n", encoding="utf-8")
        guarded = self.sidecar(
            "guarded",
            cluster.hosts[0],
            f"--tls_cert_file={pair.cert}",
            f"--tls_key_file={pair.key}",
            f"--reader_token_file={tokens}",
            "--metrics_port=0",
        )
        address = started_at(guarded, "sidecar", "http").replace("127.0.0.1", "localhost")
        options: Dict[str, Any] = {
            "address": address,
            "scheme": "https",
            "flags": ["--cacert", str(authority.cert)],
        }
        path = "/get-row-by-key/geo/countries"
        good = [f"Authorization: Bearer {TOKEN}"]
        answer = self.ask("POST", path, key("NZ"), 200, good, **options)
        self.assertEqual(answer.json()["code"], "NZ")
        self.ask("GET", "/get-ledger-latency", b"", 200, good, **options)
        for headers in ([], ["Authorization: Bearer of-something-else"]):
            refused = self.ask("POST", path, key("NZ"), 401, headers, **options)
            self.assertEqual(refused.reason, "NO_ROLE")
            self.assertEqual(refused.headers["www-authenticate"], "Bearer")
            self.ask("POST", "/get-rows-by-key-prefix/geo/countries", {}, 401, headers, **options)
            self.ask("GET", "/get-ledger-latency", b"", 401, headers, **options)
        self.ask("GET", "/healthcheck", b"", 200, [], **options)
        self.ask("GET", "/ping", b"", 200, [], **options)

    def test_it_can_be_switched_off(self) -> None:
        cluster = self.start()
        process = self.sidecar("off", cluster.hosts[0], "--http_port=-1")
        wait_until(lambda: "event=sidecar_started" in process.log(), "it serves")
        started = [line for line in process.log().splitlines() if "sidecar_started" in line]
        self.assertNotIn(" http=", started[0])


if __name__ == "__main__":
    unittest.main()
