"""The demo: an image goes in, and the news of it comes out of a topic, told step by step."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from kilo_common.errors import Failure, KiloError
from kilo_deploy.accounts import sign_in
from kilo_deploy.client import BLOCK, ApiClient
from kilo_deploy.state import StackInfo
from kilo_deploy.watch import TopicWatch

TOPIC = "catalog.events"
EVENT_PATIENCE = 15.0
IMAGE_MIB = 32


class DemoFailed(Failure):
    """A step did not show what it promises."""

    code = "deploy.demo_failed"


@dataclass(frozen=True)
class Disk:
    """A disk image to upload."""

    path: Path
    format: str
    sha512: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size


class Demo:
    """One walk through a running stack."""

    def __init__(self, info: StackInfo, console: Console) -> None:
        self._info = info
        self._console = console
        self._step = 0
        self._acted_at = 0.0
        self._identity = sign_in(info, info.project, os.environ)
        self._catalog = ApiClient(info.catalog_url, self._identity)
        client_id = {"Client-ID": str(uuid4())}
        self._messaging = ApiClient(info.messaging_url, self._identity | client_id)

    def run(self) -> None:
        """Walk all steps.

        Raises:
            DemoFailed, RequestRefused, StackUnreachable: with what went wrong where.
        """
        with tempfile.TemporaryDirectory(prefix="kilostack-demo-") as folder:
            self._say(f"A subscriber opens a WebSocket and subscribes to the topic {TOPIC}.")
            watch = TopicWatch(
                self._info.websocket_url,
                TOPIC,
                self._info.project,
                headers=self._identity,
                timeout=4 * EVENT_PATIENCE,
            )
            events = _Arrivals(watch)
            try:
                disk = self._make_disk(Path(folder))
                image_id = self._upload(disk)
                self._await_event(events, "image.activate", image_id)
                self._read_back(image_id, disk)
                self._use_a_queue()
                self._say("The image is deleted, and the subscriber hears of that too.")
                self._catalog.json("DELETE", f"/v2/images/{image_id}")
                self._acted_at = time.perf_counter()
                self._await_event(events, "image.delete", image_id)
            finally:
                watch.close()
        self._console.print(
            "\n[bold green]That is Kilostack:[/] catalog → outbox → bus → messaging → topic → "
            "WebSocket. ARCHITECTURE.md (kilostack docs architecture) follows it through.\n"
        )

    def _say(self, text: str) -> None:
        self._step += 1
        self._console.print(f"\n[bold cyan]{self._step}.[/] {text}")

    def _show(self, text: str) -> None:
        self._console.print(f"   {text}", soft_wrap=True)

    def _make_disk(self, folder: Path) -> Disk:
        content = folder / "disk.raw"
        with content.open("wb") as file:
            for number in range(IMAGE_MIB):
                file.write(hashlib.sha512(str(number).encode()).digest() * 16384)
        path, kind = content, "raw"
        qemu_img = shutil.which("qemu-img")
        if qemu_img:
            path, kind = folder / "disk.qcow2", "qcow2"
            command = [qemu_img, "convert", "-f", "raw", "-O", "qcow2", str(content), str(path)]
            subprocess.run(command, check=True)  # noqa: S603 - every argument is ours
        digest = hashlib.sha512(path.read_bytes()).hexdigest()
        self._say(f"A disk image is made: {kind}, {path.stat().st_size / 2**20:.1f} MiB.")
        return Disk(path, kind, digest)

    def _upload(self, disk: Disk) -> str:
        self._say("The catalog gets a record of it, then its bytes, hashed while they stream.")
        record = {
            "name": "demo",
            "disk_format": disk.format,
            "container_format": "bare",
            "visibility": "private",
        }
        image: dict[str, Any] = self._catalog.json("POST", "/v2/images", record)
        self._show(f"POST /v2/images → {image['id']}, status {image['status']}")
        with Progress(
            "   PUT …/file",
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self._console,
        ) as progress:
            bar = progress.add_task("upload", total=disk.size)

            def blocks() -> Iterator[bytes]:
                with disk.path.open("rb") as file:
                    while block := file.read(BLOCK):
                        yield block
                        progress.advance(bar, len(block))

            self._catalog.upload(f"/v2/images/{image['id']}/file", blocks(), disk.size)
        self._acted_at = time.perf_counter()
        shown = self._catalog.json("GET", f"/v2/images/{image['id']}")
        if shown["status"] != "active" or shown["os_hash_value"] != disk.sha512:
            raise DemoFailed(f"The image is not what was sent: {shown}")
        self._show(
            f"status [bold]{shown['status']}[/], {shown['size']} bytes, virtual size "
            f"{shown.get('virtual_size')}, md5 {shown['checksum']}"
        )
        return str(image["id"])

    def _await_event(self, events: "_Arrivals", event_type: str, image_id: str) -> None:
        self._say(f"The subscriber reads its WebSocket until {event_type} comes.")
        while True:
            arrived_at, message = events.next()
            payload = message.get("payload", {}) if isinstance(message, dict) else {}
            if payload.get("id") != image_id:
                continue
            self._show(f"{message['event_type']} {payload['id']}{self._when(arrived_at)}")
            if message["event_type"] == event_type:
                return

    def _when(self, arrived_at: float) -> str:
        milliseconds = (arrived_at - self._acted_at) * 1000
        word = "after" if milliseconds >= 0 else "before"
        return f"  ({abs(milliseconds):.0f} ms {word} the request was answered)"

    def _read_back(self, image_id: str, disk: Disk) -> None:
        self._say("The bytes are downloaded again and compared.")
        digest = hashlib.sha512()
        for block in self._catalog.download(f"/v2/images/{image_id}/file"):
            digest.update(block)
        if digest.hexdigest() != disk.sha512:
            raise DemoFailed("The downloaded bytes differ from those sent")
        self._show(f"the same: sha512 {disk.sha512[:16]}…")

    def _use_a_queue(self) -> None:
        self._say("A worker's queue: post, claim, delete.")
        topic = f"/v2/topics/demo-{uuid4().hex[:8]}"
        posted = {"messages": [{"body": {"job": number}, "ttl": 300} for number in range(3)]}
        self._messaging.json("POST", f"{topic}/messages", posted)
        claim = self._messaging.json("POST", f"{topic}/claims?limit=2", {"ttl": 60, "grace": 60})
        for message in claim["messages"]:
            self._show(f"claimed {message['body']}; done, deleted")
            self._messaging.json("DELETE", message["href"])
        left = self._messaging.json("GET", f"{topic}/stats")["messages"]["total"]
        self._show(f"{left} message left for another worker")
        self._messaging.json("DELETE", topic)


class _Arrivals:
    """The messages of a watch, read as they come, each with the time of its arrival."""

    def __init__(self, watch: TopicWatch) -> None:
        self._watch = watch
        self._arrived: SimpleQueue[tuple[float, Any] | KiloError] = SimpleQueue()
        threading.Thread(target=self._read, name="demo-subscriber", daemon=True).start()

    def next(self) -> tuple[float, Any]:
        """The next message and when it came.

        Raises:
            DemoFailed: none came in time.
        """
        try:
            found = self._arrived.get(timeout=EVENT_PATIENCE)
        except Empty:
            raise DemoFailed(f"No message arrived within {EVENT_PATIENCE:g} s") from None
        if isinstance(found, KiloError):
            raise DemoFailed(f"The subscriber's connection ended: {found}") from found
        return found

    def _read(self) -> None:
        try:
            for message in self._watch.messages():
                self._arrived.put((time.perf_counter(), message))
        except KiloError as fault:
            self._arrived.put(fault)
