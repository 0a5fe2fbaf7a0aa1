"""Bad names and definitions: each gets a clear error and changes nothing."""

import unittest
from typing import Any, Callable, List, Tuple

from harness.refusals import ALL_TYPES, EXISTS, INVALID, NOT_FOUND, Case, RefusalTestCase
from harness.values import fields, table


Fields = List[Tuple[str, str]]

BAD_NAMES = ["", "ab", "1abc", "_abc", "a-bc", "a bc", "äbc", "ab__c", "abc'", 'abc"', "abc;"]
BAD_NAMES += ["a\0bc", "abc\n"]


class BadSchemaTest(RefusalTestCase):
    def test_names(self) -> None:
        cases: List[Case] = []
        for name in [*BAD_NAMES, "a" * 31]:
            cases.append(
                Case(
                    f"family {name!r}",
                    lambda name=name: self.client.create_family(name),
                    INVALID,
                    "INVALID_NAME",
                    "family",
                )
            )
        for name in [*BAD_NAMES, "a" * 51]:
            cases.append(
                Case(
                    f"table {name!r}",
                    lambda name=name: self.client.create_table(
                        table("fam", name, [("id", "integer")], ["id"])
                    ),
                    INVALID,
                    "INVALID_NAME",
                    "table.name",
                )
            )
        for name in ["", "1a", "_a", "a-b", "a b", "ä", "a'", 'a"', "a" * 65]:
            cases.append(
                Case(
                    f"field {name!r}",
                    lambda name=name: self.client.create_table(
                        table("fam", "new", [("id", "integer"), (name, "text")], ["id"])
                    ),
                    INVALID,
                    "INVALID_NAME",
                    "table.fields[1].name",
                )
            )
            cases.append(
                Case(
                    f"added field {name!r}",
                    lambda name=name: self.client.add_fields(
                        "fam", "other", fields([("good", "text"), (name, "text")])
                    ),
                    INVALID,
                    "INVALID_NAME",
                    "fields[1].name",
                )
            )
        cases.append(
            Case(
                "family of a table",
                lambda: self.client.create_table(
                    table("no", "new", [("id", "integer")], ["id"])
                ),
                INVALID,
                "INVALID_NAME",
                "table.family",
                "2",
            )
        )
        long_family = "f" * 30
        self.client.create_family(long_family)
        cases.append(
            Case(
                "names that together are longer than MariaDB's tables may be called",
                lambda: self.client.create_table(
                    table(long_family, "t" * 32, [("id", "integer")], ["id"])
                ),
                INVALID,
                "INVALID_NAME",
                "table.name",
                "31",
            )
        )
        self.assert_refused(cases)

    def test_definitions(self) -> None:
        def create(
            definitions: Fields, key: List[str], family: str = "fam", name: str = "new"
        ) -> Callable[[], Any]:
            return lambda: self.client.create_table(table(family, name, definitions, key))

        integer = [("id", "integer")]
        cases = [
            Case("no fields", create([], ["id"]), INVALID, "INVALID_SCHEMA", "table.fields"),
            Case("no key", create(integer, []), INVALID, "INVALID_SCHEMA", "table.key_fields"),
            Case(
                "a key that is no field",
                create(integer, ["nope"]),
                INVALID,
                "INVALID_SCHEMA",
                "table.key_fields[0]",
                "nope",
            ),
            Case(
                "a key field twice",
                create(integer, ["id", "id"]),
                INVALID,
                "INVALID_SCHEMA",
                "table.key_fields[1]",
            ),
            Case(
                "a field twice",
                create([("id", "integer"), ("x", "text"), ("X", "text")], ["id"]),
                INVALID,
                "INVALID_SCHEMA",
                "table.fields[2].name",
            ),
            Case(
                "191 fields",
                create([(f"f{i}", "integer") for i in range(191)], ["f0"]),
                INVALID,
                "INVALID_SCHEMA",
                "table.fields",
                "190",
            ),
            Case(
                "a key of more bytes than an index holds",
                create([(f"f{i}", "string") for i in range(5)], [f"f{i}" for i in range(5)]),
                INVALID,
                "INVALID_SCHEMA",
                "table.key_fields",
                "3072",
            ),
            Case(
                "a row of more bytes than a page holds",
                create([(f"f{i}", "string") for i in range(86)], ["f0"]),
                INVALID,
                "INVALID_SCHEMA",
                "table.fields",
                "65535",
            ),
            Case(
                "no such family",
                create(integer, ["id"], family="nowhere"),
                NOT_FOUND,
                "FAMILY_NOT_FOUND",
                says="nowhere",
            ),
            Case(
                "there with another type",
                create([("id", "string")], ["id"], name="other"),
                EXISTS,
                "TABLE_DIFFERS",
                says="id",
            ),
            Case(
                "there with another key",
                create(ALL_TYPES, ["i", "s", "b"], name="all_types"),
                EXISTS,
                "TABLE_DIFFERS",
                says="key",
            ),
        ]
        for kind in ("decimal", "text", "binary"):
            cases.append(
                Case(
                    f"a key of type {kind}",
                    create([("id", kind)], ["id"]),
                    INVALID,
                    "INVALID_SCHEMA",
                    "table.key_fields[0]",
                    kind,
                )
            )
        untyped = table("fam", "new", integer, ["id"])
        untyped.fields.add(name="x")
        cases.append(
            Case(
                "a field without a type",
                lambda: self.client.create_table(untyped),
                INVALID,
                "INVALID_SCHEMA",
                "table.fields[1].type",
            )
        )
        good = table("fam", "good", integer, ["id"])
        cases += [
            Case(
                "one bad table among good ones",
                lambda: self.client.create_tables([good, table("fam", "bad", integer, ["x"])]),
                INVALID,
                "INVALID_SCHEMA",
                "tables[1].key_fields[0]",
            ),
            Case(
                "one table that differs among good ones",
                lambda: self.client.create_tables(
                    [good, table("fam", "other", [("id", "string")], ["id"])]
                ),
                EXISTS,
                "TABLE_DIFFERS",
            ),
            Case(
                "one table twice",
                lambda: self.client.create_tables([good, good]),
                INVALID,
                "INVALID_REQUEST",
                "tables[1]",
            ),
            Case(
                "no tables",
                lambda: self.client.create_tables([]),
                INVALID,
                "INVALID_REQUEST",
                "tables",
            ),
            Case(
                "101 tables",
                lambda: self.client.create_tables(
                    [table("fam", f"many_{i}", integer, ["id"]) for i in range(101)]
                ),
                INVALID,
                "TOO_LARGE",
                "tables",
                "100",
            ),
        ]
        self.assert_refused(cases)
        self.assertEqual(
            [answer.name for answer in self.client.list_tables("fam")], ["all_types", "other"]
        )

    def test_added_fields(self) -> None:
        def add(
            definitions: Fields, family: str = "fam", name: str = "other"
        ) -> Callable[[], Any]:
            return lambda: self.client.add_fields(family, name, fields(definitions))

        text = [("x", "text")]
        self.assert_refused(
            [
                Case("no fields", add([]), INVALID, "INVALID_REQUEST", "fields"),
                Case(
                    "a field twice",
                    add([("x", "text"), ("x", "text")]),
                    INVALID,
                    "INVALID_SCHEMA",
                    "fields[1].name",
                ),
                Case(
                    "one that is there with another type",
                    add([("good", "text"), ("id", "string")]),
                    EXISTS,
                    "FIELD_DIFFERS",
                    says="id",
                ),
                Case("no such table", add(text, name="none"), NOT_FOUND, "TABLE_NOT_FOUND"),
                Case("no such family", add(text, family="none"), NOT_FOUND, "FAMILY_NOT_FOUND"),
                Case("a bad family", add(text, family="x"), INVALID, "INVALID_NAME", "family"),
                Case("a bad table", add(text, name="x"), INVALID, "INVALID_NAME", "table"),
                Case(
                    "more than a table holds",
                    add([(f"f{i}", "integer") for i in range(190)]),
                    INVALID,
                    "INVALID_SCHEMA",
                    "fields",
                    "190",
                ),
            ]
        )

    def test_lookups(self) -> None:
        self.assert_refused(
            [
                Case(
                    "no such table",
                    lambda: self.client.get_table("fam", "none"),
                    NOT_FOUND,
                    "TABLE_NOT_FOUND",
                ),
                Case(
                    "no such family",
                    lambda: self.client.list_tables("none"),
                    NOT_FOUND,
                    "FAMILY_NOT_FOUND",
                ),
                Case(
                    "a bad name",
                    lambda: self.client.get_table("fam", "no;"),
                    INVALID,
                    "INVALID_NAME",
                    "table",
                ),
            ]
        )


if __name__ == "__main__":
    unittest.main()
