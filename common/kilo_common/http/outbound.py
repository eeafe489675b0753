"""One answer on its way to the client: its head made, its body framed, few pieces sent."""

import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from typing import Any, BinaryIO

_NO_BODY = frozenset({"204", "304"})
_FAILURE = b"Something went wrong on our side. The log has it.\n"
Headers = list[tuple[str, str]]


class FileBody:
    """A response body that is a stretch of a file: a server that can sends it without reading it.

    To any other server it is a body like others.
    """

    def __init__(self, file: BinaryIO, offset: int, length: int, *, piece: int = 1 << 20) -> None:
        """`file` is a real one, with a descriptor; closing the body closes it."""
        self.file = file
        self.offset = offset
        self.length = length
        self._piece = piece
        self.on_sent: Callable[[int], None] = lambda _count: None
        self.on_close: Callable[[], None] = lambda: None

    def sent(self, count: int) -> None:
        """So many bytes were handed over."""
        self.on_sent(count)

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(self.offset)
        left = self.length
        while left > 0 and (piece := self.file.read(min(left, self._piece))):
            left -= len(piece)
            yield piece

    def close(self) -> None:
        """The answer is over, whole or not."""
        self.file.close()
        self.on_close()


class DateLine:
    """The header `Date`, made once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._line = ""

    def __call__(self) -> str:
        """The line for now."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n"
        return self._line


class Outbound:
    """The answer to one request."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        date: Callable[[], str],
        method: str,
        *,
        v11: bool,
        keep_alive: bool,
    ) -> None:
        self._send = send
        self._date = date
        self._method = method
        self._v11 = v11
        self.keep_alive = keep_alive
        self._status = ""
        self._headers: Headers = []
        self._head_sent = False
        self._chunked = False
        self._left = -1
        """Bytes of the body that are still to come; -1 if the application did not say."""
        self.has_body = True

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        """WSGI's `start_response`.

        Raises:
            AssertionError: called twice without an error, or with what no answer may have.
        """
        if exc_info:
            try:
                if self._head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._status:
            raise AssertionError("start_response was called twice")
        self._status, self._headers = status, headers
        return self._write

    def send_all(self, body: Iterable[bytes]) -> None:
        """Send the head and the body."""
        if isinstance(body, list | tuple):
            whole = body[0] if len(body) == 1 else b"".join(body)
            self._send(self._head(len(whole)) + self._framed(whole) + self._end())
            return
        for piece in body:
            self._write(piece)
        self._finish()

    def send_head(self, length: int) -> None:
        """Send the head of an answer whose body somebody else sends."""
        self._send(self._head(length))
        self._left = 0

    def send_failure(self) -> bool:
        """Tell that the application failed; whether that was still possible."""
        if self._head_sent:
            return False
        self._status = "500 Internal Server Error"
        self._headers = [("Content-Type", "text/plain; charset=utf-8")]
        self.send_all([_FAILURE])
        return True

    def _write(self, piece: bytes) -> None:
        if not piece:
            return
        head = b"" if self._head_sent else self._head(None)
        data = self._framed(piece)
        if head or data:
            self._send(head + data)

    def _finish(self) -> None:
        head = b"" if self._head_sent else self._head(0)
        last = self._end()
        if head or last:
            self._send(head + last)

    def _head(self, length: int | None) -> bytes:
        """The head; `length` is that of the body where it is known without the application."""
        if not self._status:
            raise AssertionError("the application did not call start_response")
        self._head_sent = True
        lines = [f"{name}: {value}\r\n" for name, value in self._headers]
        text = "".join(lines)
        if text.count("\n") != len(lines) or text.count("\r") != len(lines):
            raise AssertionError("a header of the answer has a line break in it")
        bare = self._status[:3] in _NO_BODY or self._status[0] == "1"
        self.has_body = not bare and self._method != "HEAD"
        text += self._framing(length, bare=bare)
        if not self.keep_alive:
            text += "Connection: close\r\n"
        elif not self._v11:
            text += "Connection: keep-alive\r\n"
        return f"HTTP/1.1 {self._status}\r\n{text}{self._date()}\r\n".encode("latin-1")

    def _framing(self, length: int | None, *, bare: bool) -> str:
        """Decide how the body is framed; the header that says so, if the application gave none."""
        for name, value in self._headers:
            if name.lower() == "content-length":
                self._left = int(value)
                return ""
            if name.lower() == "connection" and value.lower() == "close":
                self.keep_alive = False
        if bare:
            return ""
        if length is not None:
            self._left = length
            # HEAD tells about the body of GET, which the application may not have made.
            return f"Content-Length: {length}\r\n" if length or self._method != "HEAD" else ""
        if self._v11 and self._method != "HEAD":
            self._chunked = True
            return "Transfer-Encoding: chunked\r\n"
        self.keep_alive = False
        return ""

    def _framed(self, piece: bytes) -> bytes:
        if not self.has_body or not piece:
            return b""
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(piece), piece)
        if self._left >= 0:
            if len(piece) > self._left:
                raise AssertionError("the body is longer than its Content-Length")
            self._left -= len(piece)
        return piece

    def _end(self) -> bytes:
        if self._chunked:
            return b"0\r\n\r\n"
        if self._left > 0 and self.has_body:
            raise AssertionError("the body is shorter than its Content-Length")
        return b""
