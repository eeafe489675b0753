"""Runs a tool on data of strangers: without network, with little memory, in a folder of its own.

Put together from util-linux: `unshare` gives it a network namespace with nothing in it, `setpriv`
takes away what set-user-ID programs could give, `prlimit` bounds memory, time and files. They
replace one another, so that the process we started is the tool itself.
"""

import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from msgspec import Struct

from kilo_catalog.errors import ConversionFailed, ScratchFull
from kilo_common.errors import ConfigInvalid

log = logging.getLogger(__name__)
_LOOK_EVERY = 0.1
"""Seconds between two looks at what the tool says."""
_LONGEST_WORD = 500
_FILES = 64
_STACK = 2 << 20
"""Bytes of a thread's stack. Of the usual 8 MiB, QEMU's up to 64 threads would need half a GiB."""
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
# Each arena of malloc takes 64 MiB of address space, and there may be eight for each processor.
_ENVIRON = {"PATH": _PATH, "LC_ALL": "C", "MALLOC_ARENA_MAX": "2"}
_ALONE = (("unshare", "--net", "--map-root-user"), ("unshare", "--net"))
"""Ways into a network namespace of one's own: as anybody, and as root where that is forbidden."""
_NO_PRIVILEGES = ("setpriv", "--no-new-privs")


class SandboxLimits(Struct, frozen=True):
    """What a tool may use."""

    seconds: float
    """Of the clock, and of each processor."""
    memory: int
    """Bytes of address space."""
    file_size: int
    """Bytes, the end of the longest file it may write."""


@dataclass(frozen=True)
class Sandbox:
    """Runs tools, each within the same limits."""

    limits: SandboxLimits
    wrappers: tuple[str, ...]
    """The words before a tool's own."""

    @classmethod
    def build(cls, limits: SandboxLimits) -> "Sandbox":
        """A sandbox of what this machine has.

        Without a right to network namespaces it is one without, which the log says.

        Raises:
            ConfigInvalid: there is nothing here that bounds memory and time.
        """
        alone = next((each for each in _ALONE if _works(each)), None)
        if alone is None:
            log.warning("qemu-img keeps its access to the network: unshare --net is not allowed")
        quiet = _NO_PRIVILEGES if _works(_NO_PRIVILEGES) else ()
        bounds = (
            "prlimit", "--core=0", f"--nofile={_FILES}", f"--cpu={int(limits.seconds) + 1}",
            f"--as={limits.memory}", f"--stack={_STACK}", f"--fsize={limits.file_size}",
        )  # fmt: skip
        if not _works(bounds):
            raise ConfigInvalid(
                "qemu-img is only run with limits on its memory, and prlimit (of util-linux) is "
                "not there; install it, or set catalog.imports.conversion.tool to built-in"
            )
        return cls(limits, (*(alone or ()), *quiet, *bounds))

    def run(self, command: Sequence[str], folder: Path) -> Generator[str, None, None]:
        """Run a tool with `folder` as its working folder; now and then, its latest output. When
        the iterator is closed the tool is killed.

        Raises:
            ConversionFailed: it failed or took too long; the sentence has its own words.
            ScratchFull: there was no room for what it wrote.
        """
        deadline = time.monotonic() + self.limits.seconds
        with (
            tempfile.TemporaryFile(dir=folder) as said,
            tempfile.TemporaryFile(dir=folder) as grief,
        ):
            process = subprocess.Popen(  # noqa: S603 - our own words; paths come from us
                [*self.wrappers, *command],
                cwd=folder,
                env={**_ENVIRON, "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=grief,
                start_new_session=True,
            )
            try:
                while not _ended(process):
                    if time.monotonic() > deadline:
                        raise ConversionFailed(
                            f"The conversion took longer than the {self.limits.seconds:g} seconds "
                            "it may (catalog.imports.conversion.time_limit)"
                        )
                    yield _last_words(said)
            finally:
                if process.returncode is None:
                    process.kill()
                    process.wait()
            if process.returncode:
                raise self._explain(process.returncode, _last_words(grief))

    def _explain(self, code: int, words: str) -> ConversionFailed | ScratchFull:
        if code == -signal.SIGXFSZ or "No space left" in words or "File too large" in words:
            return ScratchFull(
                f"There is no room for the converted image: {words or 'it has reached the limit'}",
                limit=self.limits.file_size,
            )
        if code < 0:
            words = f"{words} (ended by {signal.Signals(-code).name})".strip()
        return ConversionFailed(
            f"The image cannot be converted: {words or f'status {code}'}", status=code
        )


def _ended(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(_LOOK_EVERY)
    except subprocess.TimeoutExpired:
        return False
    return True


def _last_words(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    data = os.pread(file.fileno(), _LONGEST_WORD, max(0, size - _LONGEST_WORD))
    return data.decode("utf-8", "replace").strip()


def _works(command: Sequence[str]) -> bool:
    """Whether a wrapper can start something here."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [*command, "true"], env={"PATH": _PATH}, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
