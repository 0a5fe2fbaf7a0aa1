"""Bad mutations: each gets a clear error and changes nothing."""

import unittest
from typing import Any, Callable

import grpc
from ctlstore.v1 import executive_pb2, value_pb2

from harness.refusals import INVALID, KEY, NOT_FOUND, Case, RefusalTestCase
from harness.values import PythonValue, delete, mutate_request, upsert



class BadMutationTest(RefusalTestCase):
    def test_mutations(self) -> None:
        def mutate(
            *mutations: executive_pb2.Mutation, family: str = "fam"
        ) -> Callable[[], Any]:
            return lambda: self.client.mutate(family, mutations)

        def write(**values: PythonValue) -> Callable[[], Any]:
            # The first one is good, and must not be applied either.
            return mutate(
                upsert("other", {"id": 77}), upsert("all_types", {**KEY, "i": 2, **values})
            )

        def value_case(
            what: str, name: str, bad_value: PythonValue, reason: str, says: str = ""
        ) -> Case:
            return Case(
                what,
                write(**{name: bad_value}),
                INVALID,
                reason,
                f"mutations[1].values.{name}",
                says,
            )

        unset = upsert("all_types", KEY)
        unset.values["t"].CopyFrom(value_pb2.Value())
        whole_key = dict(KEY)
        without_i = {"s": "key", "b": b"key"}
        half_mib = "x" * (512 * 1024)
        cases = [
            value_case("192 characters", "s", "x" * 192, "TOO_LARGE", "191"),
            value_case("192 characters of 4 bytes", "s", "😀" * 192, "TOO_LARGE", "192"),
            value_case("256 bytes", "b", b"x" * 256, "TOO_LARGE", "255"),
            value_case("a text one byte too long", "t", half_mib + "x", "TOO_LARGE", "524288"),
            value_case("bytes one too long", "y", half_mib.encode() + b"x", "TOO_LARGE", "524289"),
            value_case("NUL in a string", "s", "a\0b", "INVALID_VALUE", "NUL"),
            value_case("NUL in a text", "t", "a\0", "INVALID_VALUE", "NUL"),
            value_case("text as an integer", "i", "1", "INVALID_VALUE", "integer"),
            value_case("a decimal as an integer", "i", 1.0, "INVALID_VALUE", "integer"),
            value_case("bytes as a string", "s", b"key", "INVALID_VALUE", "bytes"),
            value_case("text as a bytestring", "b", "key", "INVALID_VALUE", "text"),
            value_case("an integer as text", "t", 1, "INVALID_VALUE", "integer"),
            value_case("text as bytes", "y", "x", "INVALID_VALUE", "text"),
            value_case("text as a decimal", "d", "1.5", "INVALID_VALUE", "text"),
            value_case("an integer that no double holds", "d", 2**53 + 1, "INVALID_VALUE"),
            value_case("not a number", "d", float("nan"), "INVALID_VALUE", "finite"),
            value_case("infinity", "d", float("inf"), "INVALID_VALUE", "finite"),
            value_case("negative infinity", "d", float("-inf"), "INVALID_VALUE", "finite"),
            value_case("negative zero", "d", -0.0, "INVALID_VALUE", "zero"),
            value_case("null in a string key", "s", None, "INVALID_VALUE", "null"),
            value_case("null in an integer key", "i", None, "INVALID_VALUE", "null"),
            value_case("null in a bytestring key", "b", None, "INVALID_VALUE", "null"),
            value_case("an unknown field", "nope", "x", "UNKNOWN_FIELD", "nope"),
            Case(
                "a very long unknown field",
                write(**{"x" * 50_000: 1}),
                INVALID,
                "UNKNOWN_FIELD",
            ),
            Case(
                "one field twice, with other capitals",
                write(t="x", T="y"),
                INVALID,
                "INVALID_REQUEST",
            ),
            Case(
                "a value without any member",
                mutate(unset),
                INVALID,
                "INVALID_VALUE",
                "mutations[0].values.t",
            ),
            Case(
                "a key field left out",
                mutate(upsert("all_types", without_i)),
                INVALID,
                "INVALID_KEY",
                "mutations[0].values.i",
            ),
            Case(
                "a key field left out of a delete",
                mutate(delete("all_types", without_i)),
                INVALID,
                "INVALID_KEY",
                "mutations[0].values.i",
            ),
            Case(
                "another field in a delete",
                mutate(delete("all_types", {**whole_key, "t": "x"})),
                INVALID,
                "INVALID_KEY",
                "mutations[0].values.t",
            ),
            Case(
                "null in the key of a delete",
                mutate(delete("all_types", {**whole_key, "i": None})),
                INVALID,
                "INVALID_VALUE",
                "mutations[0].values.i",
            ),
            Case("no mutation", mutate(), INVALID, "INVALID_REQUEST", "mutations"),
            Case(
                "101 mutations",
                mutate(*[upsert("other", {"id": i}) for i in range(101)]),
                INVALID,
                "TOO_LARGE",
                "mutations",
                "101",
            ),
            Case(
                "a request of more than 1 MiB",
                mutate(
                    *[upsert("all_types", {**KEY, "i": i, "t": "x" * 400_000}) for i in range(3)]
                ),
                INVALID,
                "TOO_LARGE",
                says="1048576",
            ),
            Case(
                # Each byte of it takes two in the statement.
                "a statement of more than 768 KiB",
                mutate(upsert("all_types", {**KEY, "y": b"x" * 400_000})),
                INVALID,
                "TOO_LARGE",
                says="786432",
            ),
            Case(
                "no such table",
                mutate(upsert("other", {"id": 1}), upsert("none", {"id": 1})),
                NOT_FOUND,
                "TABLE_NOT_FOUND",
                says="none",
            ),
            Case(
                "no such family",
                mutate(upsert("other", {"id": 1}), family="none"),
                NOT_FOUND,
                "FAMILY_NOT_FOUND",
                says="none",
            ),
            Case(
                "a bad family",
                mutate(upsert("other", {"id": 1}), family="fam;"),
                INVALID,
                "INVALID_NAME",
                "family",
            ),
            Case(
                "a bad table",
                mutate(upsert("other", {"id": 1}), upsert("no'", {"id": 1})),
                INVALID,
                "INVALID_NAME",
                "mutations[1].table",
            ),
        ]
        self.assert_refused(cases)

    def test_more_than_a_message_may_have(self) -> None:
        before = self.cluster.ctldb.snapshot()
        with self.assertRaises(grpc.RpcError) as raised:
            self.client.mutate("fam", [upsert("all_types", {**KEY, "y": b"x" * (8 << 20)})])
        self.assertEqual(raised.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual(self.cluster.assert_all_same(), before)

    def test_text_that_is_not_utf8(self) -> None:
        """As no protobuf library writes it, but anybody can send it."""
        request = mutate_request("fam", [upsert("all_types", {**KEY, "t": "MARK"})])
        data = request.SerializeToString().replace(b"MARK", b"\xff\xfe\xc0\x80")
        call = self.client.channel.unary_unary(
            "/ctlstore.v1.Executive/Mutate",
            request_serializer=lambda raw: raw,
            response_deserializer=executive_pb2.MutateResponse.FromString,
        )
        before = self.cluster.ctldb.snapshot()
        with self.assertRaises(grpc.RpcError):
            call(data, metadata=self.cluster.writer.metadata, timeout=20)
        with self.assertRaises(grpc.RpcError):
            call(b"\xff not a message", metadata=self.cluster.writer.metadata, timeout=20)
        self.assertEqual(self.cluster.assert_all_same(), before)


if __name__ == "__main__":
    unittest.main()
