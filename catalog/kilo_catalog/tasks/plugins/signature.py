"""Verifies the signature of an image over its bytes as they came, before anything changes them.

The properties and algorithms are those of OpenStack's signed images (`img_signature…`).
"""

import hashlib
from contextlib import closing
from typing import Any

from kilo_catalog.config import CatalogSettings
from kilo_catalog.domain.signed import VERIFIED, signature_of
from kilo_catalog.errors import SignatureInvalid
from kilo_catalog.tasks.plugins.base import ImportPlugin, PluginTools, Workbench
from kilo_common.fetch.fetcher import Fetcher
from kilo_common.registry import Driver, DriverTable

_BLOCK = 2 << 20
_CHECKERS = DriverTable(
    "signature checker",
    {"x509": Driver("kilo_catalog.tasks.plugins.signature_check:SignatureChecker")},
)


class VerifySignature(ImportPlugin):
    """Where certificates are configured, a signature must be right; without one an image passes,
    unless signatures are required."""

    name = "signature"

    def __init__(self, settings: CatalogSettings, tools: PluginTools) -> None:
        given = settings.imports.signatures
        self._required = given.required
        self._executor = tools.executor
        self._clock = tools.clock
        self._checker: Any = None
        if given.certificates or given.url:
            self._checker = _CHECKERS.load("x509")(given, Fetcher(given.fetch, tools.executor))

    @property
    def active(self) -> bool:
        return self._required or self._checker is not None

    def wanted(self, bench: Workbench) -> bool:
        if self._required:
            return True
        return self._checker is not None and signature_of(bench.image.properties) is not None

    def run(self, bench: Workbench) -> None:
        found = signature_of(bench.image.properties) if self._checker else None
        if found is None:
            if self._required:
                raise SignatureInvalid(
                    "Images must be signed here (catalog.imports.signatures.required); set the "
                    "properties img_signature, img_signature_hash_method, img_signature_key_type "
                    "and img_signature_certificate_uuid"
                )
            return
        digest = self._digest(bench, found.hash_method)
        signer = self._checker.check(found, digest, self._clock.now())
        bench.set_properties({VERIFIED: signer})

    def _digest(self, bench: Workbench, method: str) -> bytes:
        facts = bench.facts
        name = method.replace("-", "").lower()
        if facts.os_hash_algo == name:
            return bytes.fromhex(facts.os_hash_value)
        digest = hashlib.new(name)
        done = 0
        with closing(bench.reader()) as reader:
            while block := self._executor.submit(reader.read, _BLOCK).result():
                self._executor.submit(digest.update, block).result()
                done += len(block)
                bench.progress(done / max(facts.size, 1))
                bench.check()
        return digest.digest()
