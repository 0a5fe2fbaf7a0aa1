"""Reads control data from this host's local database, in this process.

    import ctlstore

    reader = ctlstore.Reader()
    country = reader.get("geo", "countries", "NZ")
    if country is not None:
        print(country["name"])
    for row in reader.list("geo", "subdivisions", limit=10):
        print(row["code"], row["name"])

Rows are dicts. Fields of the types string and text are str, integer is int, decimal is float,
binary and bytestring are bytes, and null is None. All of it is the reader library of C++
(libctlstore.so), which is found by the environment variable CTLSTORE_LIBRARY, beside this package,
or by the system's loader.
"""

from ctlstore._errors import (
    Aborted,
    DataLoss,
    DeadlineExceeded,
    Error,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)
from ctlstore._reader import Field, Reader, Row, Snapshot, Table, Value

__all__ = [
    "Aborted",
    "DataLoss",
    "DeadlineExceeded",
    "Error",
    "FailedPrecondition",
    "Field",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "Reader",
    "ResourceExhausted",
    "Row",
    "Snapshot",
    "Table",
    "Unavailable",
    "Value",
]
