"""Keys, as libctlstore.so takes them."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence

from ctlstore._errors import InvalidArgument
from ctlstore._library import BYTES, DECIMAL, INTEGER, NULL, TEXT, Value

# A text's beginning in a request, by its size.
_TEXT_HEADS = [b"t" + struct.pack("<I", size) for size in range(1024)]
_SIZE = struct.Struct("<cI").pack
_INTEGER = struct.Struct("<cq").pack
_DECIMAL = struct.Struct("<cd").pack


def _not_a_value(value: object) -> TypeError:
    return TypeError(
        f"a key's value is a str, an int, a float, bytes or None, not {type(value).__name__}"
    )


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"a key's text is not Unicode: {error}", "INVALID_VALUE") from None


def _out_of_range(value: int) -> InvalidArgument:
    return InvalidArgument(
        f"a key's integer has {value.bit_length()} bits; it must be from -2**63 to 2**63 - 1",
        "INVALID_VALUE",
    )


def _exact(value: object) -> object:
    """A value of a subclass as one of the types themselves; bool is refused."""
    if type(value) in (str, int, float, bytes):
        return value
    if isinstance(value, bool):
        raise _not_a_value(value)
    for kind in (int, float, bytes):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, str):
        # Not str(value), which a subclass may have changed.
        return "".join(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    raise _not_a_value(value)


def request_of(value: object) -> bytes:
    """One value in a request (ctlstore_pickler.h)."""
    kind = type(value)
    if kind is str:
        data = _encode(value)
        size = len(data)
        return (_TEXT_HEADS[size] if size < 1024 else _SIZE(b"t", size)) + data
    if kind is int:
        try:
            return _INTEGER(b"i", value)
        except struct.error:
            raise _out_of_range(value) from None
    if kind is bytes:
        return _SIZE(b"b", len(value)) + value
    if value is None:
        return b"n"
    if kind is float:
        return _DECIMAL(b"d", value)
    return request_of(_exact(value))


def values_of(values: Sequence[object]) -> ctypes.Array[Value]:
    """Values as an array for ctlstore.h. It keeps what they point at."""
    array = (Value * len(values))()
    for to, value in zip(array, values):
        if value is None:
            to.type = NULL
            continue
        value = _exact(value)
        if isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise _out_of_range(value)
            to.type, to.integer = INTEGER, value
        elif isinstance(value, float):
            to.type, to.decimal = DECIMAL, value
        else:
            data = _encode(value) if isinstance(value, str) else value
            to.type = TEXT if isinstance(value, str) else BYTES
            to.data, to.size = data, len(data)
    return array


def name_of(what: str, name: object) -> bytes:
    """A family's or a table's name, without the NUL that must stand behind it."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a str, not {type(name).__name__}")
    if "\0" in name:
        raise InvalidArgument(f"{what} has a NUL character", "INVALID_NAME")
    return _encode(name)
