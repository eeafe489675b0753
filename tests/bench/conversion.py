"""Figures of imports that convert, and of what introspection costs.

    .venv-test/bin/python tests/bench/conversion.py [--size-mib N] [--only convert|inspect]

Conversion: a staged qcow2 is imported with `convert_to: raw`, by a stack of its own. Beside it, in
turns: qemu-img alone, then one pass over its result with the same two hashes, and fsync, as nobody
can do without when the bytes are to be safe. Introspection: the same bytes taken in with and
without an inspector, in turns. Nothing here passes or fails.
"""

import argparse
import hashlib
import io
import os
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from kilo_catalog.imaging.inspector import Inspector
from kilo_catalog.service.ingest import ingest
from kilo_catalog.stores.filesystem import FilesystemStore
from kilo_deploy.client import ApiClient
from kilo_deploy.testing import StackProcess

MIB = 2**20
BLOCK = 2 * MIB
ROUNDS = 7
RECORD = {"disk_format": "qcow2", "container_format": "bare"}
CONVERT = {"method": {"name": "glance-direct"}, "convert_to": "raw"}


def tell(what: str, values: list[float]) -> float:
    middle = statistics.median(values)
    print(f"{what:<52}{middle:8.3f} s  ({min(values):.3f} … {max(values):.3f}, n={len(values)})")
    return middle


def make_disk(folder: Path, size_mib: int) -> Path:
    """A raw disk, half of it data."""
    raw = folder / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(size_mib * MIB)
        for place in range(0, size_mib, 8):
            file.seek(place * MIB)
            file.write(os.urandom(4 * MIB))
    return raw


def qemu_img(*words: object) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True)


def hash_both(executor: Executor, path: Path) -> None:
    digests = [hashlib.md5(usedforsecurity=False), hashlib.sha512()]
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            for task in [executor.submit(each.update, block) for each in digests]:
                task.result()


def bare(executor: Executor, source: Path, target: Path) -> tuple[float, float, float]:
    """Seconds of qemu-img, of one hashing pass and of fsync."""
    target.unlink(missing_ok=True)
    began = time.perf_counter()
    qemu_img("convert", "-f", "qcow2", "-O", "raw", source, target)
    converted = time.perf_counter()
    hash_both(executor, target)
    hashed = time.perf_counter()
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return converted - began, hashed - converted, time.perf_counter() - hashed


def converting_import(catalog: ApiClient, source: Path) -> float:
    """Seconds from the request to import until the image is active."""
    image_id = catalog.json("POST", "/v2/images", RECORD)["id"]
    with source.open("rb") as file:
        blocks = iter(lambda: file.read(MIB), b"")
        catalog.upload(f"/v2/images/{image_id}/stage", blocks, source.stat().st_size)
    began = time.perf_counter()
    catalog.json("POST", f"/v2/images/{image_id}/import", CONVERT)
    while True:
        image = catalog.json("GET", f"/v2/images/{image_id}")
        if image["status"] == "active":
            break
        assert image["status"] == "importing", image
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    assert image["disk_format"] == "raw", image
    catalog.json("DELETE", f"/v2/images/{image_id}")
    return seconds


def measure_conversion(size_mib: int) -> None:
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor() as executor:
        folder = Path(name)
        raw, source = make_disk(folder, size_mib), folder / "disk.qcow2"
        qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, source)
        raw.unlink()
        stack = StackProcess(folder / "state", ["--auth", "none"])
        catalog = ApiClient(stack.wait_ready().catalog_url, {})
        converting_import(catalog, source)
        ours: list[float] = []
        theirs: list[tuple[float, float, float]] = []
        for _ in range(ROUNDS):
            ours.append(converting_import(catalog, source))
            theirs.append(bare(executor, source, folder / "bare.raw"))
        stack.interrupt()
        print(f"a qcow2 of {size_mib} MiB, half of it data, to raw")
        imported = tell("  import with conversion, until active", ours)
        tell("  qemu-img alone", [each[0] for each in theirs])
        tell("  one hashing pass (md5 and sha512, two threads)", [each[1] for each in theirs])
        tell("  fsync of its result", [each[2] for each in theirs])
        base = statistics.median(each[0] + each[1] for each in theirs)
        safe = statistics.median(sum(each) for each in theirs)
        print(f"  import / (qemu-img + hashing): {imported / base:.2f}")
        print(f"  import / (qemu-img + hashing + fsync): {imported / safe:.2f}")


def images(folder: Path, size_mib: int) -> Iterator[tuple[str, str, str, Path]]:
    """What is looked at: a name, its formats and its file."""
    raw = make_disk(folder, size_mib)
    yield "raw", "raw", "bare", raw
    for form, options in (("qcow2", "compat=1.1"), ("vmdk", "subformat=streamOptimized")):
        made = folder / f"disk.{form}"
        qemu_img("convert", "-f", "raw", "-O", form, "-o", options, raw, made)
        yield f"{form} ({options})", form, "bare", made
    ova = folder / "disk.ova"
    with tarfile.open(ova, "w") as archive:
        descriptor = tarfile.TarInfo("disk.ovf")
        descriptor.size = 5
        archive.addfile(descriptor, io.BytesIO(b"<ovf>"))
        archive.add(folder / "disk.vmdk", "disk.vmdk")
    yield "ova with that vmdk", "vmdk", "ova", ova


def take_in(store: FilesystemStore, blocks: list[bytes], look: Inspector | None) -> float:
    with ThreadPoolExecutor() as executor:
        began = time.perf_counter()
        writer = store.create("blob")
        ingest(blocks, writer, look, executor, check=lambda _size: None)
        writer.cancel()
        return time.perf_counter() - began


def look_alone(blocks: list[bytes], inspector: Inspector) -> float:
    began = time.perf_counter()
    for block in blocks:
        inspector.feed(block)
    inspector.finish()
    return time.perf_counter() - began


def measure_inspection(size_mib: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = FilesystemStore(str(folder / "store"))
        for what, disk, container, path in images(folder, size_mib):
            data = path.read_bytes()
            blocks = [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]

            def inspector(disk: str = disk, container: str = container) -> Inspector:
                return Inspector(disk, container)

            compare(what, store, blocks, inspector)


def compare(
    what: str, store: FilesystemStore, blocks: list[bytes], inspector: Callable[[], Inspector]
) -> None:
    plain, seen, alone = [], [], []
    take_in(store, blocks, None)
    for _ in range(ROUNDS):
        plain.append(take_in(store, blocks, None))
        seen.append(take_in(store, blocks, inspector()))
        alone.append(look_alone(blocks, inspector()))
    share = 100 * statistics.median(alone) / statistics.median(plain)
    both = 100 * (statistics.median(seen) / statistics.median(plain) - 1)
    print(
        f"{what:<36}{sum(map(len, blocks)) / MIB:6.0f} MiB  looking alone "
        f"{1000 * statistics.median(alone):7.2f} ms = {share:.2f} % of taking in; "
        f"with it {both:+.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=512)
    parser.add_argument("--only", choices=["convert", "inspect"])
    given = parser.parse_args()
    if given.only != "inspect":
        measure_conversion(given.size_mib)
    if given.only != "convert":
        measure_inspection(given.size_mib // 4)


if __name__ == "__main__":
    main()
