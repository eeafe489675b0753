"""Figures of imports: staged data, and many tasks over several worker processes.

    .venv-test/bin/python tests/bench/imports.py [--size-mib N] [--tasks N] [--workers N]

The staged import runs in a stack of its own (`kilostack up`); the yardstick beside it is `cp` of
the same file with fsync. The tasks run over a RabbitMQ and a PostgreSQL on loopback, in processes
that share no folder; half of the workers are killed on the way. Nothing here passes or fails, but a
task that is lost ends the run.
"""

import argparse
import os
import signal
import statistics
import tempfile
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import sqlalchemy as sa

from kilo_deploy.client import ApiClient
from kilo_deploy.testing import KilostackProcess, StackProcess

MIB = 2**20
RECORD = {"disk_format": "raw", "container_format": "bare"}
DIRECT = {"method": {"name": "glance-direct"}}
RABBIT = "rabbit://guest:guest@127.0.0.1:5672/"
POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432"
LEASE = 5.0
SHM = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Another file system: no link leads there."""


def spread(values: list[float], unit: str) -> str:
    return (
        f"{statistics.median(values):8.3f} {unit}  ({min(values):.3f} … {max(values):.3f}, "
        f"n={len(values)})"
    )


def wait_until_active(catalog: ApiClient, image_id: str) -> None:
    while catalog.json("GET", f"/v2/images/{image_id}")["status"] != "active":
        time.sleep(0.002)


def staged_import(
    catalog: ApiClient, size_mib: int, body: dict[str, object]
) -> tuple[float, float]:
    """Seconds for staging, and from the request to import until the image is active."""
    block = os.urandom(MIB)
    image_id = catalog.json("POST", "/v2/images", RECORD)["id"]
    began = time.perf_counter()
    catalog.upload(f"/v2/images/{image_id}/stage", (block for _ in range(size_mib)), size_mib * MIB)
    staged = time.perf_counter()
    catalog.json("POST", f"/v2/images/{image_id}/import", body)
    wait_until_active(catalog, image_id)
    active = time.perf_counter()
    catalog.json("DELETE", f"/v2/images/{image_id}")
    return staged - began, active - staged


def copy_seconds(folder: Path, size_mib: int) -> float:
    """A copy of a file as large, on the same disk, safe from power loss."""
    source, target = folder / "source", folder / "target"
    with source.open("wb") as file:
        for _ in range(size_mib):
            file.write(os.urandom(MIB))
        os.fsync(file.fileno())
    began = time.perf_counter()
    with source.open("rb") as read, target.open("wb") as written:
        while block := read.read(4 * MIB):
            written.write(block)
        os.fsync(written.fileno())
    seconds = time.perf_counter() - began
    source.unlink()
    target.unlink()
    return seconds


def measure_staged(size_mib: int) -> None:
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir=SHM) as shm:
        folder = Path(name)
        stores = {
            "KILO_CATALOG__STORES__MAIN__PATH": f"{folder}/main",
            "KILO_CATALOG__STORES__SECOND__PATH": f"{folder}/second",
            "KILO_CATALOG__STORES__SHM__PATH": shm,
        }
        stack = StackProcess(folder / "state", ["--auth", "none"], stores)
        catalog = ApiClient(stack.wait_ready().catalog_url, {})
        staging: list[float] = []
        for where, target in (
            ("where it was staged", "main"),
            ("a store on the same disk", "second"),
            ("a store elsewhere (memory)", "shm"),
        ):
            body = {**DIRECT, "stores": [target]}
            figures = [staged_import(catalog, size_mib, body) for _ in range(5)]
            staging += [seconds for seconds, _ in figures]
            told = spread([seconds for _, seconds in figures], "s")
            print(f"{size_mib} MiB, import into {where:<26} {told}")
        stack.interrupt()
        print(f"{size_mib} MiB, staging{'':<32}{spread(staging, 's')}")
        copies = [copy_seconds(folder, size_mib) for _ in range(3)]
        print(f"{size_mib} MiB, cp and fsync, beside{'':<19}{spread(copies, 's')}")


CONFIG = """
state_dir = "{folder}/state"
[bus]
url = "{rabbit}"
exchange = "{name}"
notification_topic = "{name}"
[auth]
strategy = "none"
[catalog.http]
port = 0
[catalog.database]
url = "{database}"
[catalog.stores.main]
driver = "sql"
path = ""
url = "{database}"
[catalog.imports]
lease = {lease}
per_project = 10000
"""


def measure_tasks(tasks: int, workers: int) -> None:
    name = f"kilo_bench_{uuid.uuid4().hex[:8]}"
    engine = sa.create_engine(f"{POSTGRES}/postgres", isolation_level="AUTOCOMMIT")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        stack.callback(drop, engine, name)
        config = folder / "kilo.toml"
        config.write_text(
            CONFIG.format(
                folder=folder, rabbit=RABBIT, name=name, lease=LEASE, database=f"{POSTGRES}/{name}"
            )
        )
        for killed in (0, workers // 2):
            run_tasks(config, tasks, workers, killed)


def drop(engine: sa.Engine, name: str) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


def run_tasks(config: Path, tasks: int, workers: int, killed: int) -> None:
    with ExitStack() as stack:

        def start(*arguments: str) -> KilostackProcess:
            process = KilostackProcess([*arguments, "--config", str(config)])
            stack.callback(process.kill)
            return process

        assert start("db", "upgrade").wait() == 0
        url = start("serve", "catalog-api").wait_for("is ready at").split(" at ")[1].split()[0]
        catalog = ApiClient(url, {})
        images = []
        for _ in range(tasks):
            image_id = catalog.json("POST", "/v2/images", RECORD)["id"]
            catalog.upload(f"/v2/images/{image_id}/stage", [b"x" * 65536], 65536)
            catalog.json("POST", f"/v2/images/{image_id}/import", DIRECT)
            images.append(image_id)
        crew = start("serve", "catalog-worker", "--workers", str(workers))
        pids = [int(crew.wait_for("process ").rsplit(" ", 1)[1]) for _ in range(workers)]
        wait_for_active(catalog, images, 1)
        began = time.perf_counter()
        first = len(active(catalog))
        for pid in pids[:killed]:
            os.kill(pid, signal.SIGKILL)
        wait_for_active(catalog, images, tasks)
        seconds = time.perf_counter() - began
        statuses = Counter(
            each["status"]
            for image_id in images
            for each in catalog.json("GET", f"/v2/images/{image_id}/tasks")["tasks"]
        )
        assert statuses == {"success": tasks}, statuses
        print(
            f"{tasks} tasks, {workers} workers, {killed} of them killed after {first:3d} tasks: "
            f"{seconds:6.2f} s (a lease is {LEASE:.0f} s)"
        )
        for image_id in images:
            catalog.json("DELETE", f"/v2/images/{image_id}")
        crew.interrupt()


def active(catalog: ApiClient) -> list[str]:
    listed = catalog.json("GET", "/v2/images?limit=1000&status=active")["images"]
    return [each["id"] for each in listed]


def wait_for_active(catalog: ApiClient, images: list[str], count: int) -> None:
    while len(active(catalog)) < min(count, len(images)):
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=512)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--only", choices=["staged", "tasks"])
    given = parser.parse_args()
    if given.only != "tasks":
        measure_staged(given.size_mib)
    if given.only != "staged":
        measure_tasks(given.tasks, given.workers)


if __name__ == "__main__":
    main()
