"""Calls that must be refused: with a clear error, and without changing anything."""

from typing import Any, Callable, List, NamedTuple, Optional

import grpc

from harness.case import E2eTestCase
from harness.client import Failure, failure_of
from harness.values import table, upsert

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
EXISTS = grpc.StatusCode.ALREADY_EXISTS
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
ABORTED = grpc.StatusCode.ABORTED
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

ALL_TYPES = [
    ("s", "string"),
    ("i", "integer"),
    ("b", "bytestring"),
    ("d", "decimal"),
    ("t", "text"),
    ("y", "binary"),
]
# A row's key in the table of all types.
KEY = {"s": "key", "i": 1, "b": b"key"}

# An error says what is wrong with a value; it does not repeat it.
_MAX_MESSAGE_LENGTH = 1000


class Case(NamedTuple):
    """A call that must be refused."""

    what: str
    call: Callable[[], Any]
    code: grpc.StatusCode
    reason: str
    # The path that BadRequest has to name.
    field: Optional[str] = None
    # What the message has to say besides.
    says: str = ""


class RefusalTestCase(E2eTestCase):
    """A cluster with family `fam`, tables `all_types` (one row) and `other` (none)."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.start_cluster(hosts=1)
        self.client = self.cluster.client()
        self.client.create_family("fam")
        self.client.create_table(table("fam", "all_types", ALL_TYPES, ["s", "i", "b"]))
        self.client.create_table(table("fam", "other", [("id", "integer")], ["id"]))
        self.client.mutate("fam", [upsert("all_types", {**KEY, "t": "as it was"})])

    def assert_refused(self, cases: List[Case]) -> List[Failure]:
        """Makes the calls, and sees that each fails as it should and nothing has changed."""
        before = self.cluster.ctldb.snapshot()
        failures = []
        for case in cases:
            with self.subTest(case.what):
                with self.assertRaises(grpc.RpcError) as raised:
                    case.call()
                failure = failure_of(raised.exception)
                failures.append(failure)
                self.assertEqual((failure.code, failure.reason), (case.code, case.reason), failure)
                self.assertEqual(failure.domain, "ctlstore")
                if case.field is not None:
                    self.assertEqual(failure.fields, [case.field], failure)
                self.assertIn(case.says, failure.message)
                self.assertLess(len(failure.message), _MAX_MESSAGE_LENGTH)
                self.assertEqual(self.cluster.ctldb.last_sequence(), before.last_sequence)
        self.assertEqual(self.cluster.assert_all_same(), before)
        return failures
