"""Server reflection and the standard health service, as a client without any files uses them.

Debian has no Python packages for the two protocols, so the few messages are described here.
"""

from typing import Any, Dict, Iterator, List, Set

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from harness.client import CALL_TIMEOUT_S

_FieldProto = descriptor_pb2.FieldDescriptorProto


def _message(
    file: descriptor_pb2.FileDescriptorProto, name: str, fields: Dict[str, Any]
) -> None:
    """Adds a message; a field is name -> (number, scalar type or message name, repeated)."""
    message = file.message_type.add(name=name)
    for field_name, (number, kind, repeated) in fields.items():
        label = _FieldProto.LABEL_REPEATED if repeated else _FieldProto.LABEL_OPTIONAL
        field = message.field.add(name=field_name, number=number, label=label)
        if isinstance(kind, str):
            field.type = _FieldProto.TYPE_MESSAGE
            field.type_name = f".{file.package}.{kind}"
        else:
            field.type = kind


def _reflection_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="e2e/reflection.proto", package="grpc.reflection.v1alpha", syntax="proto2"
    )
    text, data = _FieldProto.TYPE_STRING, _FieldProto.TYPE_BYTES
    _message(
        file,
        "ServerReflectionRequest",
        {"file_containing_symbol": (4, text, False), "list_services": (7, text, False)},
    )
    _message(file, "FileDescriptorResponse", {"file_descriptor_proto": (1, data, True)})
    _message(file, "ServiceResponse", {"name": (1, text, False)})
    _message(file, "ListServiceResponse", {"service": (1, "ServiceResponse", True)})
    _message(file, "ErrorResponse", {"error_message": (2, text, False)})
    _message(
        file,
        "ServerReflectionResponse",
        {
            "file_descriptor_response": (4, "FileDescriptorResponse", False),
            "list_services_response": (6, "ListServiceResponse", False),
            "error_response": (7, "ErrorResponse", False),
        },
    )
    return file


def _health_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="e2e/health.proto", package="grpc.health.v1", syntax="proto2"
    )
    _message(file, "HealthCheckRequest", {"service": (1, _FieldProto.TYPE_STRING, False)})
    # On the wire an enum is an int32.
    _message(file, "HealthCheckResponse", {"status": (1, _FieldProto.TYPE_INT32, False)})
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_reflection_file())
_pool.Add(_health_file())


def _class(name: str, pool: descriptor_pool.DescriptorPool = _pool) -> Any:
    return message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(name))


_ReflectionRequest = _class("grpc.reflection.v1alpha.ServerReflectionRequest")
_ReflectionResponse = _class("grpc.reflection.v1alpha.ServerReflectionResponse")
_HealthRequest = _class("grpc.health.v1.HealthCheckRequest")
_HealthResponse = _class("grpc.health.v1.HealthCheckResponse")

HEALTH_SERVING = 1
HEALTH_NOT_SERVING = 2


def check_health(channel: grpc.Channel, service: str = "") -> int:
    """The serving status; raises grpc.RpcError where the server does not answer."""
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=_HealthRequest.SerializeToString,
        response_deserializer=_HealthResponse.FromString,
    )
    return call(_HealthRequest(service=service), timeout=CALL_TIMEOUT_S).status


def list_services(channel: grpc.Channel) -> Set[str]:
    response = _ask(channel, _ReflectionRequest(list_services=""))
    return {service.name for service in response.list_services_response.service}


class DynamicClient:
    """Calls a service knowing nothing but what reflection says about it."""

    def __init__(self, channel: grpc.Channel, service: str) -> None:
        self._channel = channel
        self._pool = descriptor_pool.DescriptorPool()
        response = _ask(channel, _ReflectionRequest(file_containing_symbol=service))
        files: Dict[str, descriptor_pb2.FileDescriptorProto] = {}
        for data in response.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            files[file.name] = file
        for file in _dependencies_first(files):
            self._pool.Add(file)
        self._service = self._pool.FindServiceByName(service)

    def methods(self) -> List[str]:
        return [method.name for method in self._service.methods]

    def call(self, method_name: str, **request_fields: Any) -> Any:
        """A unary call; returns the response message."""
        method = self._service.FindMethodByName(method_name)
        request_class = _class(method.input_type.full_name, self._pool)
        response_class = _class(method.output_type.full_name, self._pool)
        call = self._channel.unary_unary(
            f"/{self._service.full_name}/{method_name}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        return call(request_class(**request_fields), timeout=CALL_TIMEOUT_S)


def _ask(channel: grpc.Channel, request: Any) -> Any:
    call = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=_ReflectionRequest.SerializeToString,
        response_deserializer=_ReflectionResponse.FromString,
    )
    response = next(call(iter([request]), timeout=CALL_TIMEOUT_S))
    assert not response.HasField("error_response"), response.error_response.error_message
    return response


def _dependencies_first(
    files: Dict[str, descriptor_pb2.FileDescriptorProto]
) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    done: Set[str] = set()

    def visit(name: str) -> Iterator[descriptor_pb2.FileDescriptorProto]:
        if name in done or name not in files:
            return
        done.add(name)
        for dependency in files[name].dependency:
            yield from visit(dependency)
        yield files[name]

    for name in files:
        yield from visit(name)
