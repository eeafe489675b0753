"""What an import does to data on its way in, in the order that is configured."""

import base64
import bz2
import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from catalog_story import Catalog
from kilo_catalog.config import ImportSettings
from kilo_catalog.domain.quotas import Quotas
from kilo_catalog.imaging.settings import ConversionSettings, Tool
from kilo_catalog.tasks.plugins.settings import (
    DecompressionSettings,
    InjectionRule,
    SignatureSettings,
)
from kilo_common.errors import ConfigInvalid
from kilo_common.testing.clock import FakeClock

MIB = 1 << 20
DISK = (b"boot".ljust(3 * MIB, b"\0") + b"data" * 5000).ljust(4 * MIB, b"\0")
UUID = "5cd8bd84-8b4c-4d8d-9b53-2a2b0a1f4e1d"
Open = Callable[..., Catalog]
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    # As its tool does, with a checksum.
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}


@pytest.fixture
def importing(open_catalog: Open, tmp_path: Path) -> Open:
    """Opens a catalog whose imports are configured so."""

    def open_one(**settings: Any) -> Catalog:
        quotas = settings.pop("quotas", Quotas())
        scratch = str(tmp_path / "scratch")
        return open_catalog(imports=ImportSettings(scratch=scratch, **settings), quotas=quotas)

    return open_one


def qcow2(folder: Path, disk: bytes = DISK) -> bytes:
    if shutil.which("qemu-img") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("qemu-img is not installed")
        pytest.skip("qemu-img is not installed")
    raw, made = folder / "source.raw", folder / "source.qcow2"
    raw.write_bytes(disk)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", "-f", "raw", raw, made], check=True)
    return made.read_bytes()


def bring(catalog: Catalog, data: bytes, disk: str, container: str = "bare", **values: Any) -> str:
    """Create an image and stage its data; what is left is to import it."""
    image_id = str(catalog.create(disk_format=disk, container_format=container, **values)["id"])
    answer = catalog.stage(image_id, data)
    assert answer.status_code == 204, answer.text
    return image_id


def run(catalog: Catalog, image_id: str, **body: Any) -> dict[str, Any]:
    answer = catalog.import_(image_id, **body)
    assert answer.status_code == 202, answer.text
    catalog.work()
    return catalog.show(image_id)


def failure(catalog: Catalog, image_id: str) -> str:
    """Why the import failed; nothing of it is left."""
    assert catalog.show(image_id)["status"] == "uploading"
    assert len(catalog.files()) == 1
    assert list((catalog.folder / "scratch").glob("*")) == []
    return str(catalog.tasks(image_id)[-1]["message"])


@pytest.mark.parametrize("tool", [Tool.QEMU_IMG, Tool.BUILT_IN])
def test_an_import_converts_to_the_format_that_it_names(
    importing: Open, tmp_path: Path, tool: Tool
) -> None:
    catalog = importing(conversion=ConversionSettings(tool=tool))
    data = qcow2(tmp_path)
    image_id = bring(catalog, data, "qcow2")
    image = run(catalog, image_id, convert_to="raw")
    assert (image["status"], image["disk_format"]) == ("active", "raw")
    assert (image["size"], image["virtual_size"]) == (len(DISK), len(DISK))
    assert image["checksum"] == hashlib.md5(DISK).hexdigest()
    assert image["os_hash_value"] == hashlib.sha512(DISK).hexdigest()
    assert image["converted_from"] == "qcow2"
    assert image["converted_from_sha512"] == hashlib.sha512(data).hexdigest()
    assert catalog.data(image_id) == DISK
    (name,) = catalog.files()
    (file,) = (catalog.folder / "images").rglob(name)
    assert file.stat().st_blocks * 512 < len(DISK) // 4
    assert file.stat().st_mode & 0o777 == 0o600
    assert list((tmp_path / "scratch").glob("*")) == []


def test_a_property_asks_for_a_conversion_too(importing: Open, tmp_path: Path) -> None:
    catalog = importing()
    image_id = bring(catalog, DISK, "raw", convert_to="qcow2")
    image = run(catalog, image_id)
    assert (image["disk_format"], image["virtual_size"]) == ("qcow2", len(DISK))
    assert image["size"] == len(catalog.data(image_id)) < MIB
    assert "convert_to" not in image
    assert image["introspected_compat"] == "1.1"


def test_the_configuration_converts_what_can_be(importing: Open, tmp_path: Path) -> None:
    catalog = importing(conversion=ConversionSettings(target="qcow2", compress=True))
    made = run(catalog, bring(catalog, DISK, "raw"))
    assert made["disk_format"] == "qcow2", catalog.tasks(made["id"])
    kernel = run(catalog, bring(catalog, b"kernel", "aki", "aki"))
    assert (kernel["disk_format"], kernel["status"]) == ("aki", "active")
    same = run(catalog, bring(catalog, qcow2(tmp_path), "qcow2"))
    assert "converted_from" not in same


@pytest.mark.parametrize(("body", "word"), [
    ({"convert_to": "iso"}, "converted to"), ({"convert_to": 7}, "text"),
    ({"convert_to": "x" * 5000}, "text"),
])  # fmt: skip
def test_a_conversion_that_there_is_not_is_refused_at_once(
    importing: Open, body: Any, word: str
) -> None:
    catalog = importing()
    image_id = bring(catalog, DISK, "raw")
    answer = catalog.import_(image_id, **body)
    assert answer.status_code == 400
    assert word in answer.text
    assert catalog.tasks(image_id) == []


def test_a_disk_whose_guest_wrote_a_header_is_not_taken_in_as_raw(
    importing: Open, tmp_path: Path
) -> None:
    catalog = importing()
    trap = qcow2(tmp_path, qcow2(tmp_path))
    image_id = bring(catalog, trap, "qcow2")
    run(catalog, image_id, convert_to="raw")
    assert "the data is qcow2" in failure(catalog, image_id)


def test_a_conversion_stays_within_the_quota(importing: Open, tmp_path: Path) -> None:
    catalog = importing(quotas=Quotas(size=MIB))
    image_id = bring(catalog, qcow2(tmp_path), "qcow2")
    run(catalog, image_id, convert_to="raw")
    assert "ask for a higher quota" in failure(catalog, image_id)


@pytest.mark.parametrize("form", list(PACKERS))
@pytest.mark.parametrize("container", ["compressed", "bare"])
def test_compressed_data_is_unpacked(importing: Open, form: str, container: str) -> None:
    catalog = importing(plugins=("decompress", "introspect"))
    image_id = bring(catalog, PACKERS[form](DISK), "raw", container)
    image = run(catalog, image_id)
    assert (image["status"], image["container_format"]) == ("active", "bare")
    assert catalog.data(image_id) == DISK
    assert image["os_hash_value"] == hashlib.sha512(DISK).hexdigest()
    assert "introspected_compression" not in image


@pytest.mark.parametrize("form", list(PACKERS))
def test_streams_behind_one_another_are_one(importing: Open, form: str) -> None:
    catalog = importing(plugins=("decompress",))
    pack = PACKERS[form]
    data = pack(DISK[:MIB]) + pack(DISK[MIB:])
    image_id = bring(catalog, data, "raw", "compressed")
    run(catalog, image_id)
    assert catalog.data(image_id) == DISK


@pytest.mark.parametrize("form", list(PACKERS))
@pytest.mark.parametrize("harm", ["cut", "tail", "middle"])
def test_damaged_data_fails_the_import(importing: Open, form: str, harm: str) -> None:
    catalog = importing(plugins=("decompress",))
    packed = bytearray(PACKERS[form](os.urandom(50_000)))
    if harm == "cut":
        packed = packed[:-10]
    elif harm == "tail":
        packed += b"something else behind it"
    else:
        packed[20_000:20_100] = bytes(100)
    image_id = bring(catalog, bytes(packed), "raw", "compressed")
    run(catalog, image_id)
    assert form in failure(catalog, image_id)


@pytest.mark.parametrize("form", list(PACKERS))
def test_a_bomb_is_not_unpacked(importing: Open, form: str) -> None:
    catalog = importing(
        plugins=("decompress",), decompression=DecompressionSettings(most_bytes=2 * MIB)
    )
    image_id = bring(catalog, PACKERS[form](bytes(8 * MIB)), "raw", "compressed")
    run(catalog, image_id)
    assert "more than 2097152 bytes" in failure(catalog, image_id)


def test_what_is_inside_must_be_what_was_declared(importing: Open, tmp_path: Path) -> None:
    catalog = importing(plugins=("decompress", "convert"))
    packed = gzip.compress(qcow2(tmp_path))
    image_id = bring(catalog, packed, "raw", "compressed")
    run(catalog, image_id)
    assert "the data is qcow2" in failure(catalog, image_id)
    image_id = bring(catalog, packed, "qcow2", "compressed", convert_to="raw")
    assert run(catalog, image_id)["disk_format"] == "raw"
    assert catalog.data(image_id) == DISK


def test_properties_are_injected_by_role(importing: Open) -> None:
    rules = (
        InjectionRule({"source": "import", "tier": "plain"}),
        InjectionRule({"tier": "gold"}, roles=("gold", "platinum")),
        InjectionRule({"checked": "no"}, except_roles=("admin",)),
    )
    catalog = importing(injection=rules)
    image = run(catalog, bring(catalog, DISK, "raw", source="mine"))
    assert (image["source"], image["tier"], image["checked"]) == ("import", "plain", "no")
    admin = catalog.as_("p1", "admin,member,gold")
    image = run(admin, bring(admin, DISK, "raw"))
    assert (image["tier"], image.get("checked")) == ("gold", None)


class Signer:
    """A key, and a certificate for it in a folder."""

    def __init__(self, folder: Path, key: Any = None, days: int = 30) -> None:
        self.folder = folder / "certificates"
        self.folder.mkdir(exist_ok=True)
        self.key = key or rsa.generate_private_key(65537, 2048)
        self.certificate = issue(self.key, "signer", days)
        path = self.folder / f"{UUID}.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def sign(self, data: bytes, method: str = "SHA-256") -> dict[str, str]:
        algorithm = {"SHA-256": hashes.SHA256(), "SHA-512": hashes.SHA512()}[method]
        if isinstance(self.key, rsa.RSAPrivateKey):
            kind = "RSA-PSS"
            scheme = padding.PSS(padding.MGF1(algorithm), padding.PSS.MAX_LENGTH)
            signature = self.key.sign(data, scheme, algorithm)
        else:
            kind = "ECC_SECP384R1"
            signature = self.key.sign(data, ec.ECDSA(algorithm))
        return {
            "img_signature": base64.b64encode(signature).decode(),
            "img_signature_hash_method": method,
            "img_signature_key_type": kind,
            "img_signature_certificate_uuid": UUID,
        }


def issue(key: Any, name: str, days: int, issuer: Any = None) -> x509.Certificate:
    now = FakeClock().now()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    by = issuer.certificate.subject if issuer else subject
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


@pytest.mark.parametrize("method", ["SHA-256", "SHA-512"])
@pytest.mark.parametrize("curve", [False, True])
def test_a_signature_is_verified(importing: Open, tmp_path: Path, method: str, curve: bool) -> None:
    signer = Signer(tmp_path, ec.generate_private_key(ec.SECP384R1()) if curve else None)
    catalog = importing(signatures=SignatureSettings(certificates=str(signer.folder)))
    image_id = bring(catalog, DISK, "raw", **signer.sign(DISK, method))
    image = run(catalog, image_id)
    assert image["status"] == "active"
    assert image["os_glance_signature_verified"] == "CN=signer"


def test_a_signature_of_other_bytes_fails_the_import(importing: Open, signer: Signer) -> None:
    catalog = importing(signatures=SignatureSettings(certificates=str(signer.folder)))
    image_id = bring(catalog, DISK, "raw", **signer.sign(DISK + b"!"))
    run(catalog, image_id)
    assert "not that of the image's data" in failure(catalog, image_id)


def test_the_signature_is_of_what_came_not_of_what_it_became(
    importing: Open, signer: Signer, tmp_path: Path
) -> None:
    catalog = importing(signatures=SignatureSettings(certificates=str(signer.folder)))
    data = qcow2(tmp_path)
    image = run(catalog, bring(catalog, data, "qcow2", convert_to="raw", **signer.sign(data)))
    assert image["disk_format"] == "raw"
    assert image["os_glance_signature_verified"] == "CN=signer"
    assert not [name for name in image if name.startswith("img_signature")]


@pytest.mark.parametrize(("change", "word"), [
    ({"img_signature": "no base64!"}, "base64"),
    ({"img_signature_hash_method": "MD5"}, "must be one of"),
    ({"img_signature_key_type": "ECC_SECP384R1"}, "no key of the type"),
    ({"img_signature_key_type": "ROT13"}, "must be one of"),
    ({"img_signature_certificate_uuid": "../../etc/passwd"}, "UUID"),
    ({"img_signature_certificate_uuid": UUID.replace("5", "6")}, "no trusted certificate"),
    ({"img_signature": ""}, "needs the property"),
])  # fmt: skip
def test_a_signature_that_cannot_be_checked_fails_the_import(
    importing: Open, signer: Signer, change: dict[str, str], word: str
) -> None:
    catalog = importing(signatures=SignatureSettings(certificates=str(signer.folder)))
    image_id = bring(catalog, DISK, "raw", **(signer.sign(DISK) | change))
    run(catalog, image_id)
    assert word in failure(catalog, image_id)


def test_an_expired_certificate_is_not_trusted(importing: Open, tmp_path: Path) -> None:
    signer = Signer(tmp_path, days=-1)
    catalog = importing(signatures=SignatureSettings(certificates=str(signer.folder)))
    image_id = bring(catalog, DISK, "raw", **signer.sign(DISK))
    run(catalog, image_id)
    assert "is valid from" in failure(catalog, image_id)


def test_signatures_can_be_required(importing: Open, signer: Signer) -> None:
    given = SignatureSettings(certificates=str(signer.folder), required=True)
    catalog = importing(signatures=given)
    image_id = bring(catalog, DISK, "raw")
    run(catalog, image_id)
    assert "must be signed" in failure(catalog, image_id)
    assert run(catalog, bring(catalog, DISK, "raw", **signer.sign(DISK)))["status"] == "active"


def test_nobody_can_say_that_a_signature_was_verified(importing: Open) -> None:
    catalog = importing()
    body = {"disk_format": "raw", "container_format": "bare", "os_glance_signature_verified": "x"}
    assert catalog.request("POST", "/v2/images", json=body).status_code == 403


HOOK = """
from kilo_catalog.tasks.plugins.base import ImportPlugin

class Hook(ImportPlugin):
    name = "our-hook"

    def __init__(self, settings, tools):
        self._name = settings.default_store

    def wanted(self, bench):
        return bench.image.name != "leave me"

    def run(self, bench):
        with bench.file() as path:
            first = path.read_bytes()[:4]
        bench.set_properties({"seen": first.decode(), "store": self._name})
"""


def test_an_entry_point_adds_a_plugin(
    importing: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site"
    info = package / "our_hook-1.0.dist-info"
    info.mkdir(parents=True)
    (package / "our_hook_module.py").write_text(HOOK)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-hook\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[kilostack.import_plugins]\nour-hook = our_hook_module:Hook\n"
    )
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    catalog = importing(plugins=("our-hook", "introspect"))
    image = run(catalog, bring(catalog, DISK, "raw"))
    assert (image["seen"], image["store"]) == ("boot", "main")
    assert "seen" not in run(catalog, bring(catalog, DISK, "raw", name="leave me"))


@pytest.mark.parametrize(("settings", "word"), [
    ({"plugins": ("convrt",)}, "did you mean 'convert'"),
    ({"conversion": ConversionSettings(target="iso")}, "conversion.target"),
    ({"signatures": SignatureSettings(url="https://example.org/{uuid}")}, "authorities"),
    ({"signatures": SignatureSettings(url="https://example.org/x")}, "{uuid}"),
])  # fmt: skip
def test_a_wrong_configuration_stops_the_start(
    importing: Open, settings: dict[str, Any], word: str
) -> None:
    with pytest.raises(ConfigInvalid, match=word.replace("{", r"\{")):
        importing(**settings)
