"""Several worker processes for one role: gunicorn with its gevent worker.

`run` replaces this process by gunicorn's own, which imports nothing of ours before its workers are
forked and patched; `gunicorn_conf` beside this module starts and stops the role in each worker.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from kilo_common.http.auth import check_bind
from kilo_deploy.config import StackSettings, load_stack
from kilo_deploy.processes import open_runtime
from kilo_deploy.roles import Part, build_role

CONFIG_VARIABLE = "KILOSTACK_SERVE_CONFIG"
ROLE_VARIABLE = "KILOSTACK_SERVE_ROLE"


def run(role: str, settings: StackSettings, file: Path | None, workers: int) -> NoReturn:
    """Become a gunicorn that serves `role`, which listens on a port, with that many worker
    processes. Raises ConfigInvalid, see `check_bind`."""
    http = {
        "catalog-api": settings.catalog.http,
        "messaging": settings.messaging.http,
        "identity": settings.auth.dev.http,
    }[role]
    check_bind(settings.auth, http.host)
    environ = dict(os.environ) | {ROLE_VARIABLE: role, CONFIG_VARIABLE: str(file or "")}
    environ["KILO_STATE_DIR"] = settings.state_dir  # from wherever we have it
    binds = [http.port]
    if role == "messaging" and settings.messaging.websocket_port:
        binds.append(settings.messaging.websocket_port)
    command = [
        *(sys.executable, "-m", "gunicorn"),
        *("--config", "python:kilo_deploy.gunicorn_conf"),
        *("--workers", str(workers)),
        *("--graceful-timeout", str(max(1, int(settings.shutdown_timeout)))),
        *(part for port in binds for part in ("--bind", f"{http.host}:{port}")),
        "kilo_deploy.gunicorn_conf:application",
    ]
    os.execve(sys.executable, command, environ)  # noqa: S606 - no shell, and every part is ours


def open_worker() -> Part:
    """The role named in the environment, put together and started in this worker process."""
    file = os.environ[CONFIG_VARIABLE]
    settings = load_stack(Path(file) if file else None, os.environ)
    runtime = open_runtime(settings)
    runtime.transport.start()
    return build_role(os.environ[ROLE_VARIABLE], settings, runtime)
