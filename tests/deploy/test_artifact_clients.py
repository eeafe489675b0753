"""python-glareclient as it is, against our artifacts."""

import json
import subprocess
from pathlib import Path

import pytest

from kilo_deploy.accounts import sign_in
from kilo_deploy.state import StackInfo

pytestmark = pytest.mark.clients
# Its blobs are read by their inner iterator: the outer one is of Python 2.
GLARE = """
import io, json, sys
from glareclient import client
glare = client.Client("1", sys.argv[1], auth_token=sys.argv[2]).artifacts
heat = {"type_name": "heat_templates"}
made = glare.create("web", version="1.2.0", tags=["x"], **heat)
body = io.BytesIO(b"heat_template_version: 2021-04-16\\n")
glare.upload_blob(made["id"], "template", body, content_type="text/x-yaml", **heat)
found = {"active": glare.activate(made["id"], **heat)["status"]}
found["tags"] = glare.add_tag(made["id"], "y", **heat)["tags"]
found["data"] = b"".join(glare.download_blob(made["id"], "template", **heat).iter).decode()
found["list"] = [each["name"] for each in glare.list(**heat)]
found["latest"] = glare.get_by_name("web", **heat)["version"]
other = glare.create("other", type_name="generic")
place = {"url": "https://example.org/x", "md5": "0" * 32}
glare.add_external_location(other["id"], "content", place, type_name="generic")
found["external"] = glare.get(other["id"], type_name="generic")["content"]["external"]
glare.remove_external_location(other["id"], "content", type_name="generic")
glare.delete(other["id"], type_name="generic")
found["closed"] = glare.deactivate(made["id"], **heat)["status"]
glare.delete(made["id"], **heat)
found["left"] = [each["name"] for each in glare.list(**heat)]
found["types"] = [name for name, version in glare.get_type_list()]
print(json.dumps(found))
"""


def test_glareclient_takes_an_artifact_through_its_life(
    clients_folder: Path, kilostack: StackInfo
) -> None:
    headers = sign_in(kilostack, kilostack.project, {})
    token = headers.get("X-Auth-Token", "none")
    done = subprocess.run(
        [str(clients_folder / "bin/python"), "-c", GLARE, kilostack.catalog_url, token],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert "models" in found.pop("types")
    assert found == {
        "active": "active",
        "tags": ["x", "y"],
        "data": "heat_template_version: 2021-04-16\n",
        "list": ["web"],
        "latest": "1.2.0",
        "external": True,
        "closed": "deactivated",
        "left": [],
    }
