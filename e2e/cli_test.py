"""The `ctlstore` program: its services as separate processes, and all of them in one."""

import json
import os
import signal
import subprocess
import unittest
from pathlib import Path
from typing import Any, Dict, List, Optional

from harness.case import E2eTestCase
from harness.cluster import binary, by_ctlstore
from harness.compare import assert_same, wait_until_caught_up
from harness.ctldb import Ctldb, SqliteCtldb
from harness.process import Process
from harness.snapshot import CtldbSnapshot
from harness.waiting import wait_until

SECRET = "the secret of the command line"

COUNTRIES = '''code,name,population,area,notes
NZ,New Zealand / Aotearoa,5124100,268021.5,"two islands, and
others"
AX,Åland,30344,1580,
TV,Tuvalu,11204,26,"said ""small"""
'''

NOT_FOUND, REFUSED, UNAVAILABLE = 3, 4, 5


class CliTest(E2eTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.environment: Dict[str, str] = {}
        secret_file = self.folder / "secret"
        secret_file.write_text(SECRET, encoding="utf-8")
        self.environment["CTLSTORE_WRITER_SECRET_FILE"] = str(secret_file)

    def test_services_and_commands_of_one_program(self) -> None:
        cluster = self.start_cluster(hosts=2, launcher=by_ctlstore)
        host = cluster.hosts[0]
        self.environment["CTLSTORE_EXECUTIVE"] = cluster.executives[0].address
        self.environment["CTLSTORE_SIDECAR"] = host.sidecar_address

        file = self.folder / "countries.csv"
        file.write_text(COUNTRIES, encoding="utf-8")
        done = self._json("import", "geo", "countries", str(file), "--key=code")
        self.assertEqual((done["rows_written"], done["created"]), (3, True))
        self._wait_for(done["sequence"])
        again = self._json("import", "geo", "countries", str(file), "--key=code")
        self.assertEqual((again["rows_written"], again["created"]), (3, False))

        rows = self.folder / "rows.json"
        many = [{"id": i, "big": 2**62 + i, "half": i + 0.5} for i in range(1000)]
        rows.write_text(json.dumps(many), encoding="utf-8")
        done = self._json("import", "geo", "numbers", str(rows), "--key=id")
        self.assertEqual(done["rows_written"], 1000)
        self._wait_for(done["sequence"])
        cluster.assert_all_same()

        # By the sidecar, and from the file without any server.
        new_zealand = {
            "code": "NZ",
            "name": "New Zealand / Aotearoa",
            "population": 5124100,
            "area": 268021.5,
            "notes": "two islands, and\nothers",
        }
        for source in ([], [f"--ldb={host.ldb_path}", "--sidecar=127.0.0.1:1"]):
            with self.subTest(source):
                self.assertEqual(self._json("get", "geo", "countries", "NZ", *source), new_zealand)
                listed = self._json("list", "geo", "countries", *source)
                self.assertEqual([row["code"] for row in listed], ["AX", "NZ", "TV"])
                self.assertEqual(self._json("list", "geo", "numbers", *source), many)
                status = self._json("status", *source)
                self.assertEqual(status["applied_sequence"], cluster.ctldb.last_sequence())
                self._run("get", "geo", "countries", "XX", *source, status=NOT_FOUND)
                self._run("get", "geo", "nothing", "XX", *source, status=NOT_FOUND)

        put = self._json("put", "geo", "countries", "code=XK", "population=1586659")
        deleted = self._json("delete", "geo", "countries", "TV")
        self.assertGreater(deleted["sequence"], put["sequence"])
        self._run("put", "geo", "countries", "code=XK", "population=many", status=REFUSED)
        file.write_text("code,population\nAA,1\nBB,many\n", encoding="utf-8")
        refused = self._run("import", "geo", "countries", str(file), status=REFUSED)
        self.assertIn("countries.csv:3", refused.stderr)
        cluster.executives[0].process.kill()
        self._run("put", "geo", "countries", "code=XK", status=UNAVAILABLE)
        self._run("get", "geo", "countries", "XK")
        cluster.executives[0].start()
        cluster.executives[0].wait_until_serving()
        record = cluster.assert_all_same()
        self.assertEqual(len(record.tables["geo___countries"].rows), 3)
        self._secret_is_not_shown()

    def test_heartbeat_as_a_subcommand(self) -> None:
        cluster = self.start_cluster(hosts=1, launcher=by_ctlstore)
        heartbeat = Process(
            "heartbeat",
            [
                *by_ctlstore("heartbeat"),
                f"--executive={cluster.executives[0].address}",
                "--heartbeat_interval_ms=30",
            ],
            self.folder,
            self.environment,
        )
        self.addCleanup(heartbeat.kill)
        heartbeat.start()
        status = cluster.hosts[0].client.status
        wait_until(lambda: status().HasField("heartbeat_time"), "a heartbeat arrives")
        self.assertEqual(heartbeat.terminate(), 0)
        host = cluster.hosts[0]
        for process in (host.sidecar, host.reflector, cluster.executives[0].process):
            self.assertEqual(process.terminate(), 0, process.name)

    def test_everything_in_one_process_survives_ctrl_c_and_kill(self) -> None:
        data_folder = self.folder / "data"
        ctldb: Ctldb = SqliteCtldb(data_folder / "ctldb.db")
        flags: List[str] = []
        if self.server is not None:
            ctldb = self.new_ctldb()
            flags = [f"--ctldb={ctldb.url}"]
        dev = self._start_dev(data_folder, flags)
        self.environment["CTLSTORE_WRITER_SECRET_FILE"] = str(data_folder / "writer.secret")
        rows = self.folder / "rows.json"
        rows.write_text(json.dumps([{"id": i, "v": "x" * 50} for i in range(3000)]), "utf-8")
        done = self._json("import", "big", "rows", str(rows), "--key=id")
        self._wait_for(done["sequence"])
        ldb_path = Path(self._json("status")["ldb_path"])

        dev.send_signal(signal.SIGINT)
        self.assertEqual(dev.wait(), 0)
        self._caught_up(ctldb, ldb_path)

        # Killed in the middle of an import; the import is tried again by its own means.
        dev = self._start_dev(data_folder, flags)
        before = ctldb.last_sequence()
        importing = Process(
            "import",
            [binary("ctlstore"), "import", "big", "rows", str(rows)],
            self.folder,
            self.environment,
        )
        importing.start()
        self.addCleanup(importing.kill)
        wait_until(lambda: ctldb.last_sequence() > before + 200, "the import gets on")
        dev.kill()
        restarted = self._start_dev(data_folder, flags)
        self.assertIn(importing.wait(), (0, UNAVAILABLE))
        done = self._json("import", "big", "rows", str(rows))
        self.assertEqual(done["rows_written"], 3000)
        self._wait_for(done["sequence"])
        self.assertEqual(restarted.terminate(), 0)
        record = self._caught_up(ctldb, ldb_path)
        self.assertEqual(len(record.tables["big___rows"].rows), 3000)

    def _caught_up(self, ctldb: Ctldb, ldb_path: Path) -> CtldbSnapshot:
        """Compares after a stop, which may have left a last heartbeat for the next reflector."""
        reflector = Process(
            "reflector",
            [*by_ctlstore("reflector"), f"--ctldb={ctldb.url}", f"--ldb={ldb_path}"],
            self.folder,
        )
        reflector.start()
        self.addCleanup(reflector.kill)
        wait_until(lambda: "_started" in reflector.log_since_start(), "the reflector starts")
        wait_until_caught_up(ctldb, ldb_path)
        self.assertEqual(reflector.terminate(), 0)
        return assert_same(ctldb, ldb_path)

    def _start_dev(self, data_folder: Path, flags: List[str]) -> Process:
        """All of ctlstore in one process, and the commands' flags set to find it."""
        executive = f"unix:{self.socket_folder / 'dev-executive.sock'}"
        sidecar = f"unix:{self.socket_folder / 'dev-sidecar.sock'}"
        reflector = f"unix:{self.socket_folder / 'dev-reflector.sock'}"
        supervisor = f"unix:{self.socket_folder / 'dev-supervisor.sock'}"
        dev = Process(
            "dev",
            [
                binary("ctlstore"),
                "dev",
                f"--data_dir={data_folder}",
                f"--executive_listen={executive}",
                f"--sidecar_listen={sidecar}",
                f"--reflector_listen={reflector}",
                f"--supervisor_listen={supervisor}",
                "--http_port=0",
                "--sidecar_http_port=0",
                "--heartbeat_interval_ms=1000",
                *flags,
            ],
            self.folder,
        )
        dev.start()
        self.addCleanup(dev.kill)
        wait_until(
            lambda: "ctlstore is ready" in dev.log_since_start() or not dev.running(),
            "ctlstore is ready",
        )
        self.assertTrue(dev.running(), dev.log())
        self.environment["CTLSTORE_EXECUTIVE"] = executive
        self.environment["CTLSTORE_SIDECAR"] = sidecar
        return dev

    def _wait_for(self, sequence: int) -> None:
        wait_until(
            lambda: self._json("status")["applied_sequence"] >= sequence,
            f"the host reaches {sequence}",
        )

    def _json(self, *arguments: str) -> Any:
        """What the command says with --json; it must succeed."""
        return json.loads(self._run(*arguments, "--json").stdout)

    def _run(
        self, *arguments: str, status: Optional[int] = 0
    ) -> subprocess.CompletedProcess:
        result = subprocess.run(
            [binary("ctlstore"), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, **self.environment},
            timeout=120,
            check=False,
            text=True,
        )
        self.assertEqual(result.returncode, status, f"{arguments}: {result.stderr}")
        return result

    def _secret_is_not_shown(self) -> None:
        for log in self.folder.rglob("*.log"):
            self.assertNotIn(SECRET, log.read_text(encoding="utf-8", errors="replace"))


if __name__ == "__main__":
    unittest.main()
