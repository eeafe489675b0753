"""A real Keystone from its own environment: a process on loopback, and words to fill it with."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.request import Request, urlopen

ADMIN = "admin"
"""Name, password and project of Keystone's first user."""
_SERVE = """
import sys
port, sys.argv = int(sys.argv[1]), sys.argv[:1]
from keystone.server.wsgi import initialize_public_application
from werkzeug.serving import make_server
application = initialize_public_application()
server = make_server("127.0.0.1", port, application, threaded=True)
print("keystone is ready", flush=True)
server.serve_forever()
"""


class KeystoneProcess:
    """A Keystone on a database of its own; `environment` is a virtual environment that has it."""

    def __init__(self, environment: Path, folder: Path) -> None:
        """Make its database and keys in `folder`, and start it."""
        self._bin = environment / "bin"
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._set_up()
        errors = folder / "keystone.err"
        with errors.open("w") as log:
            self._process = self._start(log)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "keystone is ready" in line:
                break
        else:
            raise AssertionError(errors.read_text()[-4000:])
        # Whatever it prints later must not fill the pipe.
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
        self.token = self.sign_in(ADMIN, ADMIN, ADMIN)

    def _start(self, log: IO[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(self._bin / "python"), "-c", _SERVE, str(self.port)],
            env=self._environ(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def sign_in(self, user: str, password: str, project: str | None) -> str:
        """A token of the user, for a project or for none."""
        domain = {"id": "default"}
        who = {"name": user, "password": password, "domain": domain}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": who}}}
        if project is not None:
            auth["scope"] = {"project": {"name": project, "domain": domain}}
        body = json.dumps({"auth": auth}).encode()
        with urlopen(Request(f"{self.url}/v3/auth/tokens", body, _JSON), timeout=30) as answer:
            return str(answer.headers["X-Subject-Token"])

    def add_user(self, name: str, project: str, *roles: str) -> str:
        """Make a user whose password is its name, with roles on a project, which is made as well;
        the project's id."""
        found = self.ask("GET", f"projects?name={project}")["projects"]
        if not found:
            found = [self.ask("POST", "projects", {"project": {"name": project}})["project"]]
        project_id = str(found[0]["id"])
        user = self.ask("POST", "users", {"user": {"name": name, "password": name}})["user"]
        for role in roles:
            role_id = self.ask("GET", f"roles?name={role}")["roles"][0]["id"]
            self.ask("PUT", f"projects/{project_id}/users/{user['id']}/roles/{role_id}")
        return project_id

    def add_service(self, kind: str, name: str, url: str) -> None:
        """Put a service into the catalog."""
        service = self.ask("POST", "services", {"service": {"type": kind, "name": name}})["service"]
        for interface in ("public", "internal", "admin"):
            endpoint = {
                "service_id": service["id"],
                "interface": interface,
                "url": url,
                "region_id": "RegionOne",
            }
            self.ask("POST", "endpoints", {"endpoint": endpoint})

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Keystone's answer to its administrator."""
        headers = {**_JSON, "X-Auth-Token": self.token}
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/v3/{path}", data, headers, method=method)
        with urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def _set_up(self) -> None:
        config = self._folder / "keystone.conf"
        lines = [
            "[DEFAULT]",
            f"log_file = {self._folder / 'keystone.log'}",
            "[database]",
            f"connection = sqlite:///{self._folder / 'keystone.db'}",
            "[identity]",
            "password_hash_rounds = 4",
            "[cache]",
            "enabled = false",
        ]
        for section, name in (
            ("fernet_tokens", "fernet"),
            ("fernet_receipts", "fernet"),
            ("credential", "credential"),
        ):
            (self._folder / name).mkdir(mode=0o700, exist_ok=True)
            lines += [f"[{section}]", f"key_repository = {self._folder / name}"]
        config.write_text("\n".join(lines) + "\n")
        self._manage("db_sync")
        me = (f"--keystone-user={os.getuid()}", f"--keystone-group={os.getgid()}")
        self._manage("fernet_setup", *me)
        self._manage("credential_setup", *me)
        urls = [f"--bootstrap-{each}-url={self.url}/v3" for each in ("public", "internal", "admin")]
        region = "--bootstrap-region-id=RegionOne"
        self._manage("bootstrap", f"--bootstrap-password={ADMIN}", region, *urls)

    def _manage(self, *arguments: str) -> None:
        done = subprocess.run(
            [
                str(self._bin / "keystone-manage"),
                "--config-file",
                str(self._folder / "keystone.conf"),
                *arguments,
            ],
            env=self._environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]

    def _environ(self) -> Mapping[str, str]:
        return {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "OS_KEYSTONE_CONFIG_DIR": str(self._folder),
            "OS_KEYSTONE_CONFIG_FILES": "keystone.conf",
        }


_JSON = {"Content-Type": "application/json"}
