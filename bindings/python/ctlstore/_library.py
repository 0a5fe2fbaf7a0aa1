"""libctlstore.so and the functions of it that this package calls. ctlstore.h documents them."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_double, c_int32, c_int64, c_size_t, c_void_p

from ctlstore._errors import error_for

_NAME = "libctlstore.so.0"
_ABI_VERSION = 1

NULL, INTEGER, DECIMAL, TEXT, BYTES = range(5)


class Value(ctypes.Structure):
    _fields_ = [
        ("type", c_int32),
        ("integer", c_int64),
        ("decimal", c_double),
        ("data", c_char_p),
        ("size", c_size_t),
    ]


class ErrorStruct(ctypes.Structure):
    _fields_ = [("code", c_int32), ("reason", c_char * 64), ("message", c_char * 512)]

    def exception(self) -> Exception:
        return error_for(self.code, self.reason.decode(), self.message.decode(errors="replace"))


class Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("cache_bytes", c_size_t),
        ("page_cache_bytes", c_size_t),
        ("max_hold_ms", c_int64),
    ]


class ListOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("limit", c_int64),
        ("after", POINTER(Value)),
        ("after_size", c_size_t),
    ]


class Position(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("applied_sequence", c_int64),
        ("applied_entry_time_ns", c_int64),
        ("heartbeat_time_ns", c_int64),
        ("lag_ns", c_int64),
    ]


class Stats(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("cache_hits", c_int64),
        ("cache_misses", c_int64),
        ("cache_rows", c_int64),
        ("cache_bytes", c_int64),
        ("cache_max_bytes", c_int64),
        ("cache_evicted", c_int64),
        ("cache_invalidated", c_int64),
        ("cache_tables_invalidated", c_int64),
        ("connections", c_int64),
        ("files_replaced", c_int64),
        ("has_freshness_page", c_int64),
    ]


UNKNOWN = -(2**63)

_out_pointer = POINTER(c_void_p)
_error = POINTER(ErrorStruct)
_list_arguments = [c_char_p, c_char_p, POINTER(Value), c_size_t, POINTER(ListOptions), _out_pointer]

# Arguments and results. The calls that only return what an object holds, or free it, keep Python's
# lock (GIL): to give it away takes longer than they do.
_CALLS = {
    "open": ([c_char_p, POINTER(Options), _out_pointer, _error], c_int32),
    "list_rows": ([c_void_p, *_list_arguments, _error], c_int32),
    "snapshot_begin": ([c_void_p, _out_pointer, _error], c_int32),
    "snapshot_list_rows": ([c_void_p, *_list_arguments, _error], c_int32),
    "get_table": ([c_void_p, c_char_p, c_char_p, _out_pointer, _error], c_int32),
    "list_tables": ([c_void_p, _out_pointer, _error], c_int32),
    "get_sequence": ([c_void_p, POINTER(c_int64), _error], c_int32),
    "wait_for_sequence": ([c_void_p, c_int64, c_int64, _error], c_int32),
    "get_position": ([c_void_p, POINTER(Position), _error], c_int32),
    "get_stats": ([c_void_p, POINTER(Stats), _error], c_int32),
    "close": ([c_void_p], None),
    "rows_close": ([c_void_p], None),
    "snapshot_end": ([c_void_p], None),
    "pickle_row": ([c_void_p, c_char_p, c_size_t], c_int64),
    "pickle_snapshot_row": ([c_void_p, c_void_p, c_char_p, c_size_t], c_int64),
    "pickle_rows": ([c_void_p, c_void_p, c_size_t], c_int64),
}
_SHORT_CALLS = {
    "abi_version": ([], c_int32),
    "version": ([], c_char_p),
    "options_init": ([POINTER(Options), c_size_t], None),
    "path": ([c_void_p], c_char_p),
    "snapshot_sequence": ([c_void_p], c_int64),
    "tables_size": ([c_void_p], c_size_t),
    "tables_at": ([c_void_p, c_size_t], c_void_p),
    "tables_free": ([c_void_p], None),
    "table_family": ([c_void_p], c_char_p),
    "table_name": ([c_void_p], c_char_p),
    "table_size": ([c_void_p], c_size_t),
    "table_field_name": ([c_void_p, c_size_t], c_char_p),
    "table_field_type": ([c_void_p, c_size_t], c_char_p),
    "table_key_size": ([c_void_p], c_size_t),
    "table_key_name": ([c_void_p, c_size_t], c_char_p),
    "pickler_new": ([c_void_p], c_void_p),
    "pickler_free": ([c_void_p], None),
    "pickler_data": ([c_void_p, POINTER(c_size_t)], c_void_p),
    "pickler_error": ([c_void_p], POINTER(ErrorStruct)),
}


def _find() -> str:
    named = os.environ.get("CTLSTORE_LIBRARY")
    if named:
        return named
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), _NAME)
    return beside if os.path.exists(beside) else _NAME


class _Library:
    """The functions, as attributes, by their names without "ctlstore_"."""

    def __init__(self, path: str) -> None:
        try:
            calls, short_calls = ctypes.CDLL(path), ctypes.PyDLL(path)
        except OSError as error:
            raise ImportError(
                f"cannot load {path} ({error}); set CTLSTORE_LIBRARY to the path of {_NAME}"
            ) from None
        for library, signatures in ((calls, _CALLS), (short_calls, _SHORT_CALLS)):
            for name, (arguments, result) in signatures.items():
                try:
                    function = library["ctlstore_" + name]
                except AttributeError:
                    raise ImportError(f"{path} is another version: it has no {name}") from None
                function.argtypes = arguments
                function.restype = result
                setattr(self, name, function)
        if self.abi_version() < _ABI_VERSION:
            raise ImportError(f"{path} is too old: ABI version {self.abi_version()}")

    def __getattr__(self, name: str) -> ctypes._CFuncPtr:
        raise AttributeError(name)


lib = _Library(_find())
