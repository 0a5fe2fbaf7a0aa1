"""The tests' own instruments: the comparison and the watchers find a fault that is put in."""

import shutil
import sqlite3
import unittest
from pathlib import Path
from typing import List

from harness.compare import differences
from harness.load import FAMILY, GROUPED, MIRROR, SINGLE, Load
from harness.refusals import KEY, RefusalTestCase
from harness.snapshot import cell
from harness.sqlite_content import read_ldb
from harness.states import States
from harness.values import upsert
from harness.waiting import wait_until
from harness.watch import FileWatcher

ROW = {**KEY, "d": 0.1, "t": "as it was", "y": b"bytes"}

# A fault in an LDB, and what the comparison has to say about it.
LDB_FAULTS = [
    ("UPDATE fam___all_types SET t = 'as it wat'", "t is text b'as it was', in the LDB"),
    ("UPDATE fam___all_types SET t = t || ' '", "t is text b'as it was', in the LDB"),
    ("UPDATE fam___all_types SET t = NULL", "in the LDB null"),
    ("UPDATE fam___all_types SET t = CAST(t AS BLOB)", "t is blob b'as it was' in the LDB"),
    ("UPDATE fam___all_types SET y = CAST(y AS TEXT)", "y is text b'bytes' in the LDB"),
    ("UPDATE fam___all_types SET d = 0.1 + 1e-17 * 2", "d is real"),
    ("UPDATE fam___all_types SET i = 1.5", "i is real"),
    ("UPDATE fam___all_types SET s = 'Key'", "only the ctldb has this row"),
    ("UPDATE fam___all_types SET s = CAST(s AS BLOB)", "only the LDB has this row"),
    ("DELETE FROM fam___all_types", "only the ctldb has this row"),
    ("INSERT INTO fam___other VALUES (2)", "only the LDB has this row"),
    ("DROP TABLE fam___other", "fam___other: only the ctldb has it"),
    ("CREATE TABLE fam___more (id INTEGER PRIMARY KEY)", "fam___more: only the LDB has it"),
    ("ALTER TABLE fam___other ADD COLUMN more TEXT", "fam___other: columns"),
    ("ALTER TABLE fam___other RENAME COLUMN id TO di", "fam___other: columns"),
    ("UPDATE _ldb_seq SET seq = seq - 1", "the LDB is at"),
    ("UPDATE _ldb_seq SET seq = seq + 1", "the LDB is at"),
    ("UPDATE _ldb_last_update SET timestamp = '2020-01-01 00:00:00+00:00'", "last update"),
]

# The same in the ctldb, in SQL that both kinds understand. Each undoes nothing of those before it.
CTLDB_FAULTS = [
    ("UPDATE fam___other SET id = 8", "only the ctldb has this row"),
    ("DELETE FROM ctlstore_dml_ledger WHERE seq = 2", "the ledger has sequence 3 where 2"),
]


# The same for what is compared with the ledger, played up to the LDB's sequence.
STATE_FAULTS = [
    (["UPDATE fam___other SET id = 10 WHERE id = 9"], "not as then: .'fam___other'"),
    (["UPDATE _ldb_seq SET seq = seq - 1"], "is not at the edge of a ledger transaction"),
    (["UPDATE _ldb_seq SET seq = seq + 1"], "is not at the edge of a ledger transaction"),
    (["DROP TABLE fam___other"], "not as then: .'fam___other'"),
    (
        ["PRAGMA writable_schema = 1", "UPDATE sqlite_master SET rootpage = 2 WHERE rootpage > 2"],
        "integrity_check says",
    ),
]


class ComparisonTest(RefusalTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client.mutate("fam", [upsert("all_types", ROW), upsert("other", {"id": 7})])
        self.cluster.wait_until_caught_up()
        self.host = self.cluster.hosts[0]

    def test_faults_in_an_ldb_are_found(self) -> None:
        self.assertEqual(self.host.reflector.terminate(), 0)
        record = self.cluster.ctldb.snapshot()
        self.assertEqual(differences(record, read_ldb(self.host.ldb_path)), [])
        for number, (fault, wanted) in enumerate(LDB_FAULTS):
            with self.subTest(fault):
                copy = self._tampered_copy(f"copy{number}", [fault])
                found = differences(record, read_ldb(copy))
                self.assertTrue(any(wanted in line for line in found), found)

    def test_faults_in_the_ctldb_are_found(self) -> None:
        for fault, wanted in CTLDB_FAULTS:
            with self.subTest(fault):
                self.cluster.ctldb.execute(fault)
                found = differences(self.cluster.ctldb.snapshot(), read_ldb(self.host.ldb_path))
                self.assertTrue(any(wanted in line for line in found), found)

    def test_a_ledger_transaction_without_its_end_is_found(self) -> None:
        record = self.cluster.ctldb.snapshot()
        self.assertEqual(record.ledger[-1].statement, "--- COMMIT")
        record.ledger.pop()
        self.assertTrue(
            any("no COMMIT" in line for line in differences(record, read_ldb(self.host.ldb_path)))
        )

    def test_states_that_never_were_are_found(self) -> None:
        self.client.mutate("fam", [upsert("other", {"id": 8}), upsert("other", {"id": 9})])
        self.cluster.wait_until_caught_up()
        self.assertEqual(self.host.reflector.terminate(), 0)
        ledger = self.cluster.ctldb.snapshot().ledger
        whole = self._tampered_copy("whole", [])
        states = States()
        states.look_at_rest(whole, "whole")
        self.assertEqual(states.assert_from(ledger), 1)
        for number, (faults, wanted) in enumerate(STATE_FAULTS):
            with self.subTest(wanted):
                states = States()
                tampered = self._tampered_copy(f"state{number}", faults)
                with self.assertRaisesRegex(AssertionError, f"tampered: .*{wanted}"):
                    states.look_at_rest(tampered, "tampered")
                    states.assert_from(ledger)
        for number, (faults, wanted) in enumerate(
            [
                (["UPDATE _ldb_seq SET seq = seq - 4"], "but [0-9]+ was seen before"),
                (["DELETE FROM fam___other"], "not what whole was"),
                (["DROP TABLE _ldb_seq"], "at sequence 0, but"),
            ]
        ):
            with self.subTest(wanted):
                states = States()
                states.look_at_rest(whole, "whole")
                states.look_at_rest(self._tampered_copy(f"later{number}", faults), "later")
                with self.assertRaisesRegex(AssertionError, f"later: .*{wanted}"):
                    states.assert_from(ledger)

    def test_what_a_load_must_find(self) -> None:
        load = Load(self.cluster, writers=2)
        self.cluster.wait_until_caught_up()
        load.start()
        wait_until(lambda: load.acknowledged() >= 10, "the writers get on")
        load.stop()
        self.cluster.assert_all_same()
        self.assertEqual(self.host.reflector.terminate(), 0)
        self._half_requests_are_seen(load)
        self._losses_are_found(load)

    def _half_requests_are_seen(self, load: Load) -> None:
        """What one look at a split or forgotten ledger transaction tells a watcher."""
        ledger = self.cluster.ctldb.snapshot().ledger
        clean = FileWatcher(self._tampered_copy("clean", []))
        clean.look()
        clean.compare_with(ledger)
        self.assertEqual(clean.faults, [])

        early = FileWatcher(self._tampered_copy("early", ["UPDATE _ldb_seq SET seq = seq - 30"]))
        early.look()
        self.assertEqual(early.faults, [])
        early.compare_with(ledger)
        self.assertIn("at sequence", early.faults[0])

        group = load.groups[0]
        for number, fault in enumerate(
            [
                f"UPDATE {FAMILY}___{GROUPED} SET n = n - 1 WHERE grp = '{group}' AND member = 3",
                f"DELETE FROM {FAMILY}___{GROUPED} WHERE grp = '{group}' AND member = 0",
                f"UPDATE {FAMILY}___{MIRROR} SET n = n - 1 WHERE grp = '{group}'",
                f"DELETE FROM {FAMILY}___{MIRROR} WHERE grp = '{group}'",
                f"DELETE FROM {FAMILY}___{SINGLE} WHERE n = 2 AND part = 1",
            ]
        ):
            with self.subTest(fault):
                watcher = FileWatcher(self._tampered_copy(f"half{number}", [fault]))
                watcher.look()
                self.assertTrue(any("half of a request" in line for line in watcher.faults))

    def _losses_are_found(self, load: Load) -> None:
        writer = load.writers[0]
        group = cell("text", writer.group.encode())
        load.assert_kept(self.cluster.ctldb.snapshot())

        def without(table: str, index: int) -> None:
            record = self.cluster.ctldb.snapshot()
            rows = record.tables[f"{FAMILY}___{table}"].rows
            del rows[[key for key in rows if key[0] == group][index]]
            with self.assertRaises((AssertionError, KeyError)):
                load.assert_kept(record)

        without(GROUPED, 0)
        without(MIRROR, 0)
        without(SINGLE, -1)
        writer.acknowledged += 1
        with self.assertRaises(AssertionError):
            load.assert_kept(self.cluster.ctldb.snapshot())

    def _tampered_copy(self, name: str, faults: List[str]) -> Path:
        """The host's LDB as it lies there, in a folder of its own, with the faults put in."""
        folder = self.folder / name
        shutil.copytree(self.host.ldb_path.parent, folder)
        path = folder / self.host.ldb_path.name
        connection = sqlite3.connect(path, isolation_level=None)
        for fault in faults:
            connection.execute(fault)
        connection.close()
        return path


if __name__ == "__main__":
    unittest.main()
