"""A web server that makes whoever reads from it wait in the middle."""

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DATA = os.urandom(64 << 10)


class GatedServer(ThreadingHTTPServer):
    """Sends the first half of `DATA` when it is asked, and the second once `gate` is open."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Gated)
        self.gate = threading.Event()
        self.waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_words: Any) -> None:
        """Who hangs up is none of our business."""


class _Gated(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, GatedServer)
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA[: len(DATA) // 2])
        self.server.waiting.put(self.path)
        self.server.gate.wait(60)
        self.wfile.write(DATA[len(DATA) // 2 :])

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""


@contextmanager
def gated_server() -> Iterator[GatedServer]:
    """One on loopback, its gate shut."""
    made = GatedServer()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.gate.set()
        made.shutdown()
        made.server_close()
        thread.join(5)
