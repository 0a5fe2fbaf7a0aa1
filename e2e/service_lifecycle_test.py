"""How each service starts, says what is wrong, and ends."""

import os
import signal
import socket
import subprocess
import threading
import unittest
from pathlib import Path
from typing import Dict, List, Optional

import grpc

from harness.case import E2eTestCase
from harness.client import SidecarClient, Writer, failure_of, open_channel
from harness.cluster import BINARIES, binary, tcp_address, wait_until_serving
from harness.process import Process
from harness.reflection import HEALTH_NOT_SERVING, check_health
from harness.sqlite_content import read_ldb_sequence
from harness.values import table, upsert
from harness.waiting import wait_until

SECRET = "the heartbeat's very own secret"


class ServiceLifecycleTest(E2eTestCase):
    def test_sigterm_ends_services_at_work(self) -> None:
        cluster = self.start_cluster(hosts=1)
        heartbeat = self._heartbeat(cluster.executives[0].address)
        heartbeat.start()
        host = cluster.hosts[0]
        wait_until(lambda: host.client.status().HasField("heartbeat_time"), "a heartbeat arrives")
        for process in (
            heartbeat,
            host.sidecar,
            host.reflector,
            cluster.executives[0].process,
        ):
            self.assertEqual(process.terminate(), 0, process.name)
            self.assertIn("stopped", process.log())

    def test_sigterm_lets_calls_under_way_end(self) -> None:
        cluster = self.start_cluster(hosts=1)
        client = cluster.client()
        client.create_family("fam")
        client.create_table(table("fam", "rows", [("id", "integer")], ["id"]))
        acknowledged: List[int] = []
        failures = []
        begun = threading.Event()

        def write(part: int) -> None:
            for number in range(part * 1_000_000, (part + 1) * 1_000_000):
                try:
                    client.mutate("fam", [upsert("rows", {"id": number})])
                    acknowledged.append(number)
                    begun.set()
                except grpc.RpcError as error:
                    failures.append(failure_of(error))
                    return

        writers = [threading.Thread(target=write, args=(part,), daemon=True) for part in range(4)]
        for writer in writers:
            writer.start()
        self.assertTrue(begun.wait(30))
        self.assertEqual(cluster.executives[0].process.terminate(), 0)
        for writer in writers:
            writer.join(30)
        for failure in failures:
            self.assertIn(
                failure.code, (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), failure
            )
        rows = cluster.assert_all_same().tables["fam___rows"].rows
        there = {int(row[0].data) for row in rows.values()}
        self.assertLessEqual(set(acknowledged), there)

    def test_sigint_is_as_sigterm(self) -> None:
        cluster = self.start_cluster(hosts=1)
        host = cluster.hosts[0]
        for process in (host.sidecar, host.reflector, cluster.executives[0].process):
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(), 0, process.name)

    def test_sigterm_ends_services_whose_ctldb_is_away(self) -> None:
        cluster = self.start_cluster(hosts=1)
        if self.server is not None:
            self.server.stop()
            self.addCleanup(self.server.start)
        else:
            # For SQLite: a folder that is not there.
            Path(cluster.ctldb.url[len("sqlite://") :]).rename(self.folder / "away.db")
        late = self._reflector("late-reflector", cluster.ctldb.url, self.folder / "late.db")
        late.start()
        wait_until(lambda: "event=" in late.log(), "the reflector says something")
        for process in (late, cluster.hosts[0].reflector, cluster.executives[0].process):
            self.assertTrue(process.running(), process.name)
            self.assertEqual(process.terminate(), 0, process.name)

    def test_sigterm_ends_a_reflector_whose_ctldb_does_not_answer(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            reflector = self._reflector(
                "reflector", f"mysql://root@127.0.0.1:{port}/none", self.folder / "ldb.db"
            )
            reflector.start()
            connection, _ = silent.accept()
            with connection:
                self.assertEqual(reflector.terminate(), 0)

    def test_sidecar_without_an_ldb_serves_and_ends(self) -> None:
        sidecar = self._sidecar("sidecar", self.folder / "none" / "ldb.db", "127.0.0.1:0")
        sidecar.start()
        wait_until(lambda: "_started" in sidecar.log(), "the sidecar starts")
        address = tcp_address(sidecar)
        with open_channel(address) as channel:
            wait_until(
                lambda: check_health(channel) == HEALTH_NOT_SERVING, "it says that it cannot serve"
            )
        client = SidecarClient(address)
        for call in (
            client.status,
            lambda: client.get_row("fam", "rows", [1]),
            lambda: client.list_rows("fam", "rows"),
        ):
            with self.assertRaises(grpc.RpcError) as raised:
                call()
            failure = failure_of(raised.exception)
            self.assertEqual(failure.code, grpc.StatusCode.UNAVAILABLE, failure)
            self.assertEqual(failure.reason, "LDB_UNAVAILABLE", failure)
        client.close()
        self.assertEqual(sidecar.terminate(), 0)

    def test_heartbeat_without_an_executive_tries_on_and_ends(self) -> None:
        heartbeat = self._heartbeat("127.0.0.1:1")
        heartbeat.start()
        wait_until(lambda: heartbeat.log().count("event=") >= 2, "the heartbeat says something")
        self.assertTrue(heartbeat.running())
        self.assertEqual(heartbeat.terminate(), 0)

    def test_heartbeats_arrive_and_go_on_after_a_restart(self) -> None:
        cluster = self.start_cluster(hosts=1)
        sidecar = cluster.hosts[0].client
        heartbeat = self._heartbeat(cluster.executives[0].address)
        heartbeat.start()
        first = wait_until(lambda: self._heartbeat_value(sidecar), "a heartbeat arrives")
        status = sidecar.status()
        self.assertTrue(status.HasField("heartbeat_time"))
        self.assertGreaterEqual(status.heartbeat_time.ToNanoseconds(), first)
        self.assertTrue(status.HasField("lag"))
        cluster.executives[0].restart_after_kill()
        again = wait_until(
            lambda: self._heartbeat_value(sidecar) > first and self._heartbeat_value(sidecar),
            "the next one",
        )
        heartbeat.kill()
        heartbeat.start()
        wait_until(lambda: self._heartbeat_value(sidecar) > again, "one after the restart")
        heartbeat.terminate()
        # The heartbeat's last write may be on its way still; the executive ends when it is done.
        cluster.executives[0].process.terminate()
        record = cluster.assert_all_same()
        self.assertEqual(
            [column[:2] for column in record.tables["ctlstore___heartbeats"].columns],
            [("name", "string"), ("value", "integer")],
        )

    def test_second_reflector_on_an_ldb_says_so_and_ends(self) -> None:
        cluster = self.start_cluster(hosts=1)
        host = cluster.hosts[0]
        second = self._reflector("second", cluster.ctldb.url, host.ldb_path)
        second.start()
        self.assertGreater(second.wait(), 0)
        self.assertIn(str(host.reflector.pid), second.log())
        self.assertIn(str(host.ldb_path), second.log())
        # The first one goes on as if nothing had been.
        cluster.client().create_family("fam")
        cluster.client().create_table(table("fam", "rows", [("id", "integer")], ["id"]))
        cluster.assert_all_same()

    def test_taken_address_is_named(self) -> None:
        cluster = self.start_cluster(hosts=1)
        host, executive = cluster.hosts[0], cluster.executives[0]
        for taken in (tcp_address(executive.process), executive.address):
            with self.subTest(taken):
                result = self._run(
                    "sidecar", f"--ldb={host.ldb_path}", f"--listen={taken}", "--http_port=0"
                )
                self.assertGreater(result.returncode, 0)
                self.assertIn(taken, result.stdout)
        for taken in (tcp_address(host.sidecar), host.sidecar_address):
            with self.subTest(taken):
                result = self._run(
                    "executive", f"--ctldb={cluster.ctldb.url}", f"--listen={taken}"
                )
                self.assertGreater(result.returncode, 0)
                self.assertIn(taken, result.stdout)
        # Those who were there first still serve.
        wait_until_serving(executive.process, executive.address)
        wait_until_serving(host.sidecar, host.sidecar_address)

    def test_executive_waits_for_its_ctldb_and_says_which(self) -> None:
        (self.folder / "file").write_bytes(b"no folder")
        place = f"{self.folder}/file/ctldb.db" if self.server is None else "127.0.0.1:1/none"
        url = f"sqlite://{place}" if self.server is None else f"mysql://root@{place}"
        flags = [f"--ctldb={url}", "--listen=127.0.0.1:0"]
        result = self._run("executive", *flags, "--ctldb_wait_ms=300")
        self.assertGreater(result.returncode, 0)
        self.assertIn(place, result.stdout)

        waiting = self._process("executive", "executive", *flags)
        waiting.start()
        wait_until(lambda: "event=" in waiting.log(), "the executive says that it waits")
        self.assertEqual(waiting.terminate(), 0)

    def test_help_names_the_flags(self) -> None:
        for name, flags in {
            "executive": ["--ctldb", "--listen"],
            "reflector": ["--ctldb", "--ldb", "--poll_interval_ms"],
            "sidecar": ["--ldb", "--listen"],
            "heartbeat": ["--executive", "--heartbeat_interval_ms", "--writer_secret_file"],
        }.items():
            with self.subTest(name):
                result = self._run(name, "--help")
                for flag in flags:
                    self.assertIn(flag, result.stdout)
                self.assertEqual(result.returncode, 0)

    def test_bad_flags_are_named(self) -> None:
        for name, flags, wanted in (
            ("executive", ["--no_such_flag=1"], "no_such_flag"),
            ("executive", ["--ctldb=postgres://x/y"], "ctldb"),
            ("executive", ["--ctldb=sqlite:///tmp/x.db", "--listen=here"], "--listen"),
            ("reflector", ["--ctldb=nonsense"], "ctldb"),
            ("reflector", ["--ctldb=sqlite:///x", "--poll_interval_ms=often"], "poll_interval_ms"),
            ("reflector", ["--ctldb=sqlite:///x", "--poll_interval_ms=0"], "poll_interval_ms"),
            ("sidecar", ["--max_list_rows=0"], "max_list_rows"),
            ("heartbeat", ["--heartbeat_interval_ms=0"], "heartbeat_interval_ms"),
            ("heartbeat", ["--writer_secret_file=/nowhere/at/all"], "/nowhere/at/all"),
            ("heartbeat", [], "--writer_secret_file"),
        ):
            with self.subTest(f"{name} {flags}"):
                result = self._run(name, *flags)
                self.assertGreater(result.returncode, 0)
                self.assertIn(wanted, result.stdout)

    def test_environment_sets_flags_and_the_command_line_wins(self) -> None:
        cluster = self.start_cluster(hosts=1)
        cluster.client().create_family("fam")
        wanted = cluster.client().create_table(table("fam", "rows", [("id", "integer")], ["id"]))
        from_environment, from_flag = self.folder / "environment.db", self.folder / "flag.db"
        environment = {
            "CTLSTORE_CTLDB": cluster.ctldb.url,
            "CTLSTORE_LDB": str(from_environment),
            "CTLSTORE_POLL_INTERVAL_MS": "20",
        }
        for path, flags in ((from_environment, []), (from_flag, [f"--ldb={from_flag}"])):
            reflector = Process(
                path.name, [binary("reflector"), *flags], self.folder, environment
            )
            reflector.start()
            self.addCleanup(reflector.kill)
            wait_until(lambda path=path: read_ldb_sequence(path) >= wanted, f"{path} is filled")
            self.assertEqual(reflector.terminate(), 0)
        result = self._run("reflector", environment={"CTLSTORE_POLL_INTERVAL_MS": "often"})
        self.assertGreater(result.returncode, 0)
        self.assertIn("CTLSTORE_POLL_INTERVAL_MS", result.stdout)

    def test_secrets_are_neither_shown_nor_logged(self) -> None:
        cluster = self.start_cluster(hosts=1)
        heartbeat = self._heartbeat(cluster.executives[0].address)
        heartbeat.start()
        host = cluster.hosts[0]
        wait_until(lambda: self._heartbeat_value(host.client), "a heartbeat arrives")
        with self.assertRaises(grpc.RpcError):
            cluster.client().get_cookie(Writer("some writer", SECRET))
        processes = [heartbeat, cluster.executives[0].process, host.reflector, host.sidecar]
        for process in processes:
            command = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
            for secret in (SECRET, cluster.writer.secret):
                self.assertNotIn(secret, command)
                self.assertNotIn(secret, process.log())

    def test_password_in_the_url_is_refused_without_repeating_it(self) -> None:
        for name in ("executive", "reflector"):
            result = self._run(name, "--ctldb=mysql://root:hunter2@127.0.0.1:1/db")
            self.assertGreater(result.returncode, 0)
            self.assertNotIn("hunter2", result.stdout)

    def _heartbeat(self, executive_address: str) -> Process:
        secret_file = self.folder / "secret"
        secret_file.write_text(f"{SECRET}\n", encoding="utf-8")
        return self._process(
            "heartbeat",
            "heartbeat",
            f"--executive={executive_address}",
            "--heartbeat_interval_ms=30",
            f"--writer_secret_file={secret_file}",
        )

    def _reflector(self, name: str, ctldb_url: str, ldb_path: Path) -> Process:
        return self._process(name, "reflector", f"--ctldb={ctldb_url}", f"--ldb={ldb_path}")

    def _sidecar(self, name: str, ldb_path: Path, listen: str) -> Process:
        return self._process(
            name, "sidecar", f"--ldb={ldb_path}", f"--listen={listen}", "--http_port=0"
        )

    def _process(self, name: str, service: str, *flags: str) -> Process:
        process = Process(name, [binary(service), *flags], self.folder)
        self.addCleanup(process.kill)
        return process

    def _run(
        self, service: str, *flags: str, environment: Optional[Dict[str, str]] = None
    ) -> subprocess.CompletedProcess:
        """Runs a service that ends by itself; its output is in `stdout`."""
        assert service in BINARIES
        return subprocess.run(
            [binary(service), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            timeout=60,
            check=False,
            text=True,
        )

    @staticmethod
    def _heartbeat_value(sidecar: SidecarClient) -> int:
        """The last heartbeat that has arrived, in nanoseconds; 0 before the first."""
        try:
            row = sidecar.get_row("ctlstore", "heartbeats", ["heartbeat"])
            return int(row["value"]) if row else 0
        except grpc.RpcError:
            return 0


if __name__ == "__main__":
    unittest.main()
