"""What the fault proxy does to a connection."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kilo_common.testing.fault_commands import COMMANDS, CommandUnreadable, obey, usage
from kilo_common.testing.fault_proxy import FaultProxy


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture
def proxy(echo_port: int) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", echo_port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        yield client


def test_a_delay_holds_both_directions_up(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.delay(0.1)
    began = time.monotonic()
    client.sendall(b"slow")
    assert client.recv(4) == b"slow"
    assert 0.2 <= time.monotonic() - began < 2
    proxy.delay(0)


def test_nothing_passes_while_frozen_and_everything_after(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.freeze()
    client.sendall(b"held")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(4)
    proxy.thaw()
    client.settimeout(5)
    assert client.recv(4) == b"held"


def test_a_cut_ends_the_connection_and_new_ones_work(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.cut()
    with contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as again:
        again.sendall(b"x")
        assert again.recv(1) == b"x"


def test_half_closed_the_client_hears_the_end_of_the_server(
    proxy: FaultProxy, client: socket.socket
) -> None:
    proxy.half_close()
    assert client.recv(1) == b""
    client.sendall(b"still taken")


def test_throttled_bytes_take_their_time(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.throttle(10_000)
    began = time.monotonic()
    client.sendall(b"x" * 4_000)
    received = 0
    while received < 4_000:
        received += len(client.recv(4_000))
    assert time.monotonic() - began > 0.3


def test_refused_connections_are_reset(proxy: FaultProxy) -> None:
    proxy.refuse()
    with (
        pytest.raises(ConnectionResetError),  # while it connects, or when it reads
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
    ):
        client.recv(1)


def test_what_clients_send_can_be_watched(echo_port: int) -> None:
    seen = bytearray()
    with (
        FaultProxy("127.0.0.1", echo_port, on_sent=seen.extend) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
    ):
        client.sendall(b"watched")
        assert client.recv(7) == b"watched"
    assert seen == b"watched"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", None),
        ("  thaw ", None),
        ("delay 0.5", None),
        ("delay", "takes SECONDS"),
        ("delay -1", "'-1' is no such number"),
        ("throttle nan", "'nan' is no such number"),
        ("freeze now", "stands alone"),
        ("Freeze", "There is no 'Freeze'; there are: delay"),
    ],
)
def test_commands_are_obeyed_or_explained(line: str, said: str | None) -> None:
    with FaultProxy("127.0.0.1", 1) as proxy:
        if said is None:
            obey(proxy, line)
        else:
            with pytest.raises(CommandUnreadable, match=said):
                obey(proxy, line)


def test_commands_come_as_words(echo_port: int) -> None:
    with FaultProxy("127.0.0.1", echo_port) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
            obey(proxy, "freeze")
            client.sendall(b"hello")
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(5)
            client.settimeout(5)
            obey(proxy, "thaw")
            assert client.recv(5) == b"hello"
            obey(proxy, "cut")
            with pytest.raises(ConnectionResetError):
                client.recv(5)
        assert all(word in usage() for word in COMMANDS)


def test_the_plugin_makes_proxies_for_a_test(
    fault_proxy: Callable[[str, int], FaultProxy], echo_port: int
) -> None:
    proxy = fault_proxy("127.0.0.1", echo_port)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
