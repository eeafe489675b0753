"""A table of hostile URLs, each of which is refused, and the few that are not."""

import socket

import pytest

from kilo_common.errors import ConfigInvalid
from kilo_common.fetch.errors import FetchRefused
from kilo_common.fetch.fetcher import Fetcher
from kilo_common.fetch.guard import Guard, read_address
from kilo_common.fetch.policy import FetchPolicy

HOSTILE = """
file:///etc/passwd
file://localhost/etc/passwd
ftp://example.org/x
gopher://example.org:80/_GET
dict://example.org:80/info
ldap://example.org/
ssh://example.org/
sftp://example.org/x
tftp://example.org/x
jar:http://example.org/x!/
javascript:alert(1)
data:text/plain,hello
unix:///run/docker.sock
http+unix://%2Frun%2Fdocker.sock/x
netdoc:///etc/passwd
//example.org/x
/etc/passwd
example.org/x
http:
http://
http:///x
http:/example.org/x
http:example.org
http://127.0.0.1/
http://127.0.0.1:80/
http://127.1/
http://127.0.1/
http://127.255.255.254/
http://0/
http://0.0.0.0/
http://0x7f000001/
http://0x7f.0.0.1/
http://0x7f.1/
http://2130706433/
http://017700000001/
http://0177.0.0.1/
http://0177.0.0.01/
http://00000177.0.0.1/
http://127.0.0.1./
http://127.000.000.001/
http://1.1.1.1.1/
http://256.1.1.1/
http://4294967295/
http://4294967296/
http://169.254.169.254/latest/meta-data/
http://169.254.169.254:80/
http://169.254.170.2/v2/credentials
http://2852039166/
http://0xa9fea9fe/
http://0xA9.0xFE.0xA9.0xFE/
http://0251.0376.0251.0376/
http://169.254.43518/
http://169.16689662/
http://100.100.100.200/
http://192.0.0.192/
http://168.63.129.16/
http://10.0.0.1/
http://10.255.255.255/
http://172.16.0.1/
http://172.31.255.255/
http://192.168.0.1/
http://192.168.1.1:443/
http://100.64.0.1/
http://198.18.0.1/
http://192.0.2.1/
http://198.51.100.1/
http://203.0.113.1/
http://192.88.99.1/
http://224.0.0.1/
http://239.255.255.250/
http://240.0.0.1/
http://255.255.255.255/
http://[::1]/
http://[::]/
http://[0:0:0:0:0:0:0:1]/
http://[::ffff:127.0.0.1]/
http://[::ffff:7f00:1]/
http://[::ffff:169.254.169.254]/
http://[::ffff:10.0.0.1]/
http://[::127.0.0.1]/
http://[64:ff9b::7f00:1]/
http://[64:ff9b:1::a00:1]/
http://[2002:7f00:1::]/
http://[2001:0:7f00:1::]/
http://[fe80::1]/
http://[fe80::1%25eth0]/
http://[fc00::1]/
http://[fd00:ec2::254]/
http://[ff02::1]/
http://[2001:db8::1]/
http://[fec0::1]/
http://[::1
http://[::1]x/
http://[127.0.0.1]/
http://[v1.x]/
http://example.org:22/
http://example.org:25/
http://example.org:6379/
http://example.org:8080/
http://example.org:0/
http://example.org:65536/
http://example.org:99999/
http://example.org:-1/
http://example.org:80x/
http://example.org:http/
http://user@example.org/
http://user:password@example.org/
http://example.org@127.0.0.1/
http://example.org:80@127.0.0.1/
http://127.0.0.1@example.org/
http://@example.org/
http://example.org\\@127.0.0.1/
http:\\\\127.0.0.1\\
http://127.0.0.1\\.example.org/
http://example.org#@127.0.0.1\\
http://%31%32%37.0.0.1/
http://127%2e0%2e0%2e1/
http://127.0.0.1%00.example.org/
http://example.org%2f@127.0.0.1/
http://loc%61lhost/
http://exa mple.org/
http://example.org/a b
http://-example.org/
http://example..org/
http://.example.org/
http://example.org./
http://exämple.org/
http://①②⑦.⓪.⓪.①/
http://127。0。0。1/
http://ⓛocalhost/
""".strip().splitlines()
CONTROL = [
    "", " http://example.org/", "http://example.org/\r\nHost: x", "http://example.org/\0",
    "http://example.org/\t", "http://127.0.0.1\n.example.org/", "http://example.org/\x7f",
    "\x00http://example.org/", "http://" + "a" * 64 + ".org/", "http://example.org/" + "a" * 2048,
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", "http://" + "a." * 130 + "org/",
    None, 7, b"http://example.org/", ["http://example.org/"],
]  # fmt: skip


def test_the_table_is_long() -> None:
    assert len(set(HOSTILE)) + len(CONTROL) > 120


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_url_is_refused_before_anything_is_resolved(number: int) -> None:
    with pytest.raises(FetchRefused):
        Fetcher(FetchPolicy(), resolve=never).open(HOSTILE[number])


@pytest.mark.parametrize("number", range(len(CONTROL)))
def test_what_is_no_url_is_refused(number: int) -> None:
    with pytest.raises(FetchRefused):
        Guard(FetchPolicy()).check_url(CONTROL[number])


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "fe80::1%eth0", "::ffff:127.0.0.1",
     "0.0.0.0", "fd00::1", "100.64.1.1", "::", "::ffff:0:7f00:1"],
)  # fmt: skip
@pytest.mark.parametrize("beside", [(), ("93.184.215.14",)])
def test_a_name_that_stands_for_a_forbidden_address_is_refused(
    address: str, beside: tuple[str, ...]
) -> None:
    def resolve(host: str, port: int) -> tuple[str, ...]:
        assert (host, port) == ("example.org", 443)
        return (*beside, address)

    with pytest.raises(FetchRefused, match="not one that may be asked"):
        Fetcher(FetchPolicy(), resolve=resolve).open("https://example.org/x")


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://example.org", "example.org", 80, "/"),
        ("https://Example.ORG/A?b=c#d", "example.org", 443, "/A?b=c"),
        ("http://example.org:443/", "example.org", 443, "/"),
        ("http://93.184.215.14/x", "93.184.215.14", 80, "/x"),
        ("http://[2606:2800:21f::1]:80/x", "2606:2800:21f::1", 80, "/x"),
        ("http://a_b.xn--bcher-kva.example.org/%41", "a_b.xn--bcher-kva.example.org", 80, "/%41"),
        ("http://example.org:/x", "example.org", 80, "/x"),
    ],
)
def test_an_honest_url_is_taken_apart(url: str, host: str, port: int, path: str) -> None:
    target = Guard(FetchPolicy()).check_url(url)
    assert (target.host, target.port, target.path) == (host, port, path)


def test_the_operator_may_allow_and_deny() -> None:
    guard = Guard(
        FetchPolicy(
            ports=(),
            allowed_networks=("10.2.0.0/16", "fd00:1::/32"),
            denied_networks=("10.2.3.0/24", "1.1.1.0/24"),
            allowed_hosts=("10.2.0.1", ".example.org"),
            denied_hosts=("secret.example.org",),
        )
    )
    assert guard.check_url("http://10.2.0.1:8080/").port == 8080
    assert guard.check_url("http://a.example.org/").host == "a.example.org"
    for url in ("http://example.org/", "http://secret.example.org/", "http://10.2.0.2/"):
        with pytest.raises(FetchRefused, match="host"):
            guard.check_url(url)
    guard.check_address(read_address("::ffff:10.2.0.1"))
    for address in ("10.2.3.4", "1.1.1.1", "10.3.0.1", "127.0.0.1"):
        with pytest.raises(FetchRefused):
            guard.check_address(read_address(address))


def test_loopback_may_be_allowed_and_link_local_is_not_with_it() -> None:
    guard = Guard(FetchPolicy(allow_loopback=True))
    for address in ("127.0.0.1", "127.9.9.9", "::1"):
        guard.check_address(read_address(address))
    for address in ("169.254.169.254", "10.0.0.1", "0.0.0.0"):
        with pytest.raises(FetchRefused):
            guard.check_address(read_address(address))


@pytest.mark.parametrize(
    "wrong",
    [{"schemes": ("ftp",)}, {"allowed_networks": ("10.0.0.1/8",)}, {"denied_networks": ("x",)},
     {"ca_file": "/nowhere/ca.pem"}],
)  # fmt: skip
def test_a_policy_that_cannot_be_meant_stops_the_start(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigInvalid):
        Fetcher(FetchPolicy(**wrong))  # type: ignore[arg-type]


def never(host: str, port: int) -> tuple[str, ...]:
    raise AssertionError(f"{host}:{port} was resolved")


def test_the_system_resolver_is_asked_when_no_other_is_given() -> None:
    with pytest.raises(FetchRefused):
        Fetcher(FetchPolicy()).open("http://localhost/")
    assert socket.getaddrinfo("localhost", 80)
