"""Extreme but valid input arrives unchanged on every host."""

import random
import struct
import unittest
from typing import Dict, List, Tuple

from harness.refusals import RefusalTestCase
from harness.values import PythonValue, delete, table, upsert


Fields = List[Tuple[str, str]]


class ExtremeValuesTest(RefusalTestCase):
    def test_valid_extremes_are_the_same_everywhere(self) -> None:
        strings = [
            "x" * 191,
            "😀" * 191,
            "'",
            "''",
            '"',
            "\\",
            "\\'",
            "\\0",
            "%_",
            "a\tb\r\nc\x01\x1f\x7f",
            "--- COMMIT",
            "'); DROP TABLE fam___other; --",
            "Ä\u0308\u200d\ufeff",
            "\U0010ffff",
            "NULL",
            "",
            "?",
        ]
        # Pairs that a database with another idea of equality would take for one.
        strings += ["Foo", "foo", "FOO", "foo ", "foo  ", " foo", "foö", "foo\u0308", "fóo"]
        strings += ["ﬀ", "ff"]
        strings += ["straße", "strasse", "STRASSE", "ı", "i", "I", "İ", "é", "e\u0301"]
        integers = [-(2**63), 2**63 - 1, 0, -1, 2**53 + 1, -(2**53) - 1]
        byte_strings = [b"", b"\0", b"\0\0", b"a", b"a ", b"A", bytes(255), b"\xff" * 255]
        byte_strings += [b"it's", b"\\", b"\xc3\xa4"]
        decimals = [0.0, 0.1, 1 / 3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308]
        decimals += [-1.7976931348623157e308, 1e22, 1e23, 123456789.12345679, -5e-324, 1e15, 1e16]
        generator = random.Random(7)
        while len(decimals) < 300:
            (number,) = struct.unpack("<d", generator.randbytes(8))
            if number == number and abs(number) != float("inf"):
                decimals.append(number)
        texts = ["", "x" * (512 * 1024), "😀" * (128 * 1024), "\\'\"`%;--\n" * 1000, "'" * 262_000]
        binaries = [b"", bytes(range(256)) * 8, b"\0" * 1000, b"'", b"x" * 380_000]

        rows = [{"s": s, "i": 0, "b": b"", "t": s} for s in strings]
        rows += [{"s": "integers", "i": i, "b": b""} for i in integers]
        rows += [{"s": "bytes", "i": 0, "b": b, "y": b} for b in byte_strings]
        rows += [{"s": "decimals", "i": i, "b": b"", "d": d} for i, d in enumerate(decimals)]
        rows += [{"s": "texts", "i": i, "b": b"", "t": t} for i, t in enumerate(texts)]
        rows += [{"s": "binaries", "i": i, "b": b"", "y": y} for i, y in enumerate(binaries)]
        for row in rows:
            self.client.mutate("fam", [upsert("all_types", row)])
        # Integers that a double holds are taken for a decimal.
        self.client.mutate(
            "fam", [upsert("all_types", {"s": "int", "i": 0, "b": b"", "d": 2**53})]
        )
        record = self.cluster.assert_all_same()
        self.assertEqual(len(record.tables["fam___all_types"].rows), len(rows) + 2)

        host = self.cluster.hosts[0]
        empty = {"d": None, "t": None, "y": None}
        for row in rows:
            key = [row["s"], row["i"], row["b"]]
            self.assertEqual(host.client.get_row("fam", "all_types", key), {**empty, **row})
        self.assertEqual(host.client.get_row("fam", "all_types", ["int", 0, b""])["d"], 2.0**53)

        # A delete takes just the one row whose key has the same bytes.
        self.client.mutate("fam", [delete("all_types", {"s": "foo ", "i": 0, "b": b""})])
        self.client.mutate("fam", [delete("all_types", {"s": "nothing", "i": 0, "b": b""})])
        record = self.cluster.assert_all_same()
        self.assertEqual(len(record.tables["fam___all_types"].rows), len(rows) + 1)

    def test_100_mutations_and_longest_names_are_taken(self) -> None:
        field = "c" * 64
        # MariaDB's names have at most 64 characters, three of which are between the two.
        for family, name in (("f" * 30, "t" * 31), ("f" * 11, "t" * 50)):
            self.client.create_family(family.upper())
            self.client.create_table(table(family, name, [(field, "integer")], [field.upper()]))
            sequence = self.client.mutate(
                family, [upsert(name, {field: number}) for number in range(100)]
            )
            record = self.cluster.assert_all_same()
            self.assertEqual(len(record.tables[f"{family}___{name}"].rows), 100)
            self.assertEqual(sequence, record.last_sequence)

    def test_largest_tables_take_largest_rows(self) -> None:
        wide = "😀" * 191
        texts: Fields = [("id", "integer"), *((f"t{i}", "text") for i in range(189))]
        strings: Fields = [(f"s{i}", "string") for i in range(85)]
        # 65,527 of the 65,535 bytes that the columns of a row may have.
        full: Fields = [*strings, ("b", "bytestring"), *((f"i{i}", "integer") for i in range(16))]
        numbers: Fields = [(f"i{i}", "integer") for i in range(16)]
        byte_keys: Fields = [(f"b{i}", "bytestring") for i in range(12)]
        string_keys: Fields = [(f"s{i}", "string") for i in range(4)]
        rows: Dict[str, Dict[str, PythonValue]] = {
            "texts": {name: "x" * 4000 if kind == "text" else 1 for name, kind in texts},
            "strings": {name: wide for name, _ in strings},
            "full": {
                name: {"string": wide, "integer": -(2**63), "bytestring": b"x" * 255}[kind]
                for name, kind in full
            },
            "numbers": {name: 2**63 - 1 for name, _ in numbers},
            "byte_keys": {name: b"\xff" * 255 for name, _ in byte_keys},
            "string_keys": {name: wide for name, _ in string_keys},
        }
        for name, definitions, key_length in (
            ("texts", texts, 1),
            ("strings", strings, 4),
            ("full", full, 1),
            ("numbers", numbers, 16),
            ("byte_keys", byte_keys, 12),
            ("string_keys", string_keys, 4),
        ):
            with self.subTest(name):
                key = [field for field, _ in definitions[:key_length]]
                self.client.create_table(table("fam", name, definitions, key))
                self.client.mutate("fam", [upsert(name, rows[name])])
        self.cluster.assert_all_same()
        for name, row in rows.items():
            with self.subTest(name):
                found, _ = self.cluster.hosts[0].client.list_rows("fam", name)
                self.assertEqual(found, [row])


if __name__ == "__main__":
    unittest.main()
