"""Equal blobs kept once, on a server that knows neither transactions nor counters.

    data/CONTENT           the bytes, once; CONTENT is never used again
    digests/SHA512/CONTENT the contents that have these bytes
    refs/CONTENT/KEY       a blob that needs the content
    graves/CONTENT/KEY     somebody is about to see whether anybody needs it

Both sides first say what they do and then look at the other: who takes a content writes a ref and
then looks for graves; who lets go of it digs a grave and then looks for refs. Whatever the order,
at least one of them sees the other: a content with a grave is not taken, one with a ref is not
removed.
The server must be strongly consistent, as S3 has been since 2020.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol


class Names(Protocol):
    """What is asked of the objects."""

    def put(self, name: str) -> None: ...

    def delete(self, name: str) -> None: ...

    def exists(self, name: str) -> bool: ...

    def names(self, folder: str) -> Iterator[str]: ...


class SharedContent:
    """Contents, by whom they are needed."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def attach(
        self, digest: str, key: str, note: Callable[[str], None], below: str | None = None
    ) -> str | None:
        """The content with that digest which `key` now needs; None if there is none to take.

        `note` is called with each content before it is tried, to be written down: whoever finds
        the key half done calls `release` for it. With `below`, only names less than it count.
        """
        for content in sorted(self._names.names(f"digests/{digest}/")):
            if below is not None and content >= below:
                return None
            note(content)
            self.need(content, key)
            if not _any(self._names.names(f"graves/{content}/")) and self._names.exists(
                f"data/{content}"
            ):
                return content
            self.release(content, digest, key)
        return None

    def need(self, content: str, key: str) -> None:
        """Say that `key` needs a content: one that is about to be made, or that `attach` tries."""
        self._names.put(f"refs/{content}/{key}")

    def announce(self, content: str, digest: str) -> None:
        """Let others take a content that is there."""
        self._names.put(f"digests/{digest}/{content}")

    def release(self, content: str, digest: str, key: str) -> None:
        """`key` needs the content no more; the last to say so removes it. To be repeated freely."""
        names, grave = self._names, f"graves/{content}/{key}"
        names.delete(f"refs/{content}/{key}")
        names.put(grave)
        if not _any(names.names(f"refs/{content}/")):
            names.delete(f"data/{content}")
            if digest:
                names.delete(f"digests/{digest}/{content}")
        names.delete(grave)


def _any(names: Iterable[str]) -> bool:
    return next(iter(names), None) is not None
