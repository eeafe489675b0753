"""An upload ends whole or without a trace, whatever happens on the way."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from catalog_story import DATA, Catalog
from kilo_catalog.config import UploadSettings
from kilo_catalog.domain.limits import Limits
from kilo_catalog.tasks.lease_renewal import LeaseRenewal
from kilo_catalog.tasks.reaper import Reaper


class Socket:
    """A request body that comes piece by piece; a piece may be something to do, or an error."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces: Iterator[Any] = iter(pieces)

    def read(self, _size: int = -1) -> bytes:
        piece = next(self._pieces, b"")
        if callable(piece):
            piece = piece()
        if isinstance(piece, BaseException):
            raise piece
        return bytes(piece)


def send(catalog: Catalog, image_id: str, socket: Socket, length: int | None) -> Any:
    """Upload from a socket; without a length, chunked."""
    environ = {"wsgi.input": socket, "CONTENT_TYPE": DATA}
    if length is None:
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    else:
        environ["CONTENT_LENGTH"] = str(length)
    path = f"/v2/images/{image_id}/file"
    return catalog.request("PUT", path, environ_overrides=environ)


def reaper_of(catalog: Catalog) -> Reaper:
    return next(each for each in catalog.api.services if isinstance(each, Reaper))


def renewal_of(catalog: Catalog) -> LeaseRenewal:
    return next(each for each in catalog.api.services if isinstance(each, LeaseRenewal))


def check_untouched(catalog: Catalog, image_id: str) -> None:
    image = catalog.show(image_id)
    assert (image["status"], image["size"], image["checksum"]) == ("queued", None, None)
    assert "stores" not in image
    assert catalog.files() == []


def test_what_is_sent_is_what_is_kept(open_catalog: Callable[..., Catalog]) -> None:
    catalog = open_catalog(upload=UploadSettings(block_size=4096))
    data = bytes(range(256)) * 100
    image_id = catalog.create_active(data)
    image = catalog.show(image_id)
    assert image["status"] == "active"
    assert image["size"] == image["virtual_size"] == len(data)
    assert image["checksum"] == hashlib.md5(data).hexdigest()
    assert image["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert catalog.request("GET", f"/v2/images/{image_id}/file").data == data


def test_a_client_that_goes_away_leaves_nothing(catalog: Catalog) -> None:
    image_id = catalog.create_raw()
    answer = send(catalog, image_id, Socket(b"abc"), 10)
    assert answer.status_code == 400
    assert answer.get_json()["error"]["code"] == "http.body_truncated"
    check_untouched(catalog, image_id)


@pytest.mark.parametrize("fault", [OSError("reset"), ValueError("bad chunk"), RuntimeError("bug")])
def test_a_connection_that_fails_leaves_nothing(catalog: Catalog, fault: Exception) -> None:
    image_id = catalog.create_raw()
    assert send(catalog, image_id, Socket(b"abc", fault), 10).status_code in (400, 500)
    check_untouched(catalog, image_id)


def test_a_killed_greenlet_leaves_nothing(catalog: Catalog) -> None:
    class GreenletExit(BaseException):
        pass

    image_id = catalog.create_raw()
    with pytest.raises(GreenletExit):
        send(catalog, image_id, Socket(b"abc", GreenletExit()), 10)
    check_untouched(catalog, image_id)


def test_a_refused_upload_can_be_repeated(catalog: Catalog) -> None:
    image_id = catalog.create_raw()
    assert catalog.put(image_id, b"QFI\xfb" + bytes(600)).status_code == 415
    check_untouched(catalog, image_id)
    assert catalog.put(image_id, b"fine").status_code == 204


def test_an_image_may_not_be_larger_than_the_limit(open_catalog: Callable[..., Catalog]) -> None:
    catalog = open_catalog(limits=Limits(image_size=9))
    image_id = catalog.create_raw()
    assert catalog.put(image_id, b"0123456789").status_code == 413
    chunked = send(catalog, image_id, Socket(b"01234", b"56789"), None)
    assert chunked.status_code == 413
    check_untouched(catalog, image_id)
    assert catalog.put(image_id, b"012345678").status_code == 204


def test_a_chunked_upload_needs_no_length(catalog: Catalog) -> None:
    image_id = catalog.create_raw()
    answer = send(catalog, image_id, Socket(b"01234", b"56789"), None)
    assert answer.status_code == 204
    assert catalog.show(image_id)["size"] == 10


def test_an_image_deleted_during_its_upload_is_gone_with_its_data(catalog: Catalog) -> None:
    image_id = catalog.create_raw()

    def delete() -> bytes:
        assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 204
        return b"56789"

    answer = send(catalog, image_id, Socket(b"01234", delete), 10)
    assert answer.status_code == 404
    assert catalog.files() == []


def test_an_upload_that_knows_of_the_deletion_reads_no_further(catalog: Catalog) -> None:
    image_id = catalog.create_raw()

    def delete() -> bytes:
        assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 204
        renewal_of(catalog).run_once()
        return b"5"

    never = AssertionError("read on")
    answer = send(catalog, image_id, Socket(b"01234", delete, never), 10)
    assert answer.status_code == 404
    assert catalog.files() == []


def test_a_change_during_the_upload_is_kept(catalog: Catalog) -> None:
    image_id = catalog.create_raw()

    def rename() -> bytes:
        body = [{"op": "replace", "path": "/name", "value": "new"}]
        assert catalog.patch(image_id, body).status_code == 200
        return b"56789"

    assert send(catalog, image_id, Socket(b"01234", rename), 10).status_code == 204
    image = catalog.show(image_id)
    assert (image["name"], image["status"]) == ("new", "active")


def test_of_two_uploads_at_once_one_is_refused(catalog: Catalog) -> None:
    image_id = catalog.create_raw()

    def second() -> bytes:
        assert catalog.put(image_id, b"other").status_code == 409
        return b"56789"

    assert send(catalog, image_id, Socket(b"01234", second), 10).status_code == 204
    assert catalog.request("GET", f"/v2/images/{image_id}/file").data == b"0123456789"


def test_the_upload_of_a_dead_process_is_given_up_after_its_lease(
    catalog: Catalog, open_catalog: Callable[..., Catalog]
) -> None:
    other = open_catalog()
    image_id = catalog.create_raw()
    seen: list[str] = []

    def die() -> bytes:
        other.clock.advance(59)
        reaper_of(other).run_once()
        seen.append(catalog.show(image_id)["status"])
        other.clock.advance(2)
        reaper_of(other).run_once()
        seen.append(catalog.show(image_id)["status"])
        assert catalog.files() == []
        return b"56789"

    answer = send(catalog, image_id, Socket(b"01234", die), 10)
    assert seen == ["saving", "queued"]
    assert answer.status_code in (409, 503)  # should it live after all, it is told
    check_untouched(catalog, image_id)
    assert catalog.put(image_id, b"again").status_code == 204


def test_a_slow_upload_keeps_its_lease(
    catalog: Catalog, open_catalog: Callable[..., Catalog]
) -> None:
    other = open_catalog()
    image_id = catalog.create_raw()

    def dawdle() -> bytes:
        for _ in range(5):
            for each in (catalog, other):
                each.clock.advance(40)
            renewal_of(catalog).run_once()
            reaper_of(other).run_once()
        return b"56789"

    assert send(catalog, image_id, Socket(b"01234", dawdle), 10).status_code == 204
    assert catalog.show(image_id)["status"] == "active"


def test_deleting_an_image_deletes_its_blob(catalog: Catalog) -> None:
    image_id = catalog.create_active()
    assert len(catalog.files()) == 1
    assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 204
    assert catalog.files() == []


def test_a_download_goes_on_while_its_image_is_deleted(catalog: Catalog) -> None:
    image_id = catalog.create_active(b"0123456789")
    answer = catalog.request("GET", f"/v2/images/{image_id}/file", buffered=False)
    assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 204
    assert answer.data == b"0123456789"
    answer.close()


def test_files_nobody_finishes_are_removed_in_time(catalog: Catalog) -> None:
    (catalog.folder / "images" / "uploads" / "forgotten").write_bytes(b"x")
    reaper_of(catalog).run_once()
    assert catalog.files() == ["forgotten"]  # the fake clock stands long before the file's time
    catalog.clock.advance(20 * 365 * 86400)
    reaper_of(catalog).run_once()
    assert catalog.files() == []


def test_many_uploads_at_once_do_not_mix(catalog: Catalog) -> None:
    ids = [catalog.create_raw() for _ in range(6)]
    answers: list[int] = []

    def upload(number: int) -> None:
        data = bytes([number]) * 200_000
        answers.append(catalog.put(ids[number], data).status_code)

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [204] * 6
    for number, image_id in enumerate(ids):
        data = catalog.request("GET", f"/v2/images/{image_id}/file").data
        assert data == bytes([number]) * 200_000
