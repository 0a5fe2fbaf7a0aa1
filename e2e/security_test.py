"""Who may do what: TLS, tokens, client certificates, writers' secrets, and what the log tells."""

import os
import re
import ssl
import subprocess
import unittest
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import grpc
from ctlstore.v1 import executive_pb2 as ex
from ctlstore.v1 import (
    executive_pb2_grpc,
    sidecar_pb2,
    sidecar_pb2_grpc,
    supervisor_pb2,
    supervisor_pb2_grpc,
)

from harness.case import E2eTestCase
from harness.certificates import Authority
from harness.client import (
    CALL_TIMEOUT_S,
    ExecutiveClient,
    Writer,
    failure_of,
    open_channel,
)
from harness.cluster import (
    Executive,
    binary,
    by_own_binary,
    tcp_address,
    wait_until_serving,
)
from harness.curl import curl, writer_headers
from harness.process import Process
from harness.reflection import check_health, list_services
from harness.values import fields, table, upsert, value
from harness.waiting import wait_until

ADMIN_TOKEN = "admin-token-0123456789abcdef"
READER_TOKEN = "reader-token-0123456789abcdef"
WRONG_TOKEN = "wrong-token-0123456789abcdef"

WRITER = Writer("guarded writer", "the guarded writer's secret")
WRONG_SECRET = "not the guarded writer's secret"

UNREACHABLE = 5  # the commands' exit status

Metadata = Sequence[Tuple[str, str]]


def bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


class Rpc(NamedTuple):
    """A method with a request that succeeds where the one before it has succeeded."""

    method: str
    request: Any
    role: str  # "admin", "reader" or "writer"


def every_executive_rpc() -> List[Rpc]:
    rows = table("fam", "rows", [("id", "integer")], ["id"])
    more = table("fam", "more", [("id", "integer")], ["id"])
    row = upsert("rows", {"id": 1})
    size = ex.TableSizeLimit(warn_bytes=1 << 20, max_bytes=1 << 30)
    limit = ex.WriterLimit(writer=WRITER.name, limit=ex.WriterRateLimit(rows=1000))
    limit.limit.period.seconds = 60
    return [
        Rpc(
            "RegisterWriter",
            ex.RegisterWriterRequest(writer=WRITER.name, secret=WRITER.secret),
            "admin",
        ),
        Rpc("CreateFamily", ex.CreateFamilyRequest(family="fam"), "admin"),
        Rpc("CreateTable", ex.CreateTableRequest(table=rows), "admin"),
        Rpc("CreateTables", ex.CreateTablesRequest(tables=[more]), "admin"),
        Rpc(
            "AddFields",
            ex.AddFieldsRequest(family="fam", table="more", fields=fields([("v", "text")])),
            "admin",
        ),
        Rpc(
            "SetTableLimit",
            ex.SetTableLimitRequest(
                limit=ex.TableLimit(family="fam", table="rows", limit=size)
            ),
            "admin",
        ),
        Rpc("SetWriterLimit", ex.SetWriterLimitRequest(limit=limit), "admin"),
        Rpc("Mutate", ex.MutateRequest(family="fam", mutations=[row]), "writer"),
        Rpc("SetCookie", ex.SetCookieRequest(cookie=b"cookie"), "writer"),
        Rpc("GetCookie", ex.GetCookieRequest(), "writer"),
        Rpc("GetTable", ex.GetTableRequest(family="fam", table="rows"), "reader"),
        Rpc("ListTables", ex.ListTablesRequest(), "reader"),
        Rpc("ListFamilies", ex.ListFamiliesRequest(), "reader"),
        Rpc("ListTableLimits", ex.ListTableLimitsRequest(), "reader"),
        Rpc("ListWriterLimits", ex.ListWriterLimitsRequest(), "reader"),
        Rpc("GetStatus", ex.GetExecutiveStatusRequest(), "reader"),
        Rpc(
            "DeleteTableLimit", ex.DeleteTableLimitRequest(family="fam", table="rows"), "admin"
        ),
        Rpc("DeleteWriterLimit", ex.DeleteWriterLimitRequest(writer=WRITER.name), "admin"),
        Rpc("PruneLedger", ex.PruneLedgerRequest(dry_run=True), "admin"),
        Rpc("ClearTable", ex.ClearTableRequest(family="fam", table="rows"), "admin"),
        Rpc("ClearFamily", ex.ClearFamilyRequest(family="fam"), "admin"),
        Rpc("DropTable", ex.DropTableRequest(family="fam", table="more"), "admin"),
    ]


def every_sidecar_rpc() -> List[Rpc]:
    return [
        Rpc(
            "GetRow",
            sidecar_pb2.GetRowRequest(family="fam", table="rows", key=[value(1)]),
            "reader",
        ),
        Rpc(
            "BatchGetRows",
            sidecar_pb2.BatchGetRowsRequest(
                keys=[sidecar_pb2.BatchGetRowsRequest.Key(family="fam", table="rows", key=[value(1)])]
            ),
            "reader",
        ),
        Rpc("ListRows", sidecar_pb2.ListRowsRequest(family="fam", table="rows"), "reader"),
        Rpc("Watch", sidecar_pb2.WatchRequest(), "reader"),
        Rpc("WaitForSequence", sidecar_pb2.WaitForSequenceRequest(sequence=1), "reader"),
        Rpc("GetTable", sidecar_pb2.SidecarGetTableRequest(family="fam", table="rows"), "reader"),
        Rpc("ListTables", sidecar_pb2.SidecarListTablesRequest(), "reader"),
        Rpc("GetStatus", sidecar_pb2.GetStatusRequest(), "reader"),
    ]


def every_supervisor_rpc() -> List[Rpc]:
    return [
        Rpc("TakeSnapshot", supervisor_pb2.TakeSnapshotRequest(), "admin"),
        Rpc("ListSnapshots", supervisor_pb2.ListSnapshotsRequest(), "reader"),
        Rpc("GetStatus", supervisor_pb2.GetSupervisorStatusRequest(), "reader"),
    ]


def outcome(stub: Any, rpc: Rpc, metadata: Metadata) -> Tuple[str, str]:
    """The status's code, and the error's reason."""
    try:
        answer = getattr(stub, rpc.method)(
            rpc.request, metadata=metadata, timeout=CALL_TIMEOUT_S
        )
        if rpc.method == "ListRows":
            list(answer)
        if rpc.method == "Watch":
            # It does not end by itself.
            next(answer)
            answer.cancel()
        return "OK", ""
    except grpc.RpcError as error:
        failure = failure_of(error)
        return failure.code.name, failure.reason or ""


def audit_lines(process: Process) -> List[Dict[str, str]]:
    """What each audit line says, by name."""
    lines = re.findall(r"event=audit (.*)", process.log())
    return [
        {name: text.strip('"') for name, text in re.findall(r'(\w+)=("[^"]*"|\S+)', line)}
        for line in lines
    ]


class SecurityTest(E2eTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.folder, "authority")
        self.tokens = {"admin": ADMIN_TOKEN, "reader": READER_TOKEN}
        for role, token in self.tokens.items():
            path = self.token_file(role)
            path.write_text(f"# of the tests\n{token}\n", encoding="utf-8")
            path.chmod(0o600)

    def token_file(self, role: str) -> Path:
        return self.folder / f"{role}.token"

    def token_flags(self) -> List[str]:
        return [f"--{role}_token_file={self.token_file(role)}" for role in self.tokens]

    def start_executive(self, *flags: str) -> Executive:
        self.ctldb = self.new_ctldb()
        executive = Executive(
            "executive",
            self.ctldb,
            self.socket_folder,
            self.folder,
            by_own_binary,
            [
                "--enable_destructive_changes",
                f"--snapshot_urls=file://{self.folder}/snapshots",
                *flags,
            ],
        )
        self.addCleanup(executive.process.kill)
        executive.start()
        executive.wait_until_serving()
        return executive

    def start_process(self, service: str, *flags: str) -> Process:
        process = Process(service, [binary(service), *flags], self.folder)
        self.addCleanup(process.kill)
        process.start()
        return process

    def executive_stub(
        self, address: str, credentials: Optional[grpc.ChannelCredentials] = None
    ) -> executive_pb2_grpc.ExecutiveStub:
        channel = open_channel(address, credentials)
        self.addCleanup(channel.close)
        return executive_pb2_grpc.ExecutiveStub(channel)

    def run_command(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [binary("ctlstore"), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(os.environ),
            timeout=60,
            check=False,
            text=True,
        )

    def assert_nothing_secret_in_logs(self, *more: str) -> None:
        secrets = [ADMIN_TOKEN, READER_TOKEN, WRONG_TOKEN, WRITER.secret, WRONG_SECRET, *more]
        logs = list(self.folder.rglob("*.log"))
        self.assertTrue(logs)
        for log in logs:
            text = log.read_text(encoding="utf-8", errors="replace")
            for secret in secrets:
                self.assertNotIn(secret, text, log)

    def test_by_default_everything_is_open_on_loopback(self) -> None:
        executive = self.start_executive()
        stub = self.executive_stub(executive.tcp_address())
        for rpc in every_executive_rpc():
            metadata = WRITER.metadata if rpc.role == "writer" else ()
            self.assertEqual(outcome(stub, rpc, metadata), ("OK", ""), rpc.method)
        self.assertEqual({line["who"] for line in audit_lines(executive.process)}, {"anyone"})

    def test_beyond_loopback_a_server_wants_tls_and_roles(self) -> None:
        pair = self.authority.for_server()
        tls = [f"--tls_cert_file={pair.cert}", f"--tls_key_file={pair.key}"]
        services = {
            "executive": [f"--ctldb=sqlite://{self.folder}/ctldb.db", "--http_port=0"],
            "sidecar": [f"--ldb={self.folder}/ldb.db", "--http_port=0"],
            "supervisor": [
                f"--ctldb=sqlite://{self.folder}/ctldb.db",
                f"--ldb={self.folder}/supervisor.db",
                f"--snapshot_urls=file://{self.folder}/snapshots",
            ],
        }
        for service, own in services.items():
            flags = [*own, "--listen=0.0.0.0:0"]
            for missing, given in (
                (["--tls_cert_file", "--tls_key_file", "--admin_token_file"], []),
                (["--tls_cert_file", "--tls_key_file"], self.token_flags()),
                (["--admin_token_file", "--reader_token_file", "--admin_identities"], tls),
            ):
                with self.subTest(service=service, given=given):
                    process = self.start_process(service, *flags, *given)
                    self.assertNotEqual(process.wait(), 0)
                    said = process.log_since_start()
                    for flag in [*missing, "--insecure", "0.0.0.0:0"]:
                        self.assertIn(flag, said)
                    for flag in given:
                        self.assertNotIn(f"set {flag.partition('=')[0]}", said)
            for given in ([*tls, *self.token_flags()], ["--insecure"]):
                with self.subTest(service=service, given=given):
                    process = self.start_process(service, *flags, *given)
                    started = f"event={service}_started"
                    wait_until(
                        lambda process=process: started in process.log_since_start()
                        or not process.running(),
                        "it starts",
                    )
                    self.assertTrue(process.running(), process.log_since_start())
                    said = process.log_since_start()
                    self.assertEqual("event=insecure_address" in said, given == ["--insecure"])
                    port = re.findall(rf"{started} .*?listen=0\.0\.0\.0:(\d+)", said)[0]
                    credentials = None if given == ["--insecure"] else self.authority.credentials()
                    with open_channel(f"127.0.0.1:{port}", credentials) as channel:
                        check_health(channel)
                    self.assertEqual(process.terminate(), 0)

    def test_every_executive_rpc_against_each_role(self) -> None:
        pair = self.authority.for_server()
        executive = self.start_executive(
            f"--tls_cert_file={pair.cert}", f"--tls_key_file={pair.key}", *self.token_flags()
        )
        rpcs = every_executive_rpc()
        service = ex.DESCRIPTOR.services_by_name["Executive"]
        self.assertEqual(
            sorted(rpc.method for rpc in rpcs), sorted(service.methods_by_name), "all are here"
        )
        no_role = ("UNAUTHENTICATED", "NO_ROLE")
        role_missing = ("PERMISSION_DENIED", "ROLE_MISSING")
        no_writer = ("UNAUTHENTICATED", "BAD_CREDENTIALS")
        # What each caller gets for methods of the roles admin and reader, and of writers.
        callers = {
            "none": ((), no_role, no_role, no_writer),
            "wrong token": (bearer(WRONG_TOKEN), no_role, no_role, no_writer),
            "no bearer": ((("authorization", ADMIN_TOKEN),), no_role, no_role, no_writer),
            "basic": ((("authorization", f"Basic {ADMIN_TOKEN}"),), no_role, no_role, no_writer),
            "part of it": (bearer(ADMIN_TOKEN[:-1]), no_role, no_role, no_writer),
            "more than it": (bearer(ADMIN_TOKEN + "x"), no_role, no_role, no_writer),
            "reader": (bearer(READER_TOKEN), role_missing, ("OK", ""), no_writer),
            "admin": (bearer(ADMIN_TOKEN), ("OK", ""), ("OK", ""), no_writer),
        }
        # The Unix socket is without TLS, but not without roles.
        faces = {
            "tls": self.executive_stub(executive.tcp_address(), self.authority.credentials()),
            "unix": self.executive_stub(executive.address),
        }
        # The admin makes first what the others then could see or break.
        for rpc in [*rpcs[:10], rpcs[-1]]:
            metadata = WRITER.metadata if rpc.role == "writer" else bearer(ADMIN_TOKEN)
            self.assertEqual(outcome(faces["tls"], rpc, metadata), ("OK", ""), rpc.method)
        before = self.ctldb.snapshot()
        for face, stub in faces.items():
            for caller, (metadata, admin, reader, writer) in callers.items():
                if caller == "admin":
                    continue
                for rpc in rpcs:
                    wanted = {"admin": admin, "reader": reader, "writer": writer}[rpc.role]
                    with self.subTest(face=face, caller=caller, method=rpc.method):
                        self.assertEqual(outcome(stub, rpc, metadata), wanted)
        self.assertEqual(self.ctldb.snapshot(), before)
        for face, stub in faces.items():
            metadata, admin, reader, writer = callers["admin"]
            for rpc in rpcs:
                wanted = {"admin": admin, "reader": reader, "writer": writer}[rpc.role]
                with self.subTest(face=face, caller="admin", method=rpc.method):
                    self.assertEqual(outcome(stub, rpc, metadata), wanted)
        # A writer's secret is no role, and needs none, whatever token comes with it.
        for token in ((), bearer(WRONG_TOKEN), bearer(READER_TOKEN)):
            for rpc in rpcs:
                if rpc.role == "writer":
                    wanted = ("OK", "")
                else:
                    wanted = no_role
                    if token == bearer(READER_TOKEN):
                        wanted = {"admin": role_missing, "reader": ("OK", "")}[rpc.role]
                with self.subTest(writer_with=token, method=rpc.method):
                    metadata = (*WRITER.metadata, *token)
                    self.assertEqual(outcome(faces["tls"], rpc, metadata), wanted)
        # Probes and reflection need no role.
        with open_channel(executive.tcp_address(), self.authority.credentials()) as channel:
            check_health(channel)
            self.assertIn("ctlstore.v1.Executive", list_services(channel))
        # Without TLS there is no way in by TCP.
        with closing(ExecutiveClient(executive.tcp_address())) as client:
            with self.assertRaises(grpc.RpcError) as raised:
                client.list_families(timeout=3, metadata=bearer(ADMIN_TOKEN))
            self.assertIn(
                raised.exception.code(),
                (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED),
            )
        self.assert_nothing_secret_in_logs()

    def test_every_sidecar_rpc_against_each_role(self) -> None:
        cluster = self.start_cluster(hosts=1)
        client = cluster.client()
        client.create_family("fam")
        client.create_table(table("fam", "rows", [("id", "integer")], ["id"]))
        client.mutate("fam", [upsert("rows", {"id": 1})])
        cluster.wait_until_caught_up()
        pair = self.authority.for_server()
        socket = f"unix:{self.socket_folder}/guarded.sock"
        sidecar = self.start_process(
            "sidecar",
            f"--ldb={cluster.hosts[0].ldb_path}",
            f"--listen={socket},127.0.0.1:0",
            "--http_port=0",
            f"--tls_cert_file={pair.cert}",
            f"--tls_key_file={pair.key}",
            *self.token_flags(),
        )
        wait_until(lambda: "event=sidecar_started" in sidecar.log(), "the sidecar serves")
        rpcs = every_sidecar_rpc()
        service = sidecar_pb2.DESCRIPTOR.services_by_name["Sidecar"]
        self.assertEqual(sorted(rpc.method for rpc in rpcs), sorted(service.methods_by_name))
        for address, credentials in (
            (tcp_address(sidecar), self.authority.credentials()),
            (socket, None),
        ):
            with open_channel(address, credentials) as channel:
                stub = sidecar_pb2_grpc.SidecarStub(channel)
                for metadata, wanted in (
                    ((), ("UNAUTHENTICATED", "NO_ROLE")),
                    (bearer(WRONG_TOKEN), ("UNAUTHENTICATED", "NO_ROLE")),
                    (bearer(READER_TOKEN), ("OK", "")),
                    (bearer(ADMIN_TOKEN), ("OK", "")),
                ):
                    for rpc in rpcs:
                        with self.subTest(address=address, method=rpc.method, metadata=metadata):
                            self.assertEqual(outcome(stub, rpc, metadata), wanted)
        self.assert_nothing_secret_in_logs()

    def test_every_supervisor_rpc_against_each_role(self) -> None:
        cluster = self.start_cluster(hosts=0)
        cluster.client().create_family("fam")
        cluster.client().create_table(table("fam", "rows", [("id", "integer")], ["id"]))
        pair = self.authority.for_server()
        socket = f"unix:{self.socket_folder}/guarded-supervisor.sock"
        places = self.folder / "snapshots"
        supervisor = self.start_process(
            "supervisor",
            f"--ctldb={cluster.ctldb.url}",
            f"--ldb={self.folder}/supervisor/ldb.db",
            f"--snapshot_urls=file://{places}",
            "--snapshot_interval_s=0",
            f"--listen={socket},127.0.0.1:0",
            f"--tls_cert_file={pair.cert}",
            f"--tls_key_file={pair.key}",
            *self.token_flags(),
        )
        wait_until_serving(supervisor, socket)
        rpcs = every_supervisor_rpc()
        service = supervisor_pb2.DESCRIPTOR.services_by_name["Supervisor"]
        self.assertEqual(sorted(rpc.method for rpc in rpcs), sorted(service.methods_by_name))
        no_role = ("UNAUTHENTICATED", "NO_ROLE")
        role_missing = ("PERMISSION_DENIED", "ROLE_MISSING")
        for address, credentials in (
            (tcp_address(supervisor), self.authority.credentials()),
            (socket, None),
        ):
            with open_channel(address, credentials) as channel:
                stub = supervisor_pb2_grpc.SupervisorStub(channel)
                for metadata, admin, reader in (
                    ((), no_role, no_role),
                    (bearer(WRONG_TOKEN), no_role, no_role),
                    (bearer(READER_TOKEN), role_missing, ("OK", "")),
                    (bearer(ADMIN_TOKEN), ("OK", ""), ("OK", "")),
                ):
                    for rpc in rpcs:
                        wanted = admin if rpc.role == "admin" else reader
                        with self.subTest(address=address, method=rpc.method, metadata=metadata):
                            self.assertEqual(outcome(stub, rpc, metadata), wanted)
                self.assertIn("ctlstore.v1.Supervisor", list_services(channel))
        # One for each time that an admin asked.
        manifests = [path for path in places.glob("*.json") if path.name != "index.json"]
        self.assertEqual(len(manifests), 2)
        self.assertEqual(supervisor.terminate(), 0)
        self.assert_nothing_secret_in_logs()

    def test_clients_known_by_certificate(self) -> None:
        pair = self.authority.for_server()
        clients = Authority(self.folder, "clients")
        strangers = Authority(self.folder, "strangers")
        executive = self.start_executive(
            f"--tls_cert_file={pair.cert}",
            f"--tls_key_file={pair.key}",
            f"--tls_client_ca_file={clients.cert}",
            "--tls_require_client_cert",
            "--admin_identities=ops.example.com,spiffe://example.com/admin",
            "--reader_identities=reader.example.com,watcher",
        )
        address = executive.tcp_address()
        read = Rpc("ListFamilies", ex.ListFamiliesRequest(), "reader")
        change = Rpc("CreateFamily", ex.CreateFamilyRequest(family="fam"), "admin")
        ok, none = ("OK", ""), ("UNAUTHENTICATED", "NO_ROLE")
        missing = ("PERMISSION_DENIED", "ROLE_MISSING")
        for client, reads, changes in (
            (clients.issue("ops.example.com"), ok, ok),
            (clients.issue("x", "URI:spiffe://example.com/admin"), ok, ok),
            (clients.issue("watcher"), ok, missing),
            (clients.issue("x", "DNS:reader.example.com"), ok, missing),
            (clients.issue("nobody"), none, none),
            (clients.issue("OPS.example.com"), none, none),
            (clients.issue("x", "email:ops.example.com@example.com"), none, none),
        ):
            stub = self.executive_stub(address, self.authority.credentials(client))
            self.assertEqual(outcome(stub, read, ()), reads, client.cert)
            self.assertEqual(outcome(stub, change, ()), changes, client.cert)
        for client in (
            None,
            strangers.issue("ops.example.com"),
            clients.issue("ops.example.com", days=-1),
        ):
            stub = self.executive_stub(address, self.authority.credentials(client))
            self.assertEqual(outcome(stub, read, ())[0], "UNAVAILABLE")
        done = [
            line["who"] for line in audit_lines(executive.process) if line["outcome"] == "OK"
        ]
        self.assertEqual(
            done, ["certificate ops.example.com", "certificate spiffe://example.com/admin"]
        )
        # Our own client, too.
        client = clients.issue("watcher")
        flags = [f"--executive={address}", *self.own_tls(self.authority)]
        shown = [f"--client_tls_cert_file={client.cert}", f"--client_tls_key_file={client.key}"]
        result = self.run_command("family", "list", *flags, *shown)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.run_command("family", "list", *flags).returncode, UNREACHABLE)

    def test_clients_refuse_servers_that_they_cannot_know(self) -> None:
        other = Authority(self.folder, "other")
        expired = self.authority.for_server(days=-1)
        good = self.authority.for_server()
        elsewhere = self.authority.issue("server", "DNS:elsewhere.example.com,IP:127.0.0.9")
        for pair, believed in (
            (good, other),
            (expired, self.authority),
            (elsewhere, self.authority),
        ):
            executive = self.start_executive(
                f"--tls_cert_file={pair.cert}", f"--tls_key_file={pair.key}"
            )
            address = executive.tcp_address()
            stub = self.executive_stub(address, believed.credentials())
            read = Rpc("ListFamilies", ex.ListFamiliesRequest(), "reader")
            self.assertEqual(outcome(stub, read, ())[0], "UNAVAILABLE")
            result = self.run_command(
                "family", "list", f"--executive={address}", *self.own_tls(believed)
            )
            self.assertEqual(result.returncode, UNREACHABLE, result.stderr)
            executive.process.kill()

    def test_certificates_and_tokens_are_read_again(self) -> None:
        first = self.authority.for_server()
        used = self.authority.for_server()
        used.replace_by(first)
        executive = self.start_executive(
            f"--tls_cert_file={used.cert}", f"--tls_key_file={used.key}", *self.token_flags()
        )
        address = executive.tcp_address()
        read = Rpc("ListFamilies", ex.ListFamiliesRequest(), "reader")
        open_stub = self.executive_stub(address, self.authority.credentials())
        self.assertEqual(outcome(open_stub, read, bearer(READER_TOKEN)), ("OK", ""))
        self.assertEqual(shown_certificate(address), first.cert_pem.decode().strip())

        # Of another authority, so that clients see the difference, too.
        later = Authority(self.folder, "later")
        second = later.for_server()
        used.replace_by(second)
        wait_until(
            lambda: shown_certificate(address) == second.cert_pem.decode().strip(),
            "the new certificate is shown",
        )
        stub = self.executive_stub(address, later.credentials())
        self.assertEqual(outcome(stub, read, bearer(READER_TOKEN)), ("OK", ""))
        late_stub = self.executive_stub(address, self.authority.credentials())
        self.assertEqual(outcome(late_stub, read, bearer(READER_TOKEN))[0], "UNAVAILABLE")
        # Connections that are open stay so.
        self.assertEqual(outcome(open_stub, read, bearer(READER_TOKEN)), ("OK", ""))

        # Files that cannot be used change nothing.
        used.cert.write_text("nothing of use", encoding="utf-8")
        wait_until(
            lambda: shown_certificate(address)
            and "event=files_not_reloaded" in executive.process.log(),
            "the executive complains",
        )
        self.assertEqual(shown_certificate(address), second.cert_pem.decode().strip())
        self.assertEqual(outcome(stub, read, bearer(READER_TOKEN)), ("OK", ""))

        # A token is replaced without an interruption.
        new_token = "another-reader-token-0123456789"
        path = self.token_file("reader")
        path.write_text(f"{READER_TOKEN}\n{new_token}\n", encoding="utf-8")
        wait_until(
            lambda: outcome(stub, read, bearer(new_token)) == ("OK", ""), "the token is good"
        )
        self.assertEqual(outcome(stub, read, bearer(READER_TOKEN)), ("OK", ""))
        path.write_text(f"{new_token}\n", encoding="utf-8")
        wait_until(
            lambda: outcome(stub, read, bearer(READER_TOKEN)) == ("UNAUTHENTICATED", "NO_ROLE"),
            "the old token is withdrawn",
        )
        self.assertEqual(outcome(stub, read, bearer(new_token)), ("OK", ""))
        self.assert_nothing_secret_in_logs(new_token)

    def test_each_administrative_change_leaves_an_audit_line(self) -> None:
        executive = self.start_executive(*self.token_flags())
        stub = self.executive_stub(executive.address)
        actions = {
            "RegisterWriter": "register_writer",
            "CreateFamily": "create_family",
            "CreateTable": "create_tables",
            "CreateTables": "create_tables",
            "AddFields": "add_fields",
            "SetTableLimit": "set_table_limit",
            "SetWriterLimit": "set_writer_limit",
            "DeleteTableLimit": "delete_table_limit",
            "DeleteWriterLimit": "delete_writer_limit",
            "ClearTable": "clear_table",
            "ClearFamily": "clear_family",
            "DropTable": "drop_table",
            "PruneLedger": "prune_ledger",
        }
        wanted: List[Tuple[str, str, str, str]] = []
        for rpc in every_executive_rpc():
            if rpc.role == "writer":
                outcome(stub, rpc, WRITER.metadata)
                continue
            if rpc.role == "reader":
                outcome(stub, rpc, bearer(READER_TOKEN))
                continue
            self.assertEqual(outcome(stub, rpc, ())[1], "NO_ROLE")
            self.assertEqual(outcome(stub, rpc, bearer(READER_TOKEN))[1], "ROLE_MISSING")
            answer = getattr(stub, rpc.method)(
                rpc.request, metadata=bearer(ADMIN_TOKEN), timeout=CALL_TIMEOUT_S
            )
            action = actions[rpc.method]
            wanted += [
                (action, "anyone", "NO_ROLE", "0"),
                (action, "token reader", "ROLE_MISSING", "0"),
                (action, "token admin", "OK", str(getattr(answer, "sequence", 0))),
            ]
        lines = audit_lines(executive.process)
        found = [
            (line["action"], line["who"], line["outcome"], line["sequence"]) for line in lines
        ]
        self.assertEqual(
            [line for line in found if line[2] != "NO_ROLE"],
            [line for line in wanted if line[2] != "NO_ROLE"],
        )
        self.assertEqual(
            [(line[0], line[2]) for line in found], [(line[0], line[2]) for line in wanted]
        )
        targets = {line["action"]: line["target"] for line in lines}
        self.assertEqual(targets["register_writer"], WRITER.name)
        self.assertEqual(targets["drop_table"], "fam.more")
        self.assertIn("fam.rows", targets["set_table_limit"])
        # A request that fails is told as well.
        bad = Rpc("CreateFamily", ex.CreateFamilyRequest(family="a__b"), "admin")
        self.assertEqual(outcome(stub, bad, bearer(ADMIN_TOKEN))[1], "INVALID_NAME")
        self.assertEqual(audit_lines(executive.process)[-1]["outcome"], "INVALID_NAME")
        self.assert_nothing_secret_in_logs()

    def test_http_speaks_tls_and_asks_for_roles(self) -> None:
        clients = Authority(self.folder, "clients")
        used = self.authority.for_server()
        executive = self.start_executive(
            f"--tls_cert_file={used.cert}",
            f"--tls_key_file={used.key}",
            f"--tls_client_ca_file={clients.cert}",
            "--reader_identities=watcher",
            *self.token_flags(),
        )
        address = executive.http_address()
        believing = ["--cacert", str(self.authority.cert)]
        as_writer = writer_headers(WRITER)

        def status(
            method: str,
            path: str,
            token: str = "",
            body: bytes = b"",
            headers: Sequence[str] = (),
            flags: Sequence[str] = (),
        ) -> int:
            proof = [f"Authorization: Bearer {token}"] if token else []
            answer = curl(
                address, method, path, body, [*headers, *proof], [*believing, *flags], "https"
            )
            if answer.status == 401 and answer.reason == "NO_ROLE":
                self.assertEqual(answer.headers["www-authenticate"], "Bearer")
            return answer.status

        fields_json = b'{"fields":[["id","integer"]],"keyFields":["id"]}'
        size = b'{"max-size":2000000,"warn-size":1000000}'
        rate = b'{"amount":10,"period":"1m"}'
        more = b'[{"family":"fam","name":"more",' + fields_json[1:] + b"]"
        row = b'{"mutations":[{"table":"rows","values":{"id":1}}]}'
        changes: List[Tuple[str, str, bytes]] = [
            ("POST", f"/writers/{WRITER.name.replace(' ', '%20')}", WRITER.secret.encode()),
            ("POST", "/families/fam", b""),
            ("POST", "/families/fam/tables/rows", fields_json),
            ("PUT", "/families/fam/tables/rows", b'{"fields":[["id","integer"]]}'),
            ("POST", "/tables", more),
            ("POST", "/limits/tables/fam/rows", size),
            ("POST", "/limits/writers/seldom", rate),
            ("DELETE", "/limits/tables/fam/rows", b""),
            ("DELETE", "/limits/writers/seldom", b""),
            ("DELETE", "/clear-rows/families/fam/tables/rows", b""),
            ("DELETE", "/clear-rows/families/fam", b""),
            ("DELETE", "/families/fam/tables/more", b""),
        ]
        for method, path, body in changes:
            with self.subTest(f"{method} {path}"):
                self.assertEqual(status(method, path, "", body), 401)
                self.assertEqual(status(method, path, WRONG_TOKEN, body), 401)
                self.assertEqual(status(method, path, "", body, as_writer), 401)
                self.assertEqual(status(method, path, READER_TOKEN, body), 403)
                self.assertEqual(status(method, path, ADMIN_TOKEN, body), 200)
        client = clients.issue("watcher")
        shown = ["--cert", str(client.cert), "--key", str(client.key)]
        for path in (
            "/schema/table/fam/rows",
            "/schema/family/fam",
            "/limits/tables",
            "/limits/writers",
        ):
            with self.subTest(path):
                self.assertEqual(status("GET", path), 401)
                self.assertEqual(status("GET", path, WRONG_TOKEN), 401)
                self.assertEqual(status("GET", path, READER_TOKEN), 200)
                self.assertEqual(status("GET", path, ADMIN_TOKEN), 200)
                self.assertEqual(status("GET", path, flags=shown), 200)
        self.assertEqual(status("POST", "/families/other", flags=shown), 403)
        # A writer needs no role, and a role makes no writer. Probes need none either.
        for method, path, body in (
            ("POST", "/families/fam/mutations", row),
            ("POST", "/cookie", b"cookie"),
            ("GET", "/cookie", b""),
        ):
            self.assertEqual(status(method, path, "", body, as_writer), 200)
            self.assertEqual(status(method, path, ADMIN_TOKEN, body), 401)
        self.assertEqual(status("GET", "/status"), 200)
        lines = audit_lines(executive.process)
        done = [line for line in lines if line["outcome"] == "OK"]
        self.assertEqual(len(done), len(changes))
        self.assertEqual({line["who"] for line in done}, {"token admin"})

        # Without TLS, and for clients that believe others, there is no answer.
        other = Authority(self.folder, "other")
        for flags, scheme in (([], "http"), (["--cacert", str(other.cert)], "https")):
            with self.assertRaises(AssertionError):
                curl(address, "GET", "/status", flags=flags, scheme=scheme)
        renewed = other.for_server()
        used.replace_by(renewed)
        wait_until(
            lambda: shown_certificate(address) == renewed.cert_pem.decode().strip(),
            "the new certificate is shown",
        )
        believing = ["--cacert", str(other.cert)]
        self.assertEqual(status("GET", "/schema/family/fam", READER_TOKEN), 200)
        self.assert_nothing_secret_in_logs()

    def test_wrong_secrets_slow_down_who_guesses(self) -> None:
        executive = self.start_executive()
        with closing(ExecutiveClient(executive.address, WRITER)) as client:
            client.register(WRITER)
            client.create_family("fam")
            client.create_table(table("fam", "rows", [("id", "integer")], ["id"]))
            client.mutate("fam", [upsert("rows", {"id": 1})])
            guesser = Writer(WRITER.name, WRONG_SECRET)

            def reason_of_a_guess() -> Tuple[str, Optional[float]]:
                with self.assertRaises(grpc.RpcError) as raised:
                    client.mutate("fam", [upsert("rows", {"id": 2})], writer=guesser)
                failure = failure_of(raised.exception)
                if failure.reason == "TOO_MANY_FAILURES":
                    self.assertEqual(failure.code, grpc.StatusCode.RESOURCE_EXHAUSTED)
                else:
                    self.assertEqual(failure.reason, "BAD_CREDENTIALS")
                self.assertNotIn(WRONG_SECRET, failure.message)
                return failure.reason, failure.retry_delay_s

            for _ in range(5):
                self.assertEqual(reason_of_a_guess()[0], "BAD_CREDENTIALS")
            refusals: List[Optional[float]] = []

            def refused() -> bool:
                reason, delay = reason_of_a_guess()
                if reason == "TOO_MANY_FAILURES":
                    refusals.append(delay)
                # The right secret is remembered, and passes all the while.
                client.mutate("fam", [upsert("rows", {"id": 1})])
                client.get_cookie()
                return len(refusals) >= 5

            wait_until(refused, "guesses are refused unseen")
            self.assertTrue(all(delay is not None and 0 < delay <= 60 for delay in refusals))
            # Other writers are not concerned.
            other = Writer("other writer", "the other writer's secret")
            client.register(other)
            client.mutate("fam", [upsert("rows", {"id": 3})], writer=other)
        self.assert_nothing_secret_in_logs("the other writer's secret")

    @staticmethod
    def own_tls(authority: Authority) -> List[str]:
        """For our own clients."""
        return ["--client_tls", f"--client_tls_ca_file={authority.cert}"]


def shown_certificate(address: str) -> str:
    host, _, port = address.rpartition(":")
    return ssl.get_server_certificate((host, int(port))).strip()


if __name__ == "__main__":
    unittest.main()
