"""End-to-end tests in Python, run by Debian's interpreter.

Bazel's own Python rules would take the first python3 on the PATH, which need not be the one that
Debian's gRPC, protobuf and PyMySQL packages belong to.
"""

_BINARIES = [
    "//cli:ctlstore",
    "//executive",
    "//heartbeat",
    "//reflector",
    "//sidecar",
    "//supervisor",
]

def py_e2e_test(name, srcs, ctldbs = ["sqlite", "mariadb"], timeout = "moderate", tags = [], data = []):
    """Runs `NAME.py` once on each kind of ctldb, as a test of its own: NAME_sqlite, NAME_mariadb.

    Args:
      name: the test's file without ".py", and the name of a suite of all kinds.
      srcs: the test's file, and others that it reads.
      ctldbs: the kinds of ctldb to run on.
      timeout: as for any test; generous, because nothing in these tests asserts a time.
      tags: as for any test; "e2e" and the kind are added.
      data: further targets that the test reads or runs, as
        "//common/object_store/testing:s3_server_files" for harness/s3.py.
    """
    for ctldb in ctldbs:
        native.sh_test(
            name = "%s_%s" % (name, ctldb),
            srcs = ["run_python_test.sh"],
            args = ["e2e/%s.py" % name, ctldb],
            data = srcs + data + _BINARIES + [
                ":harness",
                "//proto:ctlstore_py",
            ],
            size = "medium",
            timeout = timeout,
            tags = tags + ["e2e", ctldb],
        )
    native.test_suite(
        name = name,
        tests = [":%s_%s" % (name, ctldb) for ctldb in ctldbs],
    )
