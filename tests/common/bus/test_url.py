"""Bus URLs: hosts, escapes, options, and what is said about a bad one."""

import pytest

from kilo_common.bus.connect import open_transport
from kilo_common.bus.url import BusUrlInvalid, parse
from kilo_common.errors import ConfigInvalid, DriverUnknown

KNOWN = frozenset({"durable"})


def test_hosts_credentials_virtual_host_and_options_are_read() -> None:
    url = parse("rabbit://a%40b:p%2Fw@one:1,c:d@[::1]:2,three/v%2Fh?durable=false", known=KNOWN)
    first, second, third = url.brokers
    assert (first.host, first.port, first.user, first.password) == ("one", 1, "a@b", "p/w")
    assert (second.host, second.port) == ("::1", 2)
    assert (third.host, third.port, third.user) == ("three", 5672, "guest")
    assert url.virtual_host == "v/h"
    assert url.flag("durable", True) is False
    assert first.authority == "a%40b:p%2Fw@one:1"


def test_without_a_path_the_virtual_host_is_the_default_one() -> None:
    assert parse("rabbit://h", known=KNOWN).virtual_host == "/"


@pytest.mark.parametrize("text", ["rabbit://h:port/", "rabbit://h/?durabel=true"])
def test_a_bad_url_is_refused(text: str) -> None:
    with pytest.raises(BusUrlInvalid):
        parse(text, known=KNOWN)


def test_a_flag_that_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(BusUrlInvalid, match="durable"):
        parse("rabbit://h/?durable=maybe", known=KNOWN).flag("durable", True)


def test_the_password_is_never_in_the_message() -> None:
    with pytest.raises(BusUrlInvalid) as caught:
        parse("rabbit://user:hunter2@h:x/", known=KNOWN)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_scheme_gets_a_suggestion() -> None:
    with pytest.raises(DriverUnknown, match="did you mean 'rabbit'"):
        open_transport("rabit://h")
    with pytest.raises(ConfigInvalid, match="not a URL"):
        open_transport("localhost")
