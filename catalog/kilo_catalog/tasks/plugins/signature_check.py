"""Checks a signature by a certificate's key. Apart from the plugin, since `cryptography` takes a
while to import: it is loaded where signatures are configured."""

from datetime import datetime

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa, utils
from cryptography.x509 import Certificate

from kilo_catalog.domain.signed import CURVES, ImageSignature
from kilo_catalog.errors import SignatureInvalid
from kilo_catalog.tasks.plugins.certificates import Certificates
from kilo_catalog.tasks.plugins.settings import SignatureSettings
from kilo_common.fetch.fetcher import Fetcher

_HASHES = {
    "SHA-224": hashes.SHA224(),
    "SHA-256": hashes.SHA256(),
    "SHA-384": hashes.SHA384(),
    "SHA-512": hashes.SHA512(),
}


class SignatureChecker:
    """Checks by the certificates that are configured."""

    def __init__(self, settings: SignatureSettings, fetcher: Fetcher) -> None:
        """Raises ConfigInvalid: see `Certificates`."""
        self._certificates = Certificates(settings, fetcher)

    def check(self, found: ImageSignature, digest: bytes, now: datetime) -> str:
        """Who signed that digest, as the certificate names its subject.

        Raises:
            SignatureInvalid: the signature is wrong, or its certificate not trusted.
            FetchFailed, FetchRefused: the key manager cannot be asked.
        """
        certificate = self._certificates.find(found.certificate, now)
        verify(certificate, found, digest)
        return certificate.subject.rfc4514_string()[:255] or found.certificate


def verify(certificate: Certificate, found: ImageSignature, digest: bytes) -> None:
    """Return if the signature is that of the digest, by the certificate's key.

    Raises:
        SignatureInvalid: it is not, or the key is of another kind than the image says.
    """
    algorithm = utils.Prehashed(_HASHES[found.hash_method])
    key = certificate.public_key()
    try:
        if found.key_type == "RSA-PSS" and isinstance(key, rsa.RSAPublicKey):
            scheme = padding.PSS(padding.MGF1(_HASHES[found.hash_method]), padding.PSS.AUTO)
            key.verify(found.signature, digest, scheme, algorithm)
        elif found.key_type == "DSA" and isinstance(key, dsa.DSAPublicKey):
            key.verify(found.signature, digest, algorithm)
        elif (
            isinstance(key, ec.EllipticCurvePublicKey)
            and CURVES.get(found.key_type) == key.curve.name
        ):
            key.verify(found.signature, digest, ec.ECDSA(algorithm))
        else:
            raise SignatureInvalid(
                f"The certificate {found.certificate} has no key of the type {found.key_type}",
                certificate=found.certificate,
            )
    except InvalidSignature:
        raise SignatureInvalid(
            f"The signature is not that of the image's data by certificate {found.certificate}",
            certificate=found.certificate,
        ) from None
    except (UnsupportedAlgorithm, ValueError) as fault:
        raise SignatureInvalid(f"The signature cannot be checked: {fault}") from fault
