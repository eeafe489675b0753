"""What an image's data was found to be, as a client sees it."""

import gzip
from collections.abc import Callable

from catalog_story import Catalog
from kilo_catalog.domain.limits import Limits

MIB = 1 << 20


def disk_with_file_system(size: int = MIB) -> bytes:
    """The superblock of an ext4, as far as it is looked at."""
    data = bytearray(size)
    data[1080:1082] = b"\x53\xef"
    data[1120] = 0x40
    data[1144:1152] = b"my root\0"
    return bytes(data)


def test_findings_are_shown(catalog: Catalog) -> None:
    image_id = catalog.create_active(disk_with_file_system())
    answer = catalog.request("GET", f"/v2/images/{image_id}/introspection")
    assert answer.status_code == 200
    found = answer.get_json()
    assert found["image_id"] == image_id
    assert found["summary"] == "raw, 1 MiB of data, ext4 with the label 'my root'"
    assert found["declared"] == {"disk_format": "raw", "container_format": "bare"}
    assert found["format"] == "raw"
    assert found["size"] == found["virtual_size"] == MIB
    assert found["facts"] == {"file_system": "ext4", "label": "my root"}
    assert found["warnings"] == []


def test_the_main_findings_are_properties(catalog: Catalog) -> None:
    image_id = catalog.create_active(disk_with_file_system(), introspected_compat="a lie")
    image = catalog.show(image_id)
    assert image["introspected_file_system"] == "ext4"
    assert image["introspected_label"] == "my root"
    assert "introspected_compat" not in image


def test_bytes_without_a_form_add_no_properties(catalog: Catalog) -> None:
    before = set(catalog.show(catalog.create_raw()))
    assert set(catalog.show(catalog.create_active(b"hello"))) - before == {"stores"}


def test_findings_never_push_properties_over_their_limit(
    open_catalog: Callable[..., Catalog],
) -> None:
    catalog = open_catalog(limits=Limits(properties=2))
    image = catalog.show(catalog.create_active(disk_with_file_system(), one="1"))
    assert image["one"] == "1"
    assert image["status"] == "active"
    assert "introspected_label" not in image


def test_what_is_in_a_compressed_file_is_told(catalog: Catalog) -> None:
    image_id = str(catalog.create(disk_format="qcow2", container_format="compressed")["id"])
    assert catalog.put(image_id, gzip.compress(bytes(1000))).status_code == 204
    found = catalog.request("GET", f"/v2/images/{image_id}/introspection").get_json()
    assert found["facts"] == {"compression": "gzip", "content": "raw"}


def test_an_image_without_data_has_no_findings(catalog: Catalog) -> None:
    answer = catalog.request("GET", f"/v2/images/{catalog.create_raw()}/introspection")
    assert answer.status_code == 404
    assert answer.get_json()["error"]["code"] == "catalog.image.uninspected"
