"""Short ways to write tables, rows and values in tests."""

from typing import Dict, Iterable, List, Optional, Tuple, Union

from ctlstore.v1 import executive_pb2, schema_pb2, value_pb2

PythonValue = Union[None, str, int, float, bytes]

FIELD_TYPES: Dict[str, int] = {
    "string": schema_pb2.STRING,
    "integer": schema_pb2.INTEGER,
    "decimal": schema_pb2.DECIMAL,
    "text": schema_pb2.TEXT,
    "binary": schema_pb2.BINARY,
    "bytestring": schema_pb2.BYTESTRING,
}


def value(python_value: PythonValue) -> value_pb2.Value:
    """The Value that holds exactly this."""
    if python_value is None:
        return value_pb2.Value(null=0)
    if isinstance(python_value, str):
        return value_pb2.Value(text=python_value)
    if isinstance(python_value, bytes):
        return value_pb2.Value(bytes=python_value)
    if isinstance(python_value, float):
        return value_pb2.Value(decimal=python_value)
    return value_pb2.Value(integer=python_value)


def python_value(proto: value_pb2.Value) -> PythonValue:
    """The reverse of value()."""
    kind = proto.WhichOneof("kind")
    assert kind is not None, "a Value without any member"
    return None if kind == "null" else getattr(proto, kind)


def row_values(row: value_pb2.Row) -> Dict[str, PythonValue]:
    return {name: python_value(proto) for name, proto in row.values.items()}


def fields(definitions: Iterable[Tuple[str, str]]) -> List[schema_pb2.Field]:
    return [schema_pb2.Field(name=name, type=FIELD_TYPES[kind]) for name, kind in definitions]


def table(
    family: str, name: str, definitions: Iterable[Tuple[str, str]], key: Iterable[str]
) -> schema_pb2.Table:
    return schema_pb2.Table(
        family=family, name=name, fields=fields(definitions), key_fields=list(key)
    )


def upsert(table_name: str, row: Dict[str, PythonValue]) -> executive_pb2.Mutation:
    return _mutation(table_name, row, delete=False)


def delete(table_name: str, key: Dict[str, PythonValue]) -> executive_pb2.Mutation:
    return _mutation(table_name, key, delete=True)


def _mutation(
    table_name: str, row: Dict[str, PythonValue], delete: bool
) -> executive_pb2.Mutation:
    mutation = executive_pb2.Mutation(table=table_name, delete=delete)
    for name, field_value in row.items():
        mutation.values[name].CopyFrom(value(field_value))
    return mutation


def mutate_request(
    family: str,
    mutations: Iterable[executive_pb2.Mutation],
    cookie: Optional[bytes] = None,
    check_cookie: Optional[bytes] = None,
) -> executive_pb2.MutateRequest:
    return executive_pb2.MutateRequest(
        family=family, mutations=list(mutations), cookie=cookie, check_cookie=check_cookie
    )
