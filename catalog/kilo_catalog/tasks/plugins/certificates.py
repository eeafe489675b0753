"""Finds the certificates that images are signed with: in a folder, or at a key manager."""

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from kilo_catalog.errors import SignatureInvalid
from kilo_catalog.tasks.plugins.settings import SignatureSettings
from kilo_common.errors import ConfigInvalid
from kilo_common.fetch.fetcher import Fetcher

_LARGEST = 65536
_PEM = "application/pkix-cert, application/octet-stream, text/plain"


class Certificates:
    """By their ids."""

    def __init__(self, settings: SignatureSettings, fetcher: Fetcher) -> None:
        """
        Raises:
            ConfigInvalid: there is a key manager and nobody to trust, or a file that is none.
        """
        self._folder = Path(settings.certificates) if settings.certificates else None
        self._url = settings.url
        self._token = settings.token
        self._fetcher = fetcher
        self._authorities: list[x509.Certificate] = []
        if not settings.url:
            return
        if "{uuid}" not in settings.url:
            raise ConfigInvalid("catalog.imports.signatures.url: it needs {uuid} in it")
        try:
            data = Path(settings.authorities).read_bytes()
            self._authorities = x509.load_pem_x509_certificates(data)
        except (OSError, ValueError) as fault:
            raise ConfigInvalid(
                "catalog.imports.signatures.authorities: certificates of a key manager are trusted "
                f"only if one of these has issued them; that file cannot be read: {fault}"
            ) from None

    def find(self, uuid: str, now: datetime) -> x509.Certificate:
        """The certificate of that id.

        Raises:
            SignatureInvalid: there is none that is trusted and valid now.
            FetchFailed, FetchRefused: the key manager cannot be asked.
        """
        found = self._local(uuid)
        if found is None and self._url:
            found = self._remote(uuid)
        if found is None:
            raise SignatureInvalid(f"There is no trusted certificate {uuid}", certificate=uuid)
        if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
            raise SignatureInvalid(
                f"The certificate {uuid} is valid from {found.not_valid_before_utc:%Y-%m-%d} to "
                f"{found.not_valid_after_utc:%Y-%m-%d} only",
                certificate=uuid,
            )
        return found

    def _local(self, uuid: str) -> x509.Certificate | None:
        if self._folder is None:
            return None
        try:
            data = (self._folder / f"{uuid}.pem").read_bytes()
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise SignatureInvalid(
                f"The certificate {uuid} cannot be read: {fault.strerror}"
            ) from fault
        return _load(data, uuid)

    def _remote(self, uuid: str) -> x509.Certificate | None:
        headers = {"Accept": _PEM} | ({"X-Auth-Token": self._token} if self._token else {})
        answer = self._fetcher.request(
            "GET", self._url.replace("{uuid}", uuid), headers=headers, max_answer=_LARGEST
        )
        if answer.status != 200:
            return None
        found = _load(answer.body, uuid)
        for authority in self._authorities:
            try:
                found.verify_directly_issued_by(authority)
            except (ValueError, TypeError, InvalidSignature):
                continue
            return found
        raise SignatureInvalid(
            f"The certificate {uuid} was not issued by anybody that is trusted here",
            certificate=uuid,
        )


def _load(data: bytes, uuid: str) -> x509.Certificate:
    """PEM, or DER as key managers give it as well."""
    try:
        if data.lstrip().startswith(b"-----"):
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except ValueError:
        raise SignatureInvalid(f"The certificate {uuid} is none", certificate=uuid) from None
