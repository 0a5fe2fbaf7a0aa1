"""A whole ctlstore: executives on one ctldb, and hosts with a reflector and a sidecar each."""

import re
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import grpc

from harness.client import (
    ExecutiveClient,
    ReflectorClient,
    SidecarClient,
    SupervisorClient,
    Writer,
    failure_of,
    open_channel,
)
from harness.compare import assert_same, wait_until_caught_up
from harness.ctldb import Ctldb
from harness.process import Process
from harness.reflection import HEALTH_SERVING, check_health
from harness.snapshot import CtldbSnapshot
from harness.sqlite_content import read_ldb_sequence
from harness.waiting import wait_until

# Where the binaries lie, from the folder in which Bazel runs tests.
BINARIES: Dict[str, str] = {
    "executive": "executive/executive",
    "reflector": "reflector/reflector",
    "sidecar": "sidecar/sidecar",
    "heartbeat": "heartbeat/heartbeat",
    "supervisor": "supervisor/supervisor",
    "ctlstore": "cli/ctlstore",
    "read_checker": "e2e/read_checker",
}

POLL_INTERVAL_MS = 20


def binary(name: str) -> str:
    return str(Path(BINARIES[name]).absolute())


# How to run a service: the command line up to its flags, by the service's name.
Launcher = Callable[[str], List[str]]


def by_own_binary(service: str) -> List[str]:
    return [binary(service)]


def by_ctlstore(service: str) -> List[str]:
    """As a subcommand of the one program that has all of them."""
    return [binary("ctlstore"), service]


def tcp_address(process: Process) -> str:
    """The address that the server chose for `127.0.0.1:0`, as its log tells."""
    started = re.findall(r"event=\w+_started .*?listen=\S*?(127\.0\.0\.1:\d+)", process.log())
    assert started, f"{process.name} does not log where it listens"
    return started[-1]


def started_at(process: Process, service: str, name: str) -> str:
    """What follows `name=` in the line that the service logs just after it begins to serve."""
    started = wait_until(
        lambda: re.search(rf"event={service}_started.*\n", process.log_since_start()),
        f"{process.name} logs where it serves",
    )
    address = re.search(rf" {name}=(\S+)", started.group(0))
    assert address is not None, started.group(0)
    return address.group(1)


def wait_until_serving(process: Process, address: str) -> None:
    """Returns once the server says that it serves; fails at once when the process ends."""

    def serving() -> bool:
        if not process.running():
            raise AssertionError(f"{process.name} ended by itself:\n{process.log()[-4000:]}")
        channel = open_channel(address)
        try:
            return check_health(channel) == HEALTH_SERVING
        except grpc.RpcError:
            return False
        finally:
            channel.close()

    wait_until(serving, f"{process.name} serves at {address}")


class Executive:
    """An executive's process. It listens on a Unix socket, and on TCP ports that are free.

    Writers may write as much as they like, unless `flags` say otherwise.
    """

    def __init__(
        self,
        name: str,
        ctldb: Ctldb,
        socket_folder: Path,
        log_folder: Path,
        launcher: Launcher,
        flags: Sequence[str] = (),
    ) -> None:
        self.address = f"unix:{socket_folder / name}.sock"
        self.process = Process(
            name,
            [
                *launcher("executive"),
                f"--ctldb={ctldb.url}",
                f"--listen={self.address},127.0.0.1:0",
                "--http_port=0",
                "--metrics_port=0",
                "--writer_max_rows=0",
                *flags,
            ],
            log_folder,
        )

    def start(self) -> None:
        self.process.start()

    def http_address(self) -> str:
        """Where it serves HTTP, once it serves."""
        return self._started("http")

    def metrics_address(self) -> str:
        """Where its metrics are, once it serves."""
        return self._started("metrics")

    def tcp_address(self) -> str:
        """Its free TCP port for gRPC, once it serves."""
        return self._started("listen").split(",")[1]

    def _started(self, name: str) -> str:
        return started_at(self.process, "executive", name)

    def wait_until_serving(self) -> None:
        wait_until_serving(self.process, self.address)

    def restart_after_kill(self) -> None:
        self.process.kill()
        self.process.start()
        self.wait_until_serving()


class Host:
    """A host: a reflector that keeps an LDB, and a sidecar that serves it.

    The reflector asks the ctldb, unless `upstreams` (URLs) say otherwise.
    """

    def __init__(
        self,
        name: str,
        ctldb: Ctldb,
        folder: Path,
        socket_folder: Path,
        launcher: Launcher,
        upstreams: Sequence[str] = (),
        reflector_flags: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.ldb_path = folder / name / "ldb.db"
        self.sidecar_address = f"unix:{socket_folder / name}.sock"
        self.reflector_address = f"unix:{socket_folder / name}-reflector.sock"
        source = f"--upstream={','.join(upstreams)}" if upstreams else f"--ctldb={ctldb.url}"
        self.reflector = Process(
            f"{name}-reflector",
            [
                *launcher("reflector"),
                source,
                f"--ldb={self.ldb_path}",
                f"--listen={self.reflector_address}",
                f"--poll_interval_ms={POLL_INTERVAL_MS}",
                *reflector_flags,
            ],
            folder,
        )
        self.sidecar = Process(
            f"{name}-sidecar",
            [
                *launcher("sidecar"),
                f"--ldb={self.ldb_path}",
                f"--listen={self.sidecar_address},127.0.0.1:0",
                "--http_port=0",
            ],
            folder,
        )
        self.client = SidecarClient(self.sidecar_address)
        self.reflector_client = ReflectorClient(self.reflector_address)

    def start(self) -> None:
        self.reflector.start()
        self.sidecar.start()

    def sidecar_http_address(self) -> str:
        """Where the sidecar serves HTTP, once it serves."""
        return started_at(self.sidecar, "sidecar", "http")

    def wait_until_serving(self) -> None:
        wait_until_serving(self.sidecar, self.sidecar_address)
        wait_until(self._answers, f"{self.name} has an LDB")

    def restart_reflector_after_kill(self) -> None:
        self.reflector.kill()
        self.reflector.start()

    def applied_sequence(self) -> int:
        """What the file itself says."""
        return read_ldb_sequence(self.ldb_path)

    def _answers(self) -> bool:
        """Whether the sidecar has found an LDB, which the reflector makes."""
        try:
            self.client.status()
            return True
        except grpc.RpcError as error:
            failure = failure_of(error)
            assert failure.reason == "LDB_UNAVAILABLE", failure
            return False


class Supervisor:
    """A supervisor's process, with an LDB of its own.

    Snapshots are taken on demand only, unless `flags` say otherwise.
    """

    def __init__(
        self,
        name: str,
        ctldb: Ctldb,
        folder: Path,
        socket_folder: Path,
        launcher: Launcher,
        urls: Sequence[str],
        flags: Sequence[str] = (),
        environment: Optional[Dict[str, str]] = None,
    ) -> None:
        self.ldb_path = folder / name / "ldb.db"
        self.work_path = folder / name / "ldb.db.snapshots"
        self.address = f"unix:{socket_folder / name}.sock"
        self.process = Process(
            name,
            [
                *launcher("supervisor"),
                f"--ctldb={ctldb.url}",
                f"--ldb={self.ldb_path}",
                f"--listen={self.address}",
                f"--poll_interval_ms={POLL_INTERVAL_MS}",
                f"--snapshot_urls={','.join(urls)}",
                "--snapshot_interval_s=0",
                "--metrics_port=0",
                *flags,
            ],
            folder,
            environment,
        )
        self.client = SupervisorClient(self.address)

    def start(self) -> None:
        self.process.start()

    def wait_until_serving(self) -> None:
        """Until its copy is ready, so that snapshots can be taken."""
        wait_until_serving(self.process, self.address)
        # A server may be said to serve for a moment before it knows better.
        wait_until(lambda: not self.client.status().not_ready, "the supervisor's copy is ready")

    def leftovers(self) -> List[str]:
        """What is in its work folder between two snapshots, and should not be."""
        names = [path.name for path in self.work_path.glob("*")]
        return [name for name in names if name != "ctlstore-snapshot.lock"]


class Cluster:
    """All processes of one ctlstore, on one machine."""

    def __init__(
        self,
        ctldb: Ctldb,
        folder: Path,
        socket_folder: Path,
        executives: int = 1,
        hosts: int = 1,
        launcher: Launcher = by_own_binary,
        executive_flags: Sequence[str] = (),
    ) -> None:
        self.ctldb = ctldb
        self.writer = Writer("e2e writer", "a secret of the e2e tests")
        self._new_host = lambda name, **options: Host(
            name, ctldb, folder, socket_folder, launcher, **options
        )
        self.executives = [
            Executive(f"executive{i}", ctldb, socket_folder, folder, launcher, executive_flags)
            for i in range(executives)
        ]
        self.hosts = [self._new_host(f"host{i}") for i in range(hosts)]
        self._new_supervisor = lambda name, **options: Supervisor(
            name, ctldb, folder, socket_folder, launcher, **options
        )
        self.supervisors: List[Supervisor] = []
        self._clients: List[ExecutiveClient] = []

    def start(self) -> None:
        """Returns once everything serves; the writer is registered then."""
        for executive in self.executives:
            executive.start()
        for executive in self.executives:
            executive.wait_until_serving()
        self.client().register(self.writer)
        for host in self.hosts:
            host.start()
        for host in self.hosts:
            host.wait_until_serving()

    def add_host(
        self,
        upstreams: Sequence[str] = (),
        reflector_flags: Sequence[str] = (),
        wait: bool = True,
    ) -> Host:
        """One more host, which serves when this returns, where `wait`."""
        host = self._new_host(
            f"host{len(self.hosts)}", upstreams=upstreams, reflector_flags=reflector_flags
        )
        self.hosts.append(host)
        host.start()
        if wait:
            host.wait_until_serving()
        return host

    def add_supervisor(
        self,
        urls: Sequence[str],
        flags: Sequence[str] = (),
        environment: Optional[Dict[str, str]] = None,
    ) -> Supervisor:
        """One more supervisor, which can take snapshots when this returns."""
        supervisor = self._new_supervisor(
            f"supervisor{len(self.supervisors)}", urls=urls, flags=flags, environment=environment
        )
        self.supervisors.append(supervisor)
        supervisor.start()
        supervisor.wait_until_serving()
        return supervisor

    def client(self, executive: int = 0, writer: Optional[Writer] = None) -> ExecutiveClient:
        """A new client of an executive, as the cluster's writer unless told otherwise."""
        client = ExecutiveClient(self.executives[executive].address, writer or self.writer)
        self._clients.append(client)
        return client

    def stop(self) -> None:
        """Stops what runs, without caring how."""
        for client in self._clients:
            client.close()
        for host in self.hosts:
            host.client.close()
            host.reflector_client.close()
            host.sidecar.kill()
            host.reflector.kill()
        for supervisor in self.supervisors:
            supervisor.client.close()
            supervisor.process.kill()
        for executive in self.executives:
            executive.process.kill()

    def wait_until_caught_up(self) -> None:
        for host in self.hosts:
            wait_until_caught_up(self.ctldb, host.ldb_path)

    def assert_all_same(self, pruned: bool = False) -> CtldbSnapshot:
        """Every host's LDB says what the ctldb says. Nothing may be written meanwhile.

        `pruned`: the ledger may begin anywhere.
        """
        self.wait_until_caught_up()
        snapshots = [assert_same(self.ctldb, host.ldb_path, pruned) for host in self.hosts]
        return snapshots[0]
