"""Readers, snapshots, tables."""

from __future__ import annotations

import atexit
import ctypes
import math
import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pickle import loads
from typing import Any, Callable, Optional, Union

from ctlstore import _library
from ctlstore._errors import DataLoss, DeadlineExceeded, FailedPrecondition, Unavailable
from ctlstore._keys import name_of, request_of, values_of
from ctlstore._library import ErrorStruct, lib

Value = Union[str, int, float, bytes, None]
Row = dict[str, Value]

_pickle_row = lib.pickle_row

# A list's rows are fetched some at a time: few at first, for those who want few.
_FIRST_ROWS = 16
_MOST_ROWS = 1024
# Waiting is interrupted so often to see whether Ctrl-C was pressed.
_WAIT_SECONDS = 0.1
# Names of tables that are kept encoded.
_MOST_NAMES = 1000


@dataclass(frozen=True)
class Field:
    name: str
    # "string", "integer", "decimal", "text", "binary" or "bytestring".
    type: str


@dataclass(frozen=True)
class Table:
    """A table's definition as it was when it was read."""

    family: str
    name: str
    fields: tuple[Field, ...]
    # The names of the key's fields, in key order.
    key: tuple[str, ...]


class _Handle:
    """One object of the library, freed with the last reference to it.

    Whoever calls holds a reference meanwhile, so that nothing is freed under a call, whatever other
    threads close.
    """

    __slots__ = ("pointer", "_free", "__weakref__")

    def __init__(self, pointer: Optional[int], free: Callable[[int], None]) -> None:
        if not pointer:
            raise MemoryError
        self.pointer = pointer
        self._free = free

    def __del__(self) -> None:
        pointer = getattr(self, "pointer", None)
        if pointer:
            self.pointer = None
            self._free(pointer)


class _Rows(_Handle):
    """A list. What it shares with its snapshot is used by one thread at a time, also to free it."""

    __slots__ = ("lock",)

    def __init__(self, pointer: Optional[int], lock: threading.RLock) -> None:
        self.lock = lock
        super().__init__(pointer, lib.rows_close)

    def __del__(self) -> None:
        with self.lock:
            super().__del__()


class _Pickler(_Handle):
    """Memory that rows are read into. Used by one call at a time."""

    __slots__ = ("view", "capacity")

    def __init__(self, reader: _Handle) -> None:
        super().__init__(lib.pickler_new(reader.pointer), lib.pickler_free)
        self.map()

    def map(self) -> None:
        capacity = ctypes.c_size_t()
        data = lib.pickler_data(self.pointer, capacity)
        self.capacity = capacity.value
        self.view = memoryview((ctypes.c_char * self.capacity).from_address(data))

    def error(self) -> Exception:
        return lib.pickler_error(self.pointer).contents.exception()

    def load(self, size: int) -> Any:
        """What a call has left, which returned this size."""
        if size < 0:
            raise self.error()
        if size == 0:
            return None
        if size > self.capacity:
            self.map()
        try:
            return loads(self.view)
        except UnicodeDecodeError as error:
            raise DataLoss(f"the local database has text that is not UTF-8: {error}") from None


def _check(code: int, error: ErrorStruct) -> None:
    if code:
        raise error.exception()


def _list_options(limit: Optional[int], after: Optional[Sequence[Value]]) -> _library.ListOptions:
    if limit is not None and limit < 0:
        raise ValueError(f"limit must not be negative, as {limit} is")
    options = _library.ListOptions()
    options.struct_size = ctypes.sizeof(options)
    options.limit = -1 if limit is None else min(limit, 2**63 - 1)
    if after is not None:
        if isinstance(after, (str, bytes)):
            raise TypeError("after must be a sequence with a value for each key field")
        values = values_of(after)
        options.after, options.after_size = values, len(values)
    return options


def _list(
    call: Callable[..., int],
    source: _Handle,
    family: str,
    table: str,
    prefix: Sequence[Value],
    limit: Optional[int],
    after: Optional[Sequence[Value]],
    lock: threading.RLock,
) -> _Rows:
    pointer = ctypes.c_void_p()
    error = ErrorStruct()
    options = _list_options(limit, after)
    values = values_of(prefix)
    _check(
        call(
            source.pointer,
            name_of("family", family),
            name_of("table", table),
            values,
            len(values),
            options,
            pointer,
            error,
        ),
        error,
    )
    return _Rows(pointer.value, lock)


def _table(pointer: int) -> Table:
    return Table(
        lib.table_family(pointer).decode(),
        lib.table_name(pointer).decode(),
        tuple(
            Field(
                lib.table_field_name(pointer, i).decode(), lib.table_field_type(pointer, i).decode()
            )
            for i in range(lib.table_size(pointer))
        ),
        tuple(lib.table_key_name(pointer, i).decode() for i in range(lib.table_key_size(pointer))),
    )


class Reader:
    """Reads one local database. To be made once and used by all threads.

    Each call sees the newest committed state, and needs nothing but the file. Errors are subclasses
    of ctlstore.Error; Unavailable while there is no local database. After os.fork() the child's
    first call opens the database anew, so servers that fork their workers can make a reader before;
    the parent's snapshots and lists fail in the child (FORKED).

    Args:
        path: the local database's file, or a folder with versions of it; by default `ldb.db` in the
            folder that the environment variable CTLSTORE_PATH names, or in /var/spool/ctlstore.
        cache_bytes: memory for rows that were read last; 0 for none.
        page_cache_bytes: memory for pages of the file, for each thread.
        max_hold: seconds for which a snapshot or a list may hold one state.
    """

    def __init__(
        self,
        path: Union[str, os.PathLike[str], None] = None,
        *,
        cache_bytes: Optional[int] = None,
        page_cache_bytes: Optional[int] = None,
        max_hold: Optional[float] = None,
    ) -> None:
        self._path = None if path is None else os.fsencode(path)
        if self._path is not None and b"\0" in self._path:
            raise ValueError("path has a NUL character")
        options = _library.Options()
        lib.options_init(options, ctypes.sizeof(options))
        if cache_bytes is not None:
            options.cache_bytes = _size("cache_bytes", cache_bytes)
        if page_cache_bytes is not None:
            options.page_cache_bytes = _size("page_cache_bytes", page_cache_bytes)
        if max_hold is not None:
            options.max_hold_ms = max(0, math.ceil(min(max_hold, 1e9) * 1000))
        self._options = options
        self._closed = False
        self._names: dict[tuple[str, str], bytes] = {}
        self._forget()
        self._reader()
        _readers.add(self)

    def get(self, family: str, table: str, *key: Value) -> Optional[Row]:
        """The row with this key, a value for each key field in key order; None if there is none."""
        picklers = self._picklers
        try:
            pickler = picklers.pop()
        except (AttributeError, IndexError):
            # None are free, or none are there: it is closed.
            pickler = _Pickler(self._reader())
        try:
            try:
                request = self._names[family, table]
            except (KeyError, TypeError):
                request = self._name(family, table)
            for value in key:
                request += request_of(value)
            return pickler.load(_pickle_row(pickler.pointer, request, len(request)))
        finally:
            if picklers is not None:
                picklers.append(pickler)

    def list(
        self,
        family: str,
        table: str,
        *prefix: Value,
        limit: Optional[int] = None,
        after: Optional[Sequence[Value]] = None,
    ) -> Iterator[Row]:
        """The rows whose key begins with these values, in key order (by their bytes).

        All of them are of one state: that of this call. Fetches a few rows at a time; lets go of
        the state at the end, and when the iterator is closed (`close()`) or forgotten. Where it is
        not read to its end within `max_hold`, it fails with Aborted. One thread at a time.

        Args:
            limit: at most so many rows.
            after: a whole key; only the rows behind it, to go on where an earlier list ended.
        """
        lock = threading.RLock()
        rows = _list(lib.list_rows, self._reader(), family, table, prefix, limit, after, lock)
        return self._rows(rows)

    def snapshot(self) -> Snapshot:
        """The newest state, for several reads; ends with the `with` block."""
        pointer = ctypes.c_void_p()
        self._call(lib.snapshot_begin, pointer)
        return Snapshot(self, _Handle(pointer.value, lib.snapshot_end))

    def sequence(self) -> int:
        """The last ledger sequence that is applied; 0 before the first."""
        sequence = ctypes.c_int64()
        self._call(lib.get_sequence, sequence)
        return sequence.value

    def wait_for_sequence(self, sequence: int, timeout: Optional[float] = None) -> None:
        """Returns once everything up to `sequence` is applied, as a Mutate's answer names it.

        Also waits for a local database that is not there yet. After `timeout` seconds:
        DeadlineExceeded where it is not, Unavailable where there is still no local database.
        """
        if not isinstance(sequence, int) or not -(2**63) <= sequence < 2**63:
            raise ValueError("sequence must be an int from -2**63 to 2**63 - 1")
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            rest = _WAIT_SECONDS if deadline is None else deadline - time.monotonic()
            wait_ms = math.ceil(max(0.0, min(rest, _WAIT_SECONDS)) * 1000)
            try:
                return self._call(lib.wait_for_sequence, sequence, wait_ms)
            except (DeadlineExceeded, Unavailable):
                if deadline is not None and time.monotonic() >= deadline:
                    raise

    def lag(self) -> Optional[float]:
        """How many seconds old the copy is at most; None where that cannot be told."""
        position = _library.Position()
        position.struct_size = ctypes.sizeof(position)
        self._call(lib.get_position, position)
        return None if position.lag_ns == _library.UNKNOWN else position.lag_ns / 1e9

    def table(self, family: str, table: str) -> Table:
        """The table's definition; NotFound where there is no such table."""
        pointer = ctypes.c_void_p()
        self._call(lib.get_table, name_of("family", family), name_of("table", table), pointer)
        tables = _Handle(pointer.value, lib.tables_free)
        return _table(lib.tables_at(tables.pointer, 0))

    def tables(self) -> list[Table]:
        """All tables, sorted by family and name."""
        pointer = ctypes.c_void_p()
        self._call(lib.list_tables, pointer)
        tables = _Handle(pointer.value, lib.tables_free)
        return [
            _table(lib.tables_at(tables.pointer, i)) for i in range(lib.tables_size(tables.pointer))
        ]

    def stats(self) -> dict[str, int]:
        """Counters since the database was opened; ctlstore.h says what they mean."""
        stats = _library.Stats()
        stats.struct_size = ctypes.sizeof(stats)
        self._call(lib.get_stats, stats)
        return {name: getattr(stats, name) for name, _ in stats._fields_[1:]}

    @property
    def path(self) -> str:
        native = self._reader()
        return os.fsdecode(lib.path(native.pointer))

    def close(self) -> None:
        """Later calls fail, also on its lists and snapshots. Those under way end as they would."""
        with self._lock:
            self._closed = True
            self._picklers = None
            self._native = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _reader(self) -> _Handle:
        """The library's reader. The caller keeps the reference for as long as it uses it."""
        native = self._native
        return self._open() if native is None else native

    def _call(self, function: Callable[..., int], *arguments: Any) -> None:
        native = self._reader()
        error = ErrorStruct()
        _check(function(native.pointer, *arguments, error), error)

    def _open(self) -> _Handle:
        with self._lock:
            if self._closed:
                raise FailedPrecondition("the reader is closed", "CLOSED")
            if self._native is None:
                pointer = ctypes.c_void_p()
                error = ErrorStruct()
                _check(lib.open(self._path, self._options, pointer, error), error)
                self._native = _Handle(pointer.value, lib.close)
                self._picklers = []
            return self._native

    def _forget(self) -> None:
        """As if nothing had been opened yet: for a new reader, and for one in a forked child.

        There, what the parent opened is freed without effect (ctlstore.h), and the lock may be held
        by a thread that the child does not have.
        """
        self._lock = threading.Lock()
        self._native: Optional[_Handle] = None
        # Those that no call uses at this moment; None until the database is opened.
        self._picklers: Optional[list[_Pickler]] = None

    def _name(self, family: str, table: str) -> bytes:
        name = name_of("family", family) + b"\0" + name_of("table", table) + b"\0"
        if len(self._names) >= _MOST_NAMES:
            self._names = {}
        self._names[family, table] = name
        return name

    def _rows(self, rows: _Rows) -> Iterator[Row]:
        pickler = _Pickler(self._reader())
        count = _FIRST_ROWS
        while True:
            with rows.lock:
                # For the error where the reader is closed.
                self._reader()
                batch = pickler.load(lib.pickle_rows(pickler.pointer, rows.pointer, count))
            if batch is None:
                return
            yield from batch
            count = min(count * 4, _MOST_ROWS)


class Snapshot:
    """Several reads of one state of the database: that after some whole ledger transaction.

    Used in a `with` block, or ended by end(). After `max_hold` calls fail with Aborted
    (SNAPSHOT_EXPIRED). Threads may share it, and then wait for one another.
    """

    def __init__(self, reader: Reader, handle: _Handle) -> None:
        self._of = reader
        self._handle: Optional[_Handle] = handle
        self._lock = threading.RLock()
        self._sequence = lib.snapshot_sequence(handle.pointer)

    @property
    def sequence(self) -> int:
        """The last ledger sequence that is applied in it."""
        return self._sequence

    def get(self, family: str, table: str, *key: Value) -> Optional[Row]:
        """As Reader.get."""
        request = self._of._name(family, table) + b"".join(map(request_of, key))
        with self._lock:
            handle = self._open()
            pickler = _Pickler(self._of._reader())
            return pickler.load(
                lib.pickle_snapshot_row(pickler.pointer, handle.pointer, request, len(request))
            )

    def list(
        self,
        family: str,
        table: str,
        *prefix: Value,
        limit: Optional[int] = None,
        after: Optional[Sequence[Value]] = None,
    ) -> Iterator[Row]:
        """As Reader.list. May be read on after the snapshot has ended."""
        with self._lock:
            handle = self._open()
            rows = _list(
                lib.snapshot_list_rows, handle, family, table, prefix, limit, after, self._lock
            )
        return self._of._rows(rows)

    def end(self) -> None:
        """Lets go of the state. Later calls fail."""
        with self._lock:
            self._handle = None

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def _open(self) -> _Handle:
        self._of._reader()
        if self._handle is None:
            raise FailedPrecondition("the snapshot has ended", "CLOSED")
        return self._handle


def _size(what: str, size: int) -> int:
    if not 0 <= size < 2**63:
        raise ValueError(f"{what} must not be negative, as {size} is")
    return size


_readers: weakref.WeakSet[Reader] = weakref.WeakSet()


def _close_all() -> None:
    for reader in list(_readers):
        reader.close()


def _reopen_all() -> None:
    for reader in list(_readers):
        reader._forget()


# So that no thread of the library is left when the process takes itself apart.
atexit.register(_close_all)
os.register_at_fork(after_in_child=_reopen_all)
