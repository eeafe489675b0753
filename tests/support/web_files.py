"""A web server of a few files, in a thread."""

import threading
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Serves files, with ranges or without."""

    def __init__(
        self, *args: object, files: Mapping[str, bytes], ranges: bool, asked: list[str]
    ) -> None:
        self.files = files
        self.ranges = ranges
        self.asked = asked
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        data = self.files.get(self.path)
        wanted = self.headers.get("Range", "")
        self.asked.append(wanted)
        if data is None:
            self.send_error(404)
            return
        if not (wanted and self.ranges):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
        else:
            first, last = wanted.removeprefix("bytes=").split("-")
            start, end = int(first), min(len(data), int(last) + 1)
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            data = data[start:end]
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class Web:
    """A web server in a thread."""

    def __init__(self, files: Mapping[str, bytes], *, ranges: bool = True) -> None:
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Handler, files=files, ranges=ranges, asked=self.asked)
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
