"""The messaging service as a process, for tests that kill it or talk to its socket."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import websocket

HEADERS = {"Client-ID": "3381af92-2b9e-11e3-b191-71861300734c", "X-Project-ID": "demo"}
SERVE = Path(__file__).parent.parent / "messaging" / "serve.py"


class Server:
    """A running service."""

    def __init__(
        self,
        database: str,
        port: int,
        websocket: dict[str, Any],
        limits: dict[str, Any] | None = None,
    ) -> None:
        """`websocket` are settings of WebSocket connections."""
        environ = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
        settings = [json.dumps(websocket), json.dumps(limits or {})]
        self.process = subprocess.Popen(
            [sys.executable, str(SERVE), database, str(port), *settings],
            stdout=subprocess.PIPE,
            env=environ,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.http = requests.Session()
        self.http.headers.update(HEADERS)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/v2/queues/{path}"

    def post(self, queue: str, *bodies: Any) -> None:
        messages = [{"body": body, "ttl": 600} for body in bodies]
        self.http.post(
            self.url(f"{queue}/messages"), json={"messages": messages}
        ).raise_for_status()

    @contextmanager
    def connected(self, path: str = "/", **options: Any) -> Iterator[websocket.WebSocket]:
        url = f"ws://127.0.0.1:{self.port}{path}"
        connection = websocket.create_connection(url, timeout=5, **options)
        try:
            yield connection
        finally:
            connection.shutdown()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        self.http.close()
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def serving(folder: Path, *, port: int = 0, **websocket: Any) -> Iterator[Server]:
    server = Server(f"sqlite:///{folder}/messaging.db", port, websocket)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def serving_store(database: str, **limits: Any) -> Iterator[Server]:
    """A service over the store at that URL."""
    server = Server(database, 0, {}, limits)
    try:
        yield server
    finally:
        server.close()


def ask(connection: websocket.WebSocket, action: str, **body: Any) -> Any:
    connection.send(json.dumps({"action": action, "headers": HEADERS, "body": body}))
    return json.loads(connection.recv())
