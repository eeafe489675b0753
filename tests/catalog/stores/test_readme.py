"""The examples of the stores' README run as they are printed, on a folder of the test."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

import kilo_catalog.stores
from contracts.blob_store import put

README = Path(kilo_catalog.stores.__file__).with_name("README.md")


def test_the_examples_do_what_the_text_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(first.replace("/srv/blobs", f"{tmp_path}/blobs"), {})
    assert capsys.readouterr().out == "b'bytes'\n"
    program: dict[str, Any] = {}
    exec(second.replace("/srv/kilostack", str(tmp_path)), program)
    store, target = program["stores"]["main"], tmp_path / "disk"
    put(store, "key", b"0123456789")
    sha512 = hashlib.sha512(b"0123456789").hexdigest()
    assert program["fetch"](store.location("key"), 10, sha512, target)
    assert target.read_bytes() == b"0123456789"
    assert not program["fetch"]("file:///elsewhere", 10, sha512, target)
