"""Bad reads at the sidecar: each gets a clear error."""

import unittest

from harness.refusals import INVALID, NOT_FOUND, Case, RefusalTestCase



class BadReadTest(RefusalTestCase):
    def test_reads_of_the_sidecar(self) -> None:
        self.cluster.wait_until_caught_up()
        sidecar = self.cluster.hosts[0].client
        self.assert_refused(
            [
                Case(
                    "no such table",
                    lambda: sidecar.get_row("fam", "none", [1]),
                    NOT_FOUND,
                    "TABLE_NOT_FOUND",
                ),
                Case(
                    "no such table to list",
                    lambda: sidecar.list_rows("none", "other"),
                    NOT_FOUND,
                    "TABLE_NOT_FOUND",
                ),
                Case(
                    "a bad name",
                    lambda: sidecar.get_row("fam", "other;", [1]),
                    INVALID,
                    "INVALID_NAME",
                    "table",
                ),
                Case(
                    "too short a key",
                    lambda: sidecar.get_row("fam", "all_types", ["key", 1]),
                    INVALID,
                    "INVALID_KEY",
                ),
                Case(
                    "too long a key",
                    lambda: sidecar.get_row("fam", "other", [1, 1]),
                    INVALID,
                    "INVALID_KEY",
                ),
                Case(
                    "too long a prefix",
                    lambda: sidecar.list_rows("fam", "other", [1, 1]),
                    INVALID,
                    "INVALID_KEY",
                ),
                Case(
                    "a key of another kind",
                    lambda: sidecar.get_row("fam", "other", ["1"]),
                    INVALID,
                    "INVALID_KEY",
                ),
                Case(
                    "a negative limit",
                    lambda: sidecar.list_rows("fam", "other", limit=-1),
                    INVALID,
                    "INVALID_REQUEST",
                    "limit",
                ),
                Case(
                    "a limit above the server's",
                    lambda: sidecar.list_rows("fam", "other", limit=2**40),
                    INVALID,
                    "INVALID_REQUEST",
                    "limit",
                ),
            ]
        )


if __name__ == "__main__":
    unittest.main()
