"""The served APIs as a client in another language sees them: grpcio and generated stubs."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

import grpc
from ctlstore.v1 import executive_pb2 as ex
from ctlstore.v1 import (
    executive_pb2_grpc,
    reflector_pb2,
    reflector_pb2_grpc,
    schema_pb2,
    sidecar_pb2_grpc,
    supervisor_pb2,
    supervisor_pb2_grpc,
)
from ctlstore.v1 import sidecar_pb2 as sc
from google.rpc import error_details_pb2, status_pb2

from harness.values import PythonValue, mutate_request, row_values, value

CALL_TIMEOUT_S = 20.0

# A server that was killed comes back in milliseconds; the client is to notice as quickly. Channels
# don't share connections, so that each has its own back-off.
_CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 20),
    # In spite of its name: how long an attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.enable_http_proxy", 0),
]


def open_channel(
    address: str, credentials: Optional[grpc.ChannelCredentials] = None
) -> grpc.Channel:
    """With TLS where there are credentials."""
    if credentials is not None:
        return grpc.secure_channel(address, credentials, options=_CHANNEL_OPTIONS)
    return grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)


@dataclass
class Failure:
    """An error answer, taken apart."""

    code: grpc.StatusCode
    message: str
    reason: Optional[str] = None
    domain: Optional[str] = None
    fields: List[str] = field(default_factory=list)
    retry_delay_s: Optional[float] = None

    @property
    def definitely_not_applied(self) -> bool:
        """Whether the executive itself says so: any answer of its own, but one."""
        return self.reason is not None and self.reason != "OUTCOME_UNKNOWN"


def failure_of(error: grpc.RpcError) -> Failure:
    failure = Failure(error.code(), error.details() or "")
    for key, data in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        status = status_pb2.Status.FromString(data)
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            bad_request = error_details_pb2.BadRequest()
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                failure.reason, failure.domain = info.reason, info.domain
            elif detail.Unpack(bad_request):
                failure.fields = [v.field for v in bad_request.field_violations]
            elif detail.Unpack(retry):
                failure.retry_delay_s = retry.retry_delay.ToTimedelta().total_seconds()
    return failure


@dataclass(frozen=True)
class Writer:
    """Who writes."""

    name: str
    secret: str

    @property
    def metadata(self) -> Sequence[Tuple[str, str]]:
        return (("ctlstore-writer", self.name), ("ctlstore-secret", self.secret))


class ExecutiveClient:
    """One executive. Each call raises grpc.RpcError; see failure_of(). Thread-safe."""

    def __init__(
        self,
        address: str,
        writer: Optional[Writer] = None,
        credentials: Optional[grpc.ChannelCredentials] = None,
    ) -> None:
        self.channel = open_channel(address, credentials)
        self.stub = executive_pb2_grpc.ExecutiveStub(self.channel)
        self.writer = writer

    def close(self) -> None:
        self.channel.close()

    def register(self, writer: Writer, **call: Any) -> None:
        request = ex.RegisterWriterRequest(writer=writer.name, secret=writer.secret)
        self.stub.RegisterWriter(request, **_with_timeout(call))

    def create_family(self, family: str, **call: Any) -> None:
        self.stub.CreateFamily(ex.CreateFamilyRequest(family=family), **_with_timeout(call))

    def create_table(self, table: schema_pb2.Table, **call: Any) -> int:
        request = ex.CreateTableRequest(table=table)
        return self.stub.CreateTable(request, **_with_timeout(call)).sequence

    def create_tables(self, tables: Sequence[schema_pb2.Table], **call: Any) -> int:
        request = ex.CreateTablesRequest(tables=tables)
        return self.stub.CreateTables(request, **_with_timeout(call)).sequence

    def add_fields(
        self, family: str, table: str, fields: Sequence[schema_pb2.Field], **call: Any
    ) -> int:
        request = ex.AddFieldsRequest(family=family, table=table, fields=fields)
        return self.stub.AddFields(request, **_with_timeout(call)).sequence

    def drop_table(self, family: str, table: str, **call: Any) -> int:
        request = ex.DropTableRequest(family=family, table=table)
        return self.stub.DropTable(request, **_with_timeout(call)).sequence

    def clear_table(self, family: str, table: str, **call: Any) -> int:
        request = ex.ClearTableRequest(family=family, table=table)
        return self.stub.ClearTable(request, **_with_timeout(call)).sequence

    def clear_family(self, family: str, **call: Any) -> int:
        request = ex.ClearFamilyRequest(family=family)
        return self.stub.ClearFamily(request, **_with_timeout(call)).sequence

    def get_table(self, family: str, table: str, **call: Any) -> schema_pb2.Table:
        request = ex.GetTableRequest(family=family, table=table)
        return self.stub.GetTable(request, **_with_timeout(call)).table

    def list_tables(self, family: str = "", **call: Any) -> List[schema_pb2.Table]:
        request = ex.ListTablesRequest(family=family)
        return list(self.stub.ListTables(request, **_with_timeout(call)).tables)

    def list_families(self, **call: Any) -> List[str]:
        request = ex.ListFamiliesRequest()
        return list(self.stub.ListFamilies(request, **_with_timeout(call)).families)

    def list_table_limits(self, **call: Any) -> ex.ListTableLimitsResponse:
        return self.stub.ListTableLimits(ex.ListTableLimitsRequest(), **_with_timeout(call))

    def set_table_limit(
        self, family: str, table: str, warn_bytes: int, max_bytes: int, **call: Any
    ) -> None:
        size = ex.TableSizeLimit(warn_bytes=warn_bytes, max_bytes=max_bytes)
        limit = ex.TableLimit(family=family, table=table, limit=size)
        self.stub.SetTableLimit(ex.SetTableLimitRequest(limit=limit), **_with_timeout(call))

    def delete_table_limit(self, family: str, table: str, **call: Any) -> None:
        request = ex.DeleteTableLimitRequest(family=family, table=table)
        self.stub.DeleteTableLimit(request, **_with_timeout(call))

    def list_writer_limits(self, **call: Any) -> ex.ListWriterLimitsResponse:
        return self.stub.ListWriterLimits(ex.ListWriterLimitsRequest(), **_with_timeout(call))

    def set_writer_limit(self, writer: str, rows: int, period_s: int, **call: Any) -> None:
        limit = ex.WriterLimit(writer=writer, limit=ex.WriterRateLimit(rows=rows))
        limit.limit.period.seconds = period_s
        self.stub.SetWriterLimit(ex.SetWriterLimitRequest(limit=limit), **_with_timeout(call))

    def delete_writer_limit(self, writer: str, **call: Any) -> None:
        request = ex.DeleteWriterLimitRequest(writer=writer)
        self.stub.DeleteWriterLimit(request, **_with_timeout(call))

    def status(self, **call: Any) -> ex.GetExecutiveStatusResponse:
        return self.stub.GetStatus(ex.GetExecutiveStatusRequest(), **_with_timeout(call))

    def prune_ledger(self, dry_run: bool = False, **call: Any) -> ex.PruneLedgerResponse:
        request = ex.PruneLedgerRequest(dry_run=dry_run)
        return self.stub.PruneLedger(request, **_with_timeout(call))

    def get_cookie(self, writer: Optional[Writer] = None, **call: Any) -> bytes:
        request = ex.GetCookieRequest()
        call.setdefault("metadata", self._metadata(writer))
        return self.stub.GetCookie(request, **_with_timeout(call)).cookie

    def set_cookie(self, cookie: bytes, writer: Optional[Writer] = None, **call: Any) -> None:
        request = ex.SetCookieRequest(cookie=cookie)
        call.setdefault("metadata", self._metadata(writer))
        self.stub.SetCookie(request, **_with_timeout(call))

    def mutate(
        self,
        family: str,
        mutations: Sequence[ex.Mutation],
        cookie: Optional[bytes] = None,
        check_cookie: Optional[bytes] = None,
        writer: Optional[Writer] = None,
        **call: Any,
    ) -> int:
        """Returns the ledger sequence."""
        request = mutate_request(family, mutations, cookie, check_cookie)
        call.setdefault("metadata", self._metadata(writer))
        return self.stub.Mutate(request, **_with_timeout(call)).sequence

    def _metadata(self, writer: Optional[Writer]) -> Sequence[Tuple[str, str]]:
        writer = writer or self.writer
        return writer.metadata if writer else ()


class SidecarClient:
    """One sidecar. Each call raises grpc.RpcError; see failure_of(). Thread-safe."""

    def __init__(self, address: str) -> None:
        self.channel = open_channel(address)
        self.stub = sidecar_pb2_grpc.SidecarStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def get_row(
        self,
        family: str,
        table: str,
        key: Sequence[PythonValue],
        min_sequence: int = 0,
        **call: Any,
    ) -> Optional[Dict[str, PythonValue]]:
        """None where there is no such row."""
        request = sc.GetRowRequest(
            family=family,
            table=table,
            key=[value(v) for v in key],
            min_sequence=min_sequence,
        )
        response = self.stub.GetRow(request, **_with_timeout(call))
        return row_values(response.row) if response.HasField("row") else None

    def list_rows(
        self,
        family: str,
        table: str,
        key_prefix: Sequence[PythonValue] = (),
        limit: int = 0,
        **call: Any,
    ) -> Tuple[List[Dict[str, PythonValue]], bool]:
        """The rows, and whether the limit left some out."""
        request = sc.ListRowsRequest(
            family=family, table=table, key_prefix=[value(v) for v in key_prefix], limit=limit
        )
        rows: List[Dict[str, PythonValue]] = []
        truncated = False
        for page in self.stub.ListRows(request, **_with_timeout(call)):
            rows.extend(row_values(row) for row in page.rows)
            truncated = page.truncated
        return rows, truncated

    def batch_get_rows(
        self,
        keys: Sequence[Tuple[str, str, Sequence[PythonValue]]],
        min_sequence: int = 0,
        **call: Any,
    ) -> Tuple[List[Optional[Dict[str, PythonValue]]], int]:
        """A row or None for each family, table and key; and the sequence that they are from."""
        request = sc.BatchGetRowsRequest(min_sequence=min_sequence)
        for family, table, key in keys:
            request.keys.add(family=family, table=table, key=[value(v) for v in key])
        response = self.stub.BatchGetRows(request, **_with_timeout(call))
        rows = [row_values(row.row) if row.HasField("row") else None for row in response.rows]
        return rows, response.sequence

    def wait_for_sequence(self, sequence: int, **call: Any) -> int:
        """Returns what is applied."""
        request = sc.WaitForSequenceRequest(sequence=sequence)
        return self.stub.WaitForSequence(request, **_with_timeout(call)).applied_sequence

    def get_table(self, family: str, table: str, **call: Any) -> schema_pb2.Table:
        request = sc.SidecarGetTableRequest(family=family, table=table)
        return self.stub.GetTable(request, **_with_timeout(call)).table

    def list_tables(self, family: str = "", **call: Any) -> List[schema_pb2.Table]:
        request = sc.SidecarListTablesRequest(family=family)
        return list(self.stub.ListTables(request, **_with_timeout(call)).tables)

    def status(self, **call: Any) -> sc.GetStatusResponse:
        return self.stub.GetStatus(sc.GetStatusRequest(), **_with_timeout(call))


class ReflectorClient:
    """One reflector that keeps one LDB. Each call raises grpc.RpcError. Thread-safe."""

    def __init__(self, address: str) -> None:
        self.channel = open_channel(address)
        self.stub = reflector_pb2_grpc.ReflectorStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def status(self, **call: Any) -> reflector_pb2.LdbStatus:
        request = reflector_pb2.GetReflectorStatusRequest()
        call.setdefault("wait_for_ready", True)
        (status,) = self.stub.GetStatus(request, **_with_timeout(call)).ldbs
        return status

    def state(self) -> str:
        """The state's name in the API."""
        return reflector_pb2.ReflectorState.Name(self.status().state)

    def rebuild(self, **call: Any) -> None:
        self.stub.Rebuild(reflector_pb2.RebuildRequest(), **_with_timeout(call))


class SupervisorClient:
    """One supervisor. Each call raises grpc.RpcError; see failure_of(). Thread-safe."""

    def __init__(self, address: str) -> None:
        self.channel = open_channel(address)
        self.stub = supervisor_pb2_grpc.SupervisorStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def take_snapshot(self, **call: Any) -> supervisor_pb2.TakeSnapshotResponse:
        return self.stub.TakeSnapshot(
            supervisor_pb2.TakeSnapshotRequest(), **_with_timeout(call)
        )

    def list_snapshots(self, **call: Any) -> supervisor_pb2.ListSnapshotsResponse:
        return self.stub.ListSnapshots(
            supervisor_pb2.ListSnapshotsRequest(), **_with_timeout(call)
        )

    def status(self, **call: Any) -> supervisor_pb2.GetSupervisorStatusResponse:
        call.setdefault("wait_for_ready", True)
        return self.stub.GetStatus(
            supervisor_pb2.GetSupervisorStatusRequest(), **_with_timeout(call)
        )


def _with_timeout(call: Dict[str, Any]) -> Dict[str, Any]:
    call.setdefault("timeout", CALL_TIMEOUT_S)
    return call
