"""What goes wrong, as exceptions."""

from __future__ import annotations


class Error(Exception):
    """A read that failed.

    Attributes:
        code: gRPC's number for the kind of error.
        reason: stable, for programs: "TABLE_NOT_FOUND"; empty where there is none.
        message: for people.
    """

    code = 2

    def __init__(self, message: str, reason: str = "", code: int | None = None) -> None:
        super().__init__(f"{message} ({reason})" if reason else message)
        self.message = message
        self.reason = reason
        if code is not None:
            self.code = code


class InvalidArgument(Error, ValueError):
    """A key of the wrong length, or a value that the field cannot have."""

    code = 3


class DeadlineExceeded(Error, TimeoutError):
    """A sequence was not reached in time."""

    code = 4


class NotFound(Error, LookupError):
    """There is no such table. (That there is no such row is no error.)"""

    code = 5


class ResourceExhausted(Error):
    """Out of memory."""

    code = 8


class FailedPrecondition(Error):
    """The reader is closed, or what was opened belongs to the parent process."""

    code = 9


class Aborted(Error):
    """A snapshot or a list was held for longer than `max_hold` (SNAPSHOT_EXPIRED)."""

    code = 10


class OutOfRange(Error):
    code = 11


class Internal(Error):
    code = 13


class Unavailable(Error):
    """There is no local database (yet), or it cannot be read."""

    code = 14


class DataLoss(Error):
    """The local database is damaged."""

    code = 15


_BY_CODE = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        DeadlineExceeded,
        NotFound,
        ResourceExhausted,
        FailedPrecondition,
        Aborted,
        OutOfRange,
        Internal,
        Unavailable,
        DataLoss,
    )
}


def error_for(code: int, reason: str, message: str) -> Error:
    return _BY_CODE.get(code, Error)(message, reason, code)
