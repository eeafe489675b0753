"""A server that speaks as much of Swift's protocol as its clients use: TempAuth, containers,
objects, ranges, copies, static large objects, temporary URLs. Run it with a port; it keeps all in
memory."""

import hashlib
import hmac
import json
import sys
import threading
import time
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

ACCOUNT = "/v1/AUTH_test"
KEY = "temp-url-key"
TOKEN = "AUTH_tk_test"


class Objects:
    """Containers of objects: bytes, or the manifest of a large one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.containers: dict[str, dict[str, tuple[bytes | list[str], float]]] = {}

    def body(self, container: str, name: str) -> bytes:
        data, _ = self.containers[container][name]
        if isinstance(data, bytes):
            return data
        pieces = []
        for path in data:
            _, segment_container, segment = path.split("/", 2)
            pieces.append(self.body(segment_container, segment))
        return b"".join(pieces)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    objects = Objects()

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunked()
        with self.objects.lock:
            self._route(body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_one  # noqa: N815 - http.server's

    def _chunked(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return b""
        pieces = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _route(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, True).items()}
        if parts.path == "/auth/v1.0":
            url = f"http://{self.headers['Host']}{ACCOUNT}"
            right = self.headers.get("X-Auth-Key") == "secret"
            headers = {"X-Storage-Url": url, "X-Auth-Token": TOKEN, "X-Storage-Token": TOKEN}
            self._answer(200 if right else 401, headers=headers if right else {})
            return
        if self.headers.get("X-Auth-Token") != TOKEN and not self._signed(parts.path, query):
            self._answer(401)
            return
        path = unquote(parts.path).removeprefix(ACCOUNT + "/")
        container, _, name = path.partition("/")
        if name:
            getattr(self, f"_{self.command.lower()}_object")(container, name, query, body)
        else:
            self._container(container, query)

    def _signed(self, path: str, query: dict[str, str]) -> bool:
        expires = query.get("temp_url_expires", "0")
        text = f"GET\n{expires}\n{path}".encode()
        right = hmac.new(KEY.encode(), text, hashlib.sha256).hexdigest()
        return query.get("temp_url_sig") == right and int(expires) > time.time()

    def _container(self, container: str, query: dict[str, str]) -> None:
        if self.command == "PUT":
            self.objects.containers.setdefault(container, {})
            self._answer(201)
            return
        if container not in self.objects.containers:
            self._answer(404)
            return
        prefix, marker = query.get("prefix", ""), query.get("marker", "")
        names = sorted(self.objects.containers[container])
        listed = [name for name in names if name.startswith(prefix) and name > marker][:20]
        listing = [
            {
                "name": name,
                "bytes": len(self.objects.body(container, name)),
                "hash": "",
                "content_type": "application/octet-stream",
                "last_modified": datetime.fromtimestamp(
                    self.objects.containers[container][name][1], UTC
                ).strftime("%Y-%m-%dT%H:%M:%S.%f"),
            }
            for name in listed
        ]
        self._answer(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})

    def _put_object(self, container: str, name: str, query: dict[str, str], body: bytes) -> None:
        held = self.objects.containers.get(container)
        if held is None:
            self._answer(404)
            return
        if self.headers.get("If-None-Match") == "*" and name in held:
            self._answer(412)
            return
        data: bytes | list[str] = body
        if query.get("multipart-manifest") == "put":
            data = self._manifest(body)
            if not data:
                self._answer(400, b"a segment is missing or of another size")
                return
        elif source := self.headers.get("X-Copy-From"):
            from_container, _, from_name = unquote(source).lstrip("/").partition("/")
            if from_name not in self.objects.containers.get(from_container, {}):
                self._answer(404)
                return
            data = self.objects.body(from_container, from_name)
        held[name] = (data, time.time())
        digest = hashlib.md5(data).hexdigest() if isinstance(data, bytes) else "manifest"
        self._answer(201, headers={"Etag": digest})

    def _manifest(self, body: bytes) -> list[str]:
        paths = []
        for segment in json.loads(body):
            _, container, name = segment["path"].split("/", 2)
            held = self.objects.containers.get(container, {})
            if name not in held or len(self.objects.body(container, name)) != segment["size_bytes"]:
                return []
            paths.append(segment["path"])
        return paths

    def _get_object(self, container: str, name: str, query: dict[str, str], body: bytes) -> None:
        if name not in self.objects.containers.get(container, {}):
            self._answer(404)
            return
        data = self.objects.body(container, name)
        headers = {"Last-Modified": formatdate(usegmt=True), "Accept-Ranges": "bytes"}
        status = 200
        if wanted := self.headers.get("Range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            if int(first) >= len(data):
                self._answer(416)
                return
            data, status = data[int(first) : int(last) + 1], 206
        self._answer(status, data, headers)

    _head_object = _get_object

    def _delete_object(self, container: str, name: str, query: dict[str, str], body: bytes) -> None:
        found = self.objects.containers.get(container, {}).pop(name, None)
        self._answer(204 if found else 404)

    def _answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
