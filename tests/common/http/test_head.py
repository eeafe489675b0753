"""The head of a request: what is taken, and what is refused because two readers could differ."""

import pytest

from kilo_common.http.head import (
    MAX_FIELDS,
    Head,
    HeadInvalid,
    HeadParser,
    HeadTooLarge,
    TargetTooLong,
    split_target,
)

HOST = b"Host: here\r\n"


def parse(*lines: bytes, start: bytes = b"GET / HTTP/1.1\r\n", host: bytes = HOST) -> Head:
    fields = b"".join(line + b"\r\n" for line in lines)
    return HeadParser().parse(start + host + fields + b"\r\n")


def test_headers_come_under_their_names_in_wsgi() -> None:
    head = parse(b"Client-ID: 7", b"content-type: text/plain", b"Content-Length: 5")
    assert head.fields["HTTP_CLIENT_ID"] == "7"
    assert head.fields["CONTENT_TYPE"] == "text/plain"
    assert head.fields["CONTENT_LENGTH"] == "5"
    assert head.length == 5


def test_a_header_that_comes_again_is_joined() -> None:
    assert parse(b"X-Roles: a", b"X-Roles: b").fields["HTTP_X_ROLES"] == "a,b"


def test_a_name_with_an_underscore_cannot_pose_as_one_with_a_dash() -> None:
    assert "HTTP_X_ROLES" not in parse(b"X_Roles: admin").fields


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5, 5"],
        [b"Content-Length: +5"],
        [b"Content-Length: -5"],
        [b"Content-Length: 0x5"],
        [b"Content-Length: 5 5"],
        [b"Content-Length:"],
        [b"Content-Length: 99999999999999999999999999"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding:\x0bchunked"],
        [b"Transfer-Encoding : chunked"],
        [b"X: 1", b" folded"],
        [b"X: 1", b"\tfolded"],
        [b"X: a\rb"],
        [b"X: a\nY: b"],
        [b"X: a\x00b"],
        [b": no name"],
        [b"X Y: 1"],
        [b"no colon"],
        [b"Host: twice"],
    ],
)
def test_what_leaves_doubt_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(HeadInvalid):
        parse(*lines)


@pytest.mark.parametrize(
    "start",
    [
        b"GET /\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET / HTTP/0.9\r\n",
        b"GET / HTTP/1.2\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"GET /\x01 HTTP/1.1\r\n",
        b"GET / HTTP/1.1\n",
        b"FETCH / HTTP/1.1\r\n",
        b"get / HTTP/1.1\r\n",
        b" GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    ],
)
def test_a_wrong_first_line_is_refused(start: bytes) -> None:
    with pytest.raises(HeadInvalid):
        parse(start=start)


def test_http_1_1_needs_a_host_and_1_0_does_not() -> None:
    with pytest.raises(HeadInvalid, match="Host"):
        parse(host=b"")
    assert not parse(start=b"GET / HTTP/1.0\r\n", host=b"").keep_alive


@pytest.mark.parametrize(
    ("start", "line", "keeps"),
    [
        (b"GET / HTTP/1.1\r\n", b"Connection: close", False),
        (b"GET / HTTP/1.1\r\n", b"Connection: Upgrade, Close", False),
        (b"GET / HTTP/1.1\r\n", b"Connection: keep-alive", True),
        (b"GET / HTTP/1.0\r\n", b"Connection: Keep-Alive", True),
        (b"GET / HTTP/1.0\r\n", b"X: 1", False),
    ],
)
def test_a_client_says_whether_it_will_ask_again(start: bytes, line: bytes, keeps: bool) -> None:
    assert parse(line, start=start).keep_alive is keeps


def test_chunks_are_not_for_http_1_0() -> None:
    with pytest.raises(HeadInvalid):
        parse(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0\r\n")


def test_there_are_bounds() -> None:
    with pytest.raises(HeadTooLarge):
        parse(*[b"X: 1"] * MAX_FIELDS)
    with pytest.raises(TargetTooLong):
        parse(start=b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n")


def test_names_that_clients_make_up_are_not_kept_for_ever() -> None:
    parser = HeadParser()
    for number in range(3000):
        parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nX-%d: 1\r\n\r\n" % number)
    assert len(parser._names) < 1000


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a/b?c=d?e", "/a/b", "c=d?e"),
        (b"/a%2Fb%20c", "/a/b c", ""),
        (b"http://here:1/a?b", "/a", "b"),
        (b"http://here", "/", ""),
        (b"*", "*", ""),
        (b"/%C3%A9", "/Ã©", ""),
    ],
)
def test_a_target_is_a_path_and_a_query(target: bytes, path: str, query: str) -> None:
    assert split_target(target) == (path, query)


@pytest.mark.parametrize("target", [b"a:1", b"ftp://x/y", b"?x"])
def test_other_targets_are_refused(target: bytes) -> None:
    with pytest.raises(HeadInvalid):
        split_target(target)
