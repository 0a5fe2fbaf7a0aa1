"""Writers, their secrets and their cookies, used wrongly."""

import unittest
from typing import Any, Callable, Dict, Sequence, Tuple

import grpc

from harness.client import Writer
from harness.refusals import ABORTED, EXISTS, INVALID, UNAUTHENTICATED, Case, RefusalTestCase
from harness.values import upsert



class BadWriterTest(RefusalTestCase):
    def test_writers_and_secrets(self) -> None:
        good = self.cluster.writer
        wrong = "this is the wrong secret"
        row = [upsert("other", {"id": 5})]

        def register(name: str, secret: str) -> Callable[[], Any]:
            return lambda: self.client.register(Writer(name, secret))

        def mutate_as(metadata: Sequence[Tuple[str, str]]) -> Callable[[], Any]:
            return lambda: self.client.mutate("fam", row, metadata=metadata)

        cases = [
            Case("short name", register("ab", wrong), INVALID, "INVALID_NAME", "writer", "3"),
            Case("long name", register("a" * 51, wrong), INVALID, "INVALID_NAME", "writer", "50"),
            Case(
                "a name of 50 characters in 100 bytes",
                register("ä" * 50, wrong),
                INVALID,
                "INVALID_NAME",
                "writer",
                "100",
            ),
            Case("NUL in the name", register("a\0b", wrong), INVALID, "INVALID_NAME", "writer"),
            Case("short secret", register("new", "zq"), INVALID, "INVALID_NAME", "secret", "3"),
            Case(
                "long secret",
                register("new", "zq" * 51),
                INVALID,
                "INVALID_NAME",
                "secret",
                "102",
            ),
            Case("another secret", register(good.name, wrong), EXISTS, "WRITER_DIFFERS"),
            Case("no metadata", mutate_as(()), UNAUTHENTICATED, "BAD_CREDENTIALS"),
            Case(
                "no secret",
                mutate_as((("ctlstore-writer", good.name),)),
                UNAUTHENTICATED,
                "BAD_CREDENTIALS",
            ),
            Case(
                "no name",
                mutate_as((("ctlstore-secret", good.secret),)),
                UNAUTHENTICATED,
                "BAD_CREDENTIALS",
            ),
            Case(
                "an empty secret",
                mutate_as(Writer(good.name, "").metadata),
                UNAUTHENTICATED,
                "BAD_CREDENTIALS",
            ),
        ]
        # Each with a writer of its own: repeated wrong secrets of one writer are refused otherwise.
        for name in ("first", "second"):
            self.client.register(Writer(name, good.secret))
        for what, writer in (
            ("a wrong secret", Writer("first", wrong)),
            ("a secret in another case", Writer("second", good.secret.upper())),
            ("an unknown writer", Writer("nobody", good.secret)),
            ("a name in another case", Writer(good.name.upper(), good.secret)),
        ):
            calls: Dict[str, Callable[[], Any]] = {
                "Mutate": mutate_as(writer.metadata),
                "GetCookie": lambda writer=writer: self.client.get_cookie(writer),
                "SetCookie": lambda writer=writer: self.client.set_cookie(b"x", writer),
            }
            for method, call in calls.items():
                cases.append(
                    Case(f"{what}, {method}", call, UNAUTHENTICATED, "BAD_CREDENTIALS")
                )
        secrets = [good.secret, good.secret.upper(), wrong, "zq" * 51, "zq"]
        for failure in self.assert_refused(cases):
            for secret in secrets:
                self.assertNotIn(secret, failure.message)
        log = self.cluster.executives[0].process.log()
        for secret in secrets[:4]:
            self.assertNotIn(secret, log)
        # The same secret again is no error, and the writer still works.
        self.client.register(good)
        self.client.mutate("fam", row)

    def test_cookies(self) -> None:
        row = upsert("other", {"id": 9})
        self.assertEqual(self.client.get_cookie(), b"")
        self.client.mutate("fam", [row], cookie=b"one\0\xff", check_cookie=b"")
        self.assertEqual(self.client.get_cookie(), b"one\0\xff")

        def mutate(**cookies: bytes) -> Callable[[], Any]:
            return lambda: self.client.mutate("fam", [upsert("other", {"id": 10})], **cookies)

        self.assert_refused(
            [
                Case(
                    "another cookie",
                    mutate(cookie=b"two", check_cookie=b"ONE\0\xff"),
                    ABORTED,
                    "COOKIE_MISMATCH",
                ),
                Case("none", mutate(check_cookie=b""), ABORTED, "COOKIE_MISMATCH"),
                Case(
                    "one byte too long",
                    mutate(cookie=b"x" * 1025),
                    INVALID,
                    "TOO_LARGE",
                    "cookie",
                    "1024",
                ),
                Case(
                    "SetCookie, one byte too long",
                    lambda: self.client.set_cookie(b"x" * 1025),
                    INVALID,
                    "TOO_LARGE",
                    "cookie",
                    "1025",
                ),
            ]
        )
        self.assertEqual(self.client.get_cookie(), b"one\0\xff")
        self.client.mutate("fam", [row], cookie=b"x" * 1024, check_cookie=b"one\0\xff")
        self.assertEqual(self.client.get_cookie(), b"x" * 1024)
        self.client.mutate("fam", [row])
        self.assertEqual(self.client.get_cookie(), b"x" * 1024, "kept where none is given")
        self.client.set_cookie(b"")
        self.assertEqual(self.client.get_cookie(), b"")

    def test_a_refused_cookie_and_a_refused_row_leave_both(self) -> None:
        self.client.set_cookie(b"before")
        with self.assertRaises(grpc.RpcError):
            self.client.mutate("fam", [upsert("other", {"id": None})], cookie=b"after")
        self.assertEqual(self.client.get_cookie(), b"before")


if __name__ == "__main__":
    unittest.main()
