"""A resumable upload by tuspy, unmodified: in parts, broken off, continued by another client."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from kilo_deploy.accounts import sign_in
from kilo_deploy.client import ApiClient
from kilo_deploy.state import StackInfo
from support.clients import Clients

pytestmark = pytest.mark.clients

SCRIPT = """
import json, sys
from tusclient.client import TusClient

url, file, headers, chunk, until = sys.argv[1:]
client = TusClient(url, headers=json.loads(headers))
given = {"url": CONTINUED} if CONTINUED else {}
uploader = client.uploader(file, chunk_size=int(chunk), metadata={"filename": "disk"}, **given)
if until == "end":
    uploader.upload()
else:
    uploader.upload(stop_at=int(until))
print(uploader.url)
"""


def test_an_upload_goes_on_where_another_client_broke_off(
    clients: Clients, kilostack: StackInfo, tmp_path: Path
) -> None:
    identity = sign_in(kilostack, kilostack.project, {})
    catalog = ApiClient(kilostack.catalog_url, identity)
    record = {"disk_format": "raw", "container_format": "bare"}
    path = f"/v2/images/{catalog.json('POST', '/v2/images', record)['id']}"
    data = os.urandom(3_000_000)
    file = tmp_path / "disk.raw"
    file.write_bytes(data)
    arguments = (f"{kilostack.catalog_url}{path}/uploads", str(file), json.dumps(identity))

    url = clients.python(f"CONTINUED = None\n{SCRIPT}", *arguments, "400000", "1200000").strip()
    assert catalog.json("GET", path)["status"] == "saving"
    again = f"CONTINUED = {url!r}\n{SCRIPT}"
    assert clients.python(again, *arguments, "700000", "end").strip() == url

    image = catalog.json("GET", path)
    assert (image["status"], image["size"]) == ("active", len(data))
    assert image["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert b"".join(catalog.download(f"{path}/file")) == data
