"""`ctlstore verify` against a system that is written to all the while."""

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import unittest
from pathlib import Path
from typing import Any, Dict, Tuple

from harness.case import E2eTestCase
from harness.cluster import Cluster, binary
from harness.ctldb import SqliteCtldb
from harness.load import FAMILY, GROUPED, Load
from harness.values import fields, table, upsert
from harness.waiting import wait_until

EQUAL, UNAVAILABLE, DIFFERS = 0, 5, 6

ROUNDS = 8
COLD_ROWS = 2000


class VerifyTest(E2eTestCase):
    def test_under_load_hosts_are_equal_and_a_wrong_row_is_found(self) -> None:
        cluster = self.start_cluster(executives=2, hosts=2)
        client = cluster.client()
        client.create_family("calm")
        client.create_tables(
            [table("calm", "cold", [("id", "integer"), ("t", "text"), ("y", "binary")], ["id"])]
        )
        for begin in range(0, COLD_ROWS, 100):
            client.mutate(
                "calm",
                [
                    upsert("cold", {"id": i, "t": f"row {i} 'é'", "y": bytes([i % 256])})
                    for i in range(begin, begin + 100)
                ],
            )
        load = Load(cluster)
        load.start()
        wait_until(lambda: load.acknowledged() >= 20, "the writers get on")
        last = 0
        for number in range(ROUNDS):
            before = load.acknowledged()
            host = cluster.hosts[number % 2]
            status, report = self._verify(cluster, host.ldb_path)
            self.assertEqual((status, report["result"]), (EQUAL, "equal"), report)
            tables = {entry["table"]: entry for entry in report["tables"]}
            self.assertEqual(tables["calm.cold"]["rows"], COLD_ROWS)
            self.assertEqual(len(tables), 4)
            self.assertGreater(tables[f"{FAMILY}.{GROUPED}"]["rows"], 0)
            self.assertGreaterEqual(report["last_sequence"], report["first_sequence"])
            last = max(last, report["last_sequence"])
            wait_until(lambda seen=before: load.acknowledged() > seen, "the writers get on")

        # Wrong in the ctldb, past the ledger: both hosts differ from it, and are the same.
        self._in_ctldb(cluster, "UPDATE calm___cold SET t = 'wrong' WHERE id = 1234")
        found = []
        for host in cluster.hosts:
            status, report = self._verify(cluster, host.ldb_path)
            self.assertEqual((status, report["result"]), (DIFFERS, "differs"), report)
            wrong = [entry for entry in report["tables"] if entry["result"] != "equal"]
            self.assertEqual([entry["table"] for entry in wrong], ["calm.cold"])
            self.assertEqual(
                wrong[0]["differences"],
                [
                    {
                        "kind": "values",
                        "key": {"id": 1234},
                        "columns": [
                            {
                                "name": "t",
                                "ctldb": 'text "wrong"',
                                "ldb": "text \"row 1234 'é'\"",
                            }
                        ],
                    }
                ],
            )
            found.append(wrong[0]["ldb_digest"])
        self.assertEqual(found[0], found[1])
        load.stop()
        self.assertGreater(cluster.ctldb.last_sequence(), last - 1)
        cluster.ctldb.execute("UPDATE calm___cold SET t = 'row 1234 ''é''' WHERE id = 1234")
        cluster.assert_all_same()
        self.assertEqual(self._verify(cluster, cluster.hosts[0].ldb_path)[0], EQUAL)

    def test_schema_changes_meanwhile_are_no_differences(self) -> None:
        cluster = self.start_cluster(executive_flags=["--enable_destructive_changes"])
        client = cluster.client()
        client.create_family("fam")
        client.create_tables([table("fam", "stays", [("id", "integer")], ["id"])])
        host = cluster.hosts[0]
        for number in range(10):
            name = f"tab{number}"
            running = self._start(cluster, host.ldb_path)
            client.create_tables([table("fam", name, [("id", "integer")], ["id"])])
            client.mutate("fam", [upsert(name, {"id": number}), upsert("stays", {"id": number})])
            client.add_fields("fam", name, fields([("more", "text")]))
            client.add_fields("fam", "stays", fields([(f"more{number}", "text")]))
            if number % 2:
                client.drop_table("fam", name)
            output, errors = running.communicate(timeout=120)
            self.assertEqual(running.returncode, EQUAL, output + errors)
        cluster.assert_all_same()

    def test_a_changed_file_and_a_host_that_stands_still(self) -> None:
        cluster = self.start_cluster()
        client = cluster.client()
        client.create_family("fam")
        client.create_tables([table("fam", "tab", [("k", "string"), ("t", "text")], ["k"])])
        client.mutate("fam", [upsert("tab", {"k": f"k{i}", "t": f"text {i}"}) for i in range(50)])
        cluster.wait_until_caught_up()
        host = cluster.hosts[0]
        self.assertEqual(host.reflector.terminate(), 0)
        copy = self.folder / "copy" / "ldb.db"
        shutil.copytree(host.ldb_path.parent, copy.parent)
        connection = sqlite3.connect(copy, isolation_level=None)
        connection.execute("UPDATE fam___tab SET t = 'texT 7' WHERE k = 'k7'")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        status, report = self._verify(cluster, copy)
        self.assertEqual(status, DIFFERS)
        self.assertEqual(report["tables"][0]["differences"][0]["key"], {"k": "k7"})
        # One byte, in the middle of the file.
        content = copy.read_bytes()
        self.assertEqual(content.count(b"text 42"), 1)
        copy.write_bytes(content.replace(b"text 42", b"text\x0042").replace(b"texT 7", b"text 7"))
        status, report = self._verify(cluster, copy)
        self.assertEqual(status, DIFFERS)
        self.assertEqual(
            [found["key"] for found in report["tables"][0]["differences"]], [{"k": "k42"}]
        )

        client.mutate("fam", [upsert("tab", {"k": "k1", "t": "later"})])
        status, report = self._verify(cluster, host.ldb_path, "--catch_up_seconds=1")
        self.assertEqual((status, report["result"]), (UNAVAILABLE, "undecided"), report)
        host.reflector.start()
        status, report = self._verify(cluster, host.ldb_path)
        self.assertEqual((status, report["result"]), (EQUAL, "equal"), report)

    @staticmethod
    def _in_ctldb(cluster: Cluster, sql: str) -> None:
        """Past the executives, but in turn with them."""
        if not isinstance(cluster.ctldb, SqliteCtldb):
            cluster.ctldb.execute(sql)
            return
        with open(f"{cluster.ctldb.path}.lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            cluster.ctldb.execute(sql)

    def _start(self, cluster: Cluster, ldb_path: Path, *flags: str) -> subprocess.Popen:
        argv = [binary("ctlstore"), "verify", f"--ldb={ldb_path}", f"--ctldb={cluster.ctldb.url}"]
        return subprocess.Popen(
            [*argv, "--json", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ},
        )

    def _verify(
        self, cluster: Cluster, ldb_path: Path, *flags: str
    ) -> Tuple[int, Dict[str, Any]]:
        running = self._start(cluster, ldb_path, *flags)
        output, errors = running.communicate(timeout=180)
        self.assertTrue(output, errors)
        return running.returncode, json.loads(output)


if __name__ == "__main__":
    unittest.main()
