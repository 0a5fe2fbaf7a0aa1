"""A TCP proxy between a client and a server, which can be made to fail as networks do."""

import select
import socket
import struct
import threading
from typing import Any, Callable, List

_CHUNK = 1 << 16
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TcpProxy:
    """Listens on 127.0.0.1 and passes everything on to `target`, "127.0.0.1:port".

    In the beginning it passes. Thread-safe.
    """

    def __init__(self, target: str) -> None:
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        # Connections that it has passed on, since the beginning.
        self.connections = 0
        self._passing = threading.Event()
        self._passing.set()
        self._refusing = False
        # Its reading end becomes readable to all connections at once when the other end is closed.
        self._end_reader, self._end_writer = socket.socketpair()
        self._old_ends: List[socket.socket] = []
        self._threads: List[threading.Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        """Resets every connection, and each new one."""
        self._refusing = True
        writer = self._end_writer
        self._old_ends.append(self._end_reader)
        self._end_reader, self._end_writer = socket.socketpair()
        writer.close()
        self._passing.set()

    def hang(self) -> None:
        """Passes nothing on, in neither direction, and says nothing about it."""
        self._passing.clear()

    def restore(self) -> None:
        """Passes new connections, and what was held up in those that hang."""
        self._refusing = False
        self._passing.set()

    def close(self) -> None:
        # accept() does not wake up by close() alone.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._end_writer.close()
        for thread in self._threads:
            thread.join()
        for end in [*self._old_ends, self._end_reader]:
            end.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                _reset(client)
                continue
            self._start(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        end = self._end_reader
        self._passing.wait()
        try:
            server = socket.create_connection(self._target, 10)
        except OSError:
            _reset(client)
            return
        self.connections += 1
        server.settimeout(None)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._pass, args=(server, client, end), daemon=True)
        back.start()
        self._pass(client, server, end)
        back.join()
        _reset(client)
        _reset(server)

    def _pass(self, source: socket.socket, sink: socket.socket, end: socket.socket) -> None:
        """Until `source` ends, whose end is passed on, too, or until `end` says so."""
        while True:
            try:
                ready, _, _ = select.select([source, end], [], [])
                if end in ready:
                    return
                data = source.recv(_CHUNK)
                self._passing.wait()
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                while data:
                    ready, _, _ = select.select([end], [sink], [])
                    if end in ready:
                        return
                    data = data[sink.send(data) :]
            except OSError:
                _end_both(source, sink)
                return


def _end_both(*sockets: socket.socket) -> None:
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _reset(one: socket.socket) -> None:
    """Closes it in a way that the other side sees as an error."""
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    finally:
        one.close()
