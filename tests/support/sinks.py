"""Receivers for tests: a web server that keeps what is posted to it, and a mail server."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebSink:
    """What arrived, and what it is answered with."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, dict[str, str], bytes]] = lambda _request: (
        204,
        {},
        b"",
    )

    def bodies(self) -> list[bytes]:
        return [each.body for each in self.requests]


@contextmanager
def web_sink() -> Iterator[WebSink]:
    """A web server on loopback."""
    sink = WebSink()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            received = Received(self.path, headers, body)
            with lock:
                sink.requests.append(received)
                status, extra, text = sink.answer(received)
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if status != 204:
                self.wfile.write(text)

        def log_message(self, *_what: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class MailSink:
    """What was written, and to whom."""

    port: int = 0
    mails: list[tuple[str, str]] = field(default_factory=list)
    refuse: str = ""
    """What every recipient is refused with, such as `550 no such user`."""


@contextmanager
def mail_sink() -> Iterator[MailSink]:
    """A mail server on loopback that speaks as much SMTP as a client needs."""
    sink = MailSink()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 test")
            recipient = ""
            while line := self.rfile.readline():
                word = line.decode().strip()
                command = word.upper()[:4]
                if command == "RCPT":
                    recipient = word
                    self._say(sink.refuse or "250 ok")
                elif command == "DATA":
                    self._say("354 go on")
                    sink.mails.append((recipient, self._text()))
                    self._say("250 taken")
                elif command == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 ok")

        def _say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

        def _text(self) -> str:
            lines: list[str] = []
            while (line := self.rfile.readline().decode()) != ".\r\n":
                lines.append(line)
            return "".join(lines)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        sink.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()
