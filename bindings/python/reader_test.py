"""The package against local databases that the reflector's own writer writes."""

import contextlib
import gc
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

import ctlstore

ROOT = Path(os.environ["CTLSTORE_LIBRARY"]).parents[2]
LDB_TOOL = ROOT / "bindings/testing/ldb_tool"
PYTHON_FOLDER = Path(__file__).parent

CREATE_ITEMS = (
    'CREATE TABLE fam___items ("name" VARCHAR(191), "number" INTEGER, "tag" BLOB(255), '
    '"ratio" REAL, "notes" TEXT, "data" BLOB, PRIMARY KEY("name", "number", "tag"));'
)
CREATE_PAIRS = (
    'CREATE TABLE fam___pairs ("name" VARCHAR(191), "value" INTEGER, PRIMARY KEY("name"));'
)


def literal(value: ctlstore.Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return str(value)


def upsert(table: str, row: ctlstore.Row) -> str:
    names = ",".join(f'"{name}"' for name in row)
    values = ",".join(literal(value) for value in row.values())
    return f"REPLACE INTO fam___{table} ({names}) VALUES({values})"


def item(name: str, number: int, tag: bytes = b"", **others: ctlstore.Value) -> ctlstore.Row:
    row: ctlstore.Row = {"name": name, "number": number, "tag": tag}
    return {**row, "ratio": None, "notes": None, "data": None, **others}


HUNDRED_PAIRS = [upsert("pairs", {"name": f"{i:03d}", "value": i}) for i in range(100)]


class Writer:
    """A process that writes one local database."""

    def __init__(self, path: str) -> None:
        self._process = subprocess.Popen(
            [LDB_TOOL, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def apply(self, *statements: str) -> int:
        """Applies them as one ledger transaction; the applied sequence."""
        if len(statements) > 1:
            statements = ("--- BEGIN", *statements, "--- COMMIT")
        for statement in statements:
            self._process.stdin.write(f"x{statement.encode().hex()}\n")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the writer has ended"
        return int(answer)

    def close(self) -> None:
        with self._process:
            self._process.stdin.close()
            self._process.stdout.read()


class ReaderTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.path = f"{folder}/ldb.db"

    def write(self, *statements: str) -> Writer:
        writer = Writer(self.path)
        self.addCleanup(writer.close)
        for statement in (CREATE_ITEMS, CREATE_PAIRS, *statements):
            writer.apply(statement)
        return writer

    def open(self, **options: object) -> ctlstore.Reader:
        reader = ctlstore.Reader(self.path, **options)
        self.addCleanup(reader.close)
        return reader

    def run_python(self, program: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "LDB": self.path, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    # Rows.

    def test_a_row_has_all_types_as_they_were_written(self) -> None:
        full = item(
            "Ärger 'quoted' \\ \n😀",
            9007199254740993,
            bytes(range(255)),
            ratio=0.1,
            notes="line\r\n\ttab " * 1000,
            data=bytes(range(256)),
        )
        self.write(upsert("items", full))
        reader = self.open()
        # The second time it comes from the cache.
        for _ in range(2):
            row = reader.get("fam", "items", full["name"], full["number"], full["tag"])
            self.assertEqual(row, full)
            self.assertEqual(
                [type(value) for value in row.values()], [str, int, bytes, float, str, bytes]
            )
        self.assertEqual(list(row), list(full))
        key = [full["name"], full["number"], full["tag"]]
        self.assertEqual(reader.get("FAM", "Items", *key), full)
        self.assertEqual(list(reader.list("fam", "items")), [full])

    def test_nulls_and_empty_values_are_told_apart(self) -> None:
        nulls = item("", 0, b"")
        empty = item("a", 0, b"", ratio=0.0, notes="", data=b"")
        self.write(upsert("items", nulls), upsert("items", empty))
        reader = self.open()
        self.assertEqual(reader.get("fam", "items", "", 0, b""), nulls)
        self.assertEqual(reader.get("fam", "items", "a", 0, b""), empty)
        self.assertEqual(list(reader.list("fam", "items")), [nulls, empty])

    def test_integers_and_decimals_are_exact(self) -> None:
        numbers = [0, -1, 1]
        for bits in (7, 8, 15, 16, 31, 32, 53, 62, 63):
            numbers += [2**bits - 1, -(2**bits)]
            if bits < 63:
                numbers += [2**bits, -(2**bits) - 1]
        ratios = [5e-324, 1.7976931348623157e308, -0.1, 1 / 3, 1e22, math.pi]
        rows = [item("n", number) for number in sorted(set(numbers))]
        rows += [item("r", i, ratio=ratio) for i, ratio in enumerate(ratios)]
        self.write(*(upsert("items", row) for row in rows))
        reader = self.open()
        for row in rows:
            self.assertEqual(reader.get("fam", "items", row["name"], row["number"], b""), row)
        self.assertEqual(list(reader.list("fam", "items")), rows)

    def test_texts_and_bytes_of_all_sizes(self) -> None:
        rows = []
        for i, size in enumerate([0, 1, 254, 255, 256, 257, 4000, 5000, 65535, 65536, 500 * 1024]):
            text = ("aä😀" * size)[: size // 4]
            rows.append(item("s", i, notes=text, data=os.urandom(size)))
        self.write(*(upsert("items", row) for row in rows))
        reader = self.open()
        # Small after large: nothing of the larger one is left.
        for row in rows + rows[::-1]:
            self.assertEqual(reader.get("fam", "items", "s", row["number"], b""), row)
        self.assertEqual(list(reader.list("fam", "items")), rows)

    def test_keys_of_all_sizes(self) -> None:
        texts = ["", "a", "ä" * 100, "😀" * 191]
        tags = [b"", b"\0", b"\xff" * 255]
        rows = [item(text, 1, tag) for text in texts for tag in tags]
        self.write(*(upsert("items", row) for row in rows))
        reader = self.open()
        for row in rows:
            self.assertEqual(reader.get("fam", "items", row["name"], 1, row["tag"]), row)
            self.assertIsNone(reader.get("fam", "items", row["name"], 2, row["tag"]))

    def test_a_row_that_is_not_there_is_none(self) -> None:
        writer = self.write()
        reader = self.open()
        for _ in range(3):
            self.assertIsNone(reader.get("fam", "pairs", "a"))
        writer.apply(upsert("pairs", {"name": "a", "value": 1}))
        self.assertEqual(reader.get("fam", "pairs", "a"), {"name": "a", "value": 1})
        writer.apply("DELETE FROM fam___pairs WHERE \"name\" = 'a'")
        self.assertIsNone(reader.get("fam", "pairs", "a"))

    def test_every_change_is_seen_at_once(self) -> None:
        writer = self.write()
        reader = self.open()
        for i in range(300):
            writer.apply(upsert("pairs", {"name": "a", "value": i}))
            self.assertEqual(reader.get("fam", "pairs", "a")["value"], i)

    def test_new_fields_show_up(self) -> None:
        writer = self.write(upsert("pairs", {"name": "a", "value": 1}))
        reader = self.open()
        self.assertEqual(reader.get("fam", "pairs", "a"), {"name": "a", "value": 1})
        writer.apply('ALTER TABLE fam___pairs ADD COLUMN "more" TEXT')
        self.assertEqual(reader.get("fam", "pairs", "a"), {"name": "a", "value": 1, "more": None})
        self.assertEqual(
            list(reader.list("fam", "pairs")), [{"name": "a", "value": 1, "more": None}]
        )

    # Keys.

    def test_values_that_no_key_can_have_are_refused(self) -> None:
        self.write()
        reader = self.open()
        for value in (True, ["a"], object(), 1j):
            with self.assertRaises(TypeError):
                reader.get("fam", "pairs", value)
            with self.assertRaises(TypeError):
                list(reader.list("fam", "pairs", value))
        for value in (2**63, -(2**63) - 1, 10**100, "\ud800"):
            with self.assertRaises(ctlstore.InvalidArgument) as caught:
                reader.get("fam", "items", "a", value, b"")
            self.assertEqual(caught.exception.reason, "INVALID_VALUE")
            with self.assertRaises(ctlstore.InvalidArgument):
                reader.list("fam", "items", "a", value)
        for key in ((), ("a", "b"), (1,), (b"a",), (None,), (1.5,)):
            with self.assertRaises(ctlstore.InvalidArgument) as caught:
                reader.get("fam", "pairs", *key)
            self.assertEqual(caught.exception.reason, "INVALID_KEY", key)
            self.assertEqual(caught.exception.code, 3)
        with self.assertRaises(ValueError):
            reader.list("fam", "pairs", limit=-1)
        with self.assertRaises(TypeError):
            reader.list("fam", "pairs", after="a")
        # It is as usable as before.
        self.assertIsNone(reader.get("fam", "pairs", "a"))

    def test_subclasses_are_what_they_are_subclasses_of(self) -> None:
        class Name(str):
            def __str__(self) -> str:
                return "another"

        class Number(IntEnum):
            SEVEN = 7

        row = item("a", 7, b"t")
        self.write(upsert("items", row))
        reader = self.open()
        for tag in (b"t", bytearray(b"t"), memoryview(b"t")):
            self.assertEqual(reader.get("fam", "items", Name("a"), Number.SEVEN, tag), row)
            self.assertEqual(list(reader.list("fam", "items", Name("a"), Number.SEVEN, tag)), [row])

    def test_names_are_checked(self) -> None:
        self.write()
        reader = self.open()
        for family, table in (("fam", "none"), ("none", "pairs"), ("fam", "päirs"), ("", "")):
            with self.assertRaises(ctlstore.Error) as caught:
                reader.get(family, table, "a")
            self.assertIsInstance(
                caught.exception, (ctlstore.NotFound, ctlstore.InvalidArgument), (family, table)
            )
        for family, table in ((b"fam", "pairs"), ("fam", None), (["fam"], "pairs")):
            with self.assertRaises(TypeError):
                reader.get(family, table, "a")
        with self.assertRaises(ctlstore.InvalidArgument):
            reader.get("fam\0pairs", "pairs", "a")
        # More names than are remembered.
        for i in range(3000):
            with self.assertRaises(ctlstore.NotFound):
                reader.get("fam", f"table{i}", "a")
        self.assertIsNone(reader.get("fam", "pairs", "a"))

    # Lists.

    def test_lists_have_prefix_limit_and_resume(self) -> None:
        rows = [item(name, number) for name in "abc" for number in range(-100, 900)]
        self.write(*(upsert("items", row) for row in rows))
        reader = self.open()
        self.assertEqual(list(reader.list("fam", "items")), rows)
        self.assertEqual(list(reader.list("fam", "items", "b")), rows[1000:2000])
        self.assertEqual(list(reader.list("fam", "items", "b", 5)), [item("b", 5)])
        self.assertEqual(list(reader.list("fam", "items", "x")), [])
        self.assertEqual(list(reader.list("fam", "items", limit=0)), [])
        self.assertEqual(list(reader.list("fam", "items", limit=17)), rows[:17])
        pages = []
        after = None
        while page := list(reader.list("fam", "items", limit=700, after=after)):
            pages += page
            after = [page[-1]["name"], page[-1]["number"], page[-1]["tag"]]
        self.assertEqual(pages, rows)
        with self.assertRaises(ctlstore.InvalidArgument):
            reader.list("fam", "items", after=["b"])

    def test_a_list_shows_one_state(self) -> None:
        names = [f"{i:04d}" for i in range(500)]
        writer = self.write()
        writer.apply(*(upsert("pairs", {"name": name, "value": 0}) for name in names))
        reader = self.open()
        rows = reader.list("fam", "pairs")
        seen = [next(rows)]
        writer.apply(*(upsert("pairs", {"name": name, "value": 1}) for name in names))
        seen += rows
        self.assertEqual([row["value"] for row in seen], [0] * 500)
        self.assertEqual({row["value"] for row in reader.list("fam", "pairs")}, {1})

    def test_lists_may_be_left_at_any_point(self) -> None:
        self.write(*HUNDRED_PAIRS)
        reader = self.open()
        for taken in (0, 1, 16, 17, 99, 100):
            rows = reader.list("fam", "pairs")
            for _ in range(taken):
                next(rows)
            rows.close()
            self.assertEqual(list(rows), [])
            with contextlib.closing(reader.list("fam", "pairs")) as rows:
                for _, row in zip(range(taken), rows):
                    pass
            rows = reader.list("fam", "pairs")
            del rows
        gc.collect()
        self.assertEqual(len(list(reader.list("fam", "pairs"))), 100)

    # Snapshots.

    def test_a_snapshot_is_consistent_during_writes(self) -> None:
        writer = self.write()
        names = ["a", "b", "c"]

        def change(value: int) -> int:
            rows = [{"name": name, "value": value} for name in names]
            return writer.apply(*(upsert("pairs", row) for row in rows))

        change(0)
        reader = self.open()
        stop = threading.Event()

        def write() -> None:
            value = 0
            while not stop.is_set():
                value += 1
                change(value)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            last = 0
            seen = set()
            for _ in range(300):
                with reader.snapshot() as snapshot:
                    values = [snapshot.get("fam", "pairs", name)["value"] for name in names]
                    values += [row["value"] for row in snapshot.list("fam", "pairs")]
                    self.assertEqual(len(set(values)), 1, values)
                    self.assertGreaterEqual(snapshot.sequence, last)
                    last = snapshot.sequence
                    seen.add(values[0])
        finally:
            stop.set()
            thread.join()
        self.assertGreater(len(seen), 1)

    def test_a_snapshot_stays_and_its_lists_outlive_it(self) -> None:
        writer = self.write(upsert("pairs", {"name": "a", "value": 1}))
        reader = self.open()
        snapshot = reader.snapshot()
        sequence = writer.apply(upsert("pairs", {"name": "a", "value": 2}))
        self.assertEqual(snapshot.get("fam", "pairs", "a"), {"name": "a", "value": 1})
        self.assertEqual(snapshot.sequence, sequence - 1)
        self.assertEqual(reader.get("fam", "pairs", "a"), {"name": "a", "value": 2})
        rows = snapshot.list("fam", "pairs")
        snapshot.end()
        snapshot.end()
        self.assertEqual(list(rows), [{"name": "a", "value": 1}])
        with self.assertRaises(ctlstore.FailedPrecondition):
            snapshot.get("fam", "pairs", "a")
        with self.assertRaises(ctlstore.FailedPrecondition):
            snapshot.list("fam", "pairs")

    def test_what_is_held_for_too_long_expires(self) -> None:
        writer = self.write(*HUNDRED_PAIRS)
        reader = self.open(max_hold=0.001)
        with reader.snapshot() as snapshot, self.assertRaises(ctlstore.Aborted) as caught:
            rows = snapshot.list("fam", "pairs")
            while True:
                writer.apply(upsert("pairs", {"name": "000", "value": 1}))
                snapshot.get("fam", "pairs", "000")
        self.assertEqual(caught.exception.reason, "SNAPSHOT_EXPIRED")
        with self.assertRaises(ctlstore.Aborted):
            list(rows)

    # What is not there.

    def test_a_missing_local_database_is_unavailable_until_it_comes(self) -> None:
        reader = self.open()
        for call in (
            lambda: reader.get("fam", "pairs", "a"),
            lambda: reader.list("fam", "pairs"),
            reader.snapshot,
            reader.tables,
            reader.sequence,
            reader.lag,
            lambda: reader.wait_for_sequence(1, timeout=0),
        ):
            with self.assertRaises(ctlstore.Unavailable) as caught:
                call()
            self.assertEqual(caught.exception.reason, "LDB_UNAVAILABLE")
            self.assertEqual(caught.exception.code, 14)
        thread = threading.Thread(target=self.write)
        thread.start()
        reader.wait_for_sequence(2)
        thread.join()
        self.assertIsNone(reader.get("fam", "pairs", "a"))

    def test_a_dropped_table_is_not_found_and_may_come_back_changed(self) -> None:
        writer = self.write(upsert("pairs", {"name": "a", "value": 1}))
        reader = self.open()
        self.assertEqual(reader.get("fam", "pairs", "a")["value"], 1)
        writer.apply("DROP TABLE IF EXISTS fam___pairs")
        for call in (
            lambda: reader.get("fam", "pairs", "a"),
            lambda: reader.list("fam", "pairs"),
            lambda: reader.table("fam", "pairs"),
        ):
            with self.assertRaises(ctlstore.NotFound) as caught:
                call()
            self.assertEqual(caught.exception.reason, "TABLE_NOT_FOUND")
        writer.apply(CREATE_PAIRS.replace('"value" INTEGER', '"other" TEXT'))
        self.assertIsNone(reader.get("fam", "pairs", "a"))
        writer.apply(upsert("pairs", {"name": "a", "other": "x"}))
        self.assertEqual(reader.get("fam", "pairs", "a"), {"name": "a", "other": "x"})

    def test_a_file_that_is_no_database_gives_an_error(self) -> None:
        Path(self.path).write_bytes(os.urandom(10000))
        reader = self.open()
        with self.assertRaises(ctlstore.Error):
            reader.get("fam", "pairs", "a")

    # What is told of the database.

    def test_tables_are_described(self) -> None:
        self.write()
        reader = self.open()
        pairs = ctlstore.Table(
            "fam",
            "pairs",
            (ctlstore.Field("name", "string"), ctlstore.Field("value", "integer")),
            ("name",),
        )
        self.assertEqual(reader.table("FAM", "pairs"), pairs)
        items, second = reader.tables()
        self.assertEqual(second, pairs)
        self.assertEqual(items.key, ("name", "number", "tag"))
        self.assertEqual(
            [field.type for field in items.fields],
            ["string", "integer", "bytestring", "decimal", "text", "binary"],
        )

    def test_the_position_is_told_and_waited_for(self) -> None:
        writer = self.write()
        reader = self.open()
        self.assertEqual(reader.sequence(), 2)
        self.assertGreaterEqual(reader.lag(), 0)
        self.assertLess(reader.lag(), 3600)
        self.assertEqual(reader.path, self.path)
        reader.wait_for_sequence(2, timeout=0)
        with self.assertRaises(ctlstore.DeadlineExceeded) as caught:
            reader.wait_for_sequence(3, timeout=0.3)
        self.assertIsInstance(caught.exception, TimeoutError)
        with self.assertRaises(ValueError):
            reader.wait_for_sequence(2**63)
        thread = threading.Thread(
            target=writer.apply, args=(upsert("pairs", {"name": "a", "value": 1}),)
        )
        thread.start()
        reader.wait_for_sequence(3)
        thread.join()
        self.assertEqual(reader.get("fam", "pairs", "a")["value"], 1)

    def test_a_wait_can_be_interrupted(self) -> None:
        self.write()
        reader = self.open()

        def handler(*_: object) -> None:
            raise KeyboardInterrupt

        previous = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with self.assertRaises(KeyboardInterrupt):
            reader.wait_for_sequence(1000)

    def test_reads_come_from_the_cache(self) -> None:
        self.write(upsert("pairs", {"name": "a", "value": 1}))
        reader = self.open(cache_bytes=1 << 20)
        while reader.stats()["cache_hits"] == 0:
            reader.get("fam", "pairs", "a")
        self.assertEqual(reader.stats()["has_freshness_page"], 1)
        self.assertEqual(reader.stats()["cache_max_bytes"], 1 << 20)

    # Threads, signals, processes, ends.

    def test_threads_share_a_reader(self) -> None:
        rows = [item(f"{i:03d}", i, notes="x" * (i * 50)) for i in range(200)]
        writer = self.write(*(upsert("items", row) for row in rows))
        reader = self.open()
        wrong: list[object] = []
        stop = threading.Event()

        def read(begin: int) -> None:
            try:
                i = begin
                while not stop.is_set():
                    row = rows[i % len(rows)]
                    if reader.get("fam", "items", row["name"], row["number"], b"") != row:
                        wrong.append(row)
                    if i % 50 == 0 and len(list(reader.list("fam", "items"))) != len(rows):
                        wrong.append("list")
                    i += 7
            except BaseException as error:
                wrong.append(error)
                raise

        threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for i in range(200):
            writer.apply(upsert("pairs", {"name": "a", "value": i}))
            self.assertEqual(reader.get("fam", "pairs", "a")["value"], i)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_a_signal_handler_that_reads_disturbs_no_read(self) -> None:
        self.write(*(upsert("pairs", {"name": name, "value": i}) for i, name in enumerate("ab")))
        reader = self.open()
        handled = []

        def handler(*_: object) -> None:
            handled.append(reader.get("fam", "pairs", "b")["value"])

        previous = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            while len(handled) < 200:
                self.assertEqual(reader.get("fam", "pairs", "a"), {"name": "a", "value": 0})
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.assertEqual(set(handled), {1})

    def test_threads_may_share_a_snapshot(self) -> None:
        self.write(*HUNDRED_PAIRS)
        reader = self.open()
        wrong: list[object] = []
        with reader.snapshot() as snapshot:

            def read() -> None:
                try:
                    for i in range(100):
                        if snapshot.get("fam", "pairs", f"{i:03d}")["value"] != i:
                            wrong.append(i)
                        rows = snapshot.list("fam", "pairs")
                        if sum(1 for _ in zip(range(i), rows)) != i:
                            wrong.append(i)
                        # The rest is left, while others read.
                        del rows
                except BaseException as error:
                    wrong.append(error)

            threads = [threading.Thread(target=read) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])

    def test_after_close_calls_fail(self) -> None:
        self.write(*HUNDRED_PAIRS)
        reader = self.open()
        reader.get("fam", "pairs", "a")
        rows = reader.list("fam", "pairs")
        fresh = reader.list("fam", "pairs")
        next(rows)
        snapshot = reader.snapshot()
        reader.close()
        reader.close()
        for call in (
            lambda: reader.get("fam", "pairs", "a"),
            lambda: reader.list("fam", "pairs"),
            reader.snapshot,
            reader.tables,
            reader.sequence,
            reader.stats,
            lambda: reader.path,
            lambda: reader.wait_for_sequence(1),
            lambda: snapshot.get("fam", "pairs", "a"),
            lambda: list(rows),
            lambda: list(fresh),
        ):
            with self.assertRaises(ctlstore.FailedPrecondition) as caught:
                call()
            self.assertEqual(caught.exception.reason, "CLOSED")
        snapshot.end()

    def test_close_under_calls_of_other_threads(self) -> None:
        self.write(*HUNDRED_PAIRS)
        for _ in range(20):
            reader = self.open()
            started = threading.Barrier(5)
            outcomes: list[object] = []

            def read(reader: ctlstore.Reader = reader) -> None:
                started.wait()
                try:
                    while True:
                        reader.get("fam", "pairs", "007")
                        list(reader.list("fam", "pairs"))
                        with reader.snapshot() as snapshot:
                            snapshot.get("fam", "pairs", "007")
                except ctlstore.FailedPrecondition as error:
                    outcomes.append(error.reason)

            threads = [threading.Thread(target=read) for _ in range(4)]
            for thread in threads:
                thread.start()
            started.wait()
            time.sleep(0.002)
            reader.close()
            for thread in threads:
                thread.join()
            self.assertEqual(outcomes, ["CLOSED"] * 4)

    def in_child(self, check: Callable[[], object]) -> None:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                check()
                status = 0
            except BaseException as error:
                print(f"in the child: {error!r}", file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_forked_children_open_the_database_themselves(self) -> None:
        writer = self.write(*HUNDRED_PAIRS)
        reader = self.open()
        never_used = self.open()
        self.assertEqual(reader.get("fam", "pairs", "007")["value"], 7)
        rows = reader.list("fam", "pairs")
        next(rows)
        snapshot = reader.snapshot()
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                reader.get("fam", "pairs", "008")
                # May be held at the moment of a fork.
                never_used._lock.acquire()
                never_used._lock.release()

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()

        def check() -> None:
            assert reader.get("fam", "pairs", "007") == {"name": "007", "value": 7}
            assert never_used.get("fam", "pairs", "009") == {"name": "009", "value": 9}
            assert len(list(reader.list("fam", "pairs"))) == 100
            for call in (lambda: list(rows), lambda: snapshot.get("fam", "pairs", "007")):
                try:
                    call()
                except ctlstore.FailedPrecondition as error:
                    assert error.reason == "FORKED", error.reason
                else:
                    raise AssertionError("no error")
            snapshot.end()
            with reader.snapshot() as own:
                assert own.get("fam", "pairs", "007")["value"] == 7
            reader.close()
            gc.collect()

        try:
            for _ in range(10):
                self.in_child(check)
            # And children of children.
            self.in_child(lambda: (reader.get("fam", "pairs", "007"), self.in_child(check)))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        writer.apply(upsert("pairs", {"name": "007", "value": 70}))
        self.assertEqual(reader.get("fam", "pairs", "007")["value"], 70)
        self.assertEqual(snapshot.get("fam", "pairs", "007")["value"], 7)
        self.assertEqual(len(list(rows)), 99)

    def test_the_interpreter_can_end_with_all_open(self) -> None:
        self.write(*HUNDRED_PAIRS)
        for end in ("", "sys.exit(0)", "os._exit(0)", "del reader", "reader.close()"):
            result = self.run_python(
                "import ctlstore, os, sys, threading\n"
                "reader = ctlstore.Reader(os.environ['LDB'])\n"
                "rows = reader.list('fam', 'pairs')\n"
                "assert next(rows)['value'] == 0\n"
                "snapshot = reader.snapshot()\n"
                "in_snapshot = snapshot.list('fam', 'pairs')\n"
                "next(in_snapshot)\n"
                "def read(get=reader.get):\n"
                "    try:\n"
                "        while True: get('fam', 'pairs', '001')\n"
                "    except ctlstore.FailedPrecondition: pass\n"
                "threading.Thread(target=read, daemon=True).start()\n"
                "threading.Thread(target=lambda r=reader: r.wait_for_sequence(10**9),"
                " daemon=True).start()\n"
                "threading.excepthook = lambda *_: None\n"
                "reader.get('fam', 'pairs', '001')\n"
                f"{end}\n"
            )
            self.assertEqual((result.returncode, result.stderr), (0, ""), end)

    def test_the_default_place_is_that_of_the_environment(self) -> None:
        self.write(upsert("pairs", {"name": "a", "value": 1}))
        result = self.run_python(
            "import ctlstore; print(ctlstore.Reader().get('fam', 'pairs', 'a'))",
            CTLSTORE_PATH=os.path.dirname(self.path),
        )
        self.assertEqual(result.stdout, "{'name': 'a', 'value': 1}\n", result.stderr)

    def test_the_library_is_found_or_named(self) -> None:
        result = self.run_python("import ctlstore", CTLSTORE_LIBRARY="/nowhere/libctlstore.so.0")
        self.assertIn("ImportError: cannot load /nowhere/libctlstore.so.0", result.stderr)
        self.assertIn("CTLSTORE_LIBRARY", result.stderr)
        result = self.run_python("import ctlstore", CTLSTORE_LIBRARY="libc.so.6")
        self.assertIn("ImportError: libc.so.6 is another version", result.stderr)
        # Beside the package.
        package = Path(self.path).parent / "ctlstore"
        shutil.copytree(PYTHON_FOLDER / "ctlstore", package)
        shutil.copy(os.environ["CTLSTORE_LIBRARY"], package)
        result = self.run_python(
            "import ctlstore, sys; print(ctlstore.__file__)",
            CTLSTORE_LIBRARY="",
            PYTHONPATH=str(package.parent),
        )
        self.assertEqual(result.stdout.strip(), str(package / "__init__.py"), result.stderr)

    def test_memory_does_not_grow(self) -> None:
        self.write(*HUNDRED_PAIRS)
        reader = self.open()

        def resident_kb() -> int:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
            raise AssertionError("no VmRSS")

        def use() -> None:
            for _ in range(300):
                list(reader.list("fam", "pairs", limit=20))
                with reader.snapshot() as snapshot:
                    snapshot.get("fam", "pairs", "001")
                    next(snapshot.list("fam", "pairs"))
                reader.tables()
                for _ in range(20):
                    reader.get("fam", "pairs", "001")
                    with self.assertRaises(ctlstore.NotFound):
                        reader.get("fam", "none", "001")

        use()
        before = resident_kb()
        for _ in range(4):
            use()
        self.assertLess(resident_kb() - before, 4096)

    # The programs beside it.

    def test_the_example_prints_rows(self) -> None:
        self.write(upsert("items", item("a", 7)), upsert("pairs", {"name": "a", "value": 1}))

        def run(*arguments: str) -> tuple[int, str, str]:
            result = subprocess.run(
                [sys.executable, PYTHON_FOLDER / "example.py", *arguments],
                capture_output=True,
                text=True,
            )
            return result.returncode, result.stdout, result.stderr

        self.assertEqual(
            run(self.path, "fam", "pairs", "a"), (0, "{'name': 'a', 'value': 1}\n", "")
        )
        code, out, _ = run("--list", self.path, "fam", "items", "a", "7")
        self.assertEqual((code, out), (0, f"{item('a', 7)}\n"))
        self.assertEqual(run(self.path, "fam", "pairs", "b"), (2, "", "There is no such row.\n"))
        code, _, message = run(self.path, "fam", "none", "b")
        self.assertEqual(code, 1)
        self.assertIn("NotFound", message)
        self.assertEqual(run(self.path)[0], 1)


if __name__ == "__main__":
    unittest.main()
