"""`kilostack bus proxy`: a proxy that a person, or a script, commands by its input."""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from click.testing import CliRunner

from kilo_deploy.cli import main

PROGRAM = "import sys; sys.argv[0] = 'kilostack'; from kilo_deploy.entry import main; main()"


@pytest.fixture
def greeter() -> Iterator[int]:
    """The port of a server that greets whoever comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.sendall(b"hello")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def proxy(greeter: int) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "bus", "proxy", f"127.0.0.1:{greeter}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    yield process
    process.kill()
    process.communicate()


def test_it_passes_on_until_it_is_told_otherwise(proxy: "subprocess.Popen[str]") -> None:
    assert proxy.stdin is not None
    assert proxy.stdout is not None
    said = iter(proxy.stdout.readline, "")
    found = re.match(r"127\.0\.0\.1:(\d+) leads to ", next(said))
    assert found is not None
    place = ("127.0.0.1", int(found[1]))
    assert "quit\n" in said

    with socket.create_connection(place, timeout=5) as client:
        assert client.recv(5) == b"hello"
    proxy.stdin.write("delay soon\nexplode\nrefuse\n")
    assert "delay takes SECONDS, and 'soon' is no such number" in next(said)
    assert "There is no 'explode'; there are: delay, throttle, freeze" in next(said)
    assert next(said) == "ok\n"
    with pytest.raises(ConnectionResetError), socket.create_connection(place, timeout=5) as client:
        client.recv(5)
    proxy.stdin.write("quit\n")
    assert proxy.wait(10) == 0


@pytest.mark.parametrize("server", ["nonsense", "host:0", "host:99999", ":5672", "a:1/b"])
def test_it_says_what_is_no_address(server: str) -> None:
    done = CliRunner().invoke(main, ["bus", "proxy", server])
    assert done.exit_code == 2
    assert "is not HOST:PORT, such as 127.0.0.1:5672" in done.output


def test_it_says_that_a_port_is_taken(greeter: int) -> None:
    done = CliRunner().invoke(main, ["bus", "proxy", "127.0.0.1:1", "--port", str(greeter)])
    assert done.exit_code == 2
    assert "cannot be listened on" in done.output
