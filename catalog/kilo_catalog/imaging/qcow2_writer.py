"""Writes a disk as a qcow2 file, version 3: clusters as they come, tables behind them, and the
header last, so that a file that was not finished is no image."""

import struct
import sys
import zlib
from array import array
from typing import BinaryIO

from kilo_catalog.imaging.disks import PIECE, DiskWriter

_BITS = 16
_CLUSTER = 1 << _BITS
_PER_TABLE = _CLUSTER // 8
_PER_REFCOUNTS = _CLUSTER // 2
"""Reference counts of 16 bits in a cluster."""
_COPIED = 1 << 63
_COMPRESSED = 1 << 62
_SIZE_SHIFT = 62 - (_BITS - 8)
_SECTOR = 512
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII8x")
_REFCOUNT_ORDER = 4


class Qcow2Writer(DiskWriter):
    """A qcow2 file in the making. Its tables are in memory: 8 bytes for each 64 KiB of data, and
    the same for what surrounds it."""

    def __init__(self, file: BinaryIO, size: int, *, compress: bool) -> None:
        assert PIECE == _CLUSTER, "what is written at a time is a cluster"
        self._file = file
        self._size = -(-size // _SECTOR) * _SECTOR
        self._compress = compress
        self._tables: dict[int, array[int]] = {}
        self._end = _CLUSTER
        """Where the next bytes go; the first cluster is the header's."""
        self._uses = array("H", [1])
        """Of each cluster in the file, by how many entries it is used."""

    def write(self, offset: int, data: bytes) -> None:
        data = data.ljust(_CLUSTER, b"\0")
        entry = self._put_compressed(data) if self._compress else 0
        table, index = divmod(offset // _CLUSTER, _PER_TABLE)
        if table not in self._tables:
            self._tables[table] = array("Q", bytes(_CLUSTER))
        self._tables[table][index] = entry or _COPIED | self._put(data)

    def finish(self) -> None:
        l1_size = -(-self._size // (_PER_TABLE * _CLUSTER))
        l1 = array("Q", bytes(8 * l1_size))
        for number in sorted(self._tables):
            l1[number] = _COPIED | self._put(_big(self._tables[number]))
        l1_at = self._put(_big(l1)) if l1_size else self._put(bytes(_CLUSTER))
        table_at, table_clusters = self._put_refcounts()
        self._file.seek(0)
        self._file.write(
            _HEADER.pack(
                b"QFI\xfb", 3, 0, 0, _BITS, self._size, 0, l1_size, l1_at, table_at,
                table_clusters, 0, 0, 0, 0, 0, _REFCOUNT_ORDER, _HEADER.size,
            ).ljust(_CLUSTER, b"\0")
        )  # fmt: skip
        self._file.flush()

    def _put(self, data: bytes) -> int:
        """Write whole clusters; where they begin."""
        place = -(-self._end // _CLUSTER) * _CLUSTER
        count = -(-len(data) // _CLUSTER)
        self._file.seek(place)
        self._file.write(data.ljust(count * _CLUSTER, b"\0"))
        self._end = place + count * _CLUSTER
        self._uses.extend([1] * count)
        return place

    def _put_compressed(self, data: bytes) -> int:
        """Write a cluster packed, wherever the last one ended; its entry, or 0 if it does not get
        smaller."""
        packer = zlib.compressobj(wbits=-12)
        packed = packer.compress(data) + packer.flush()
        if len(packed) >= _CLUSTER:
            return 0
        place = self._end
        self._file.seek(place)
        self._file.write(packed)
        self._end += len(packed)
        last = (self._end - 1) // _CLUSTER
        self._uses.extend([0] * (last + 1 - len(self._uses)))
        for cluster in range(place // _CLUSTER, last + 1):
            self._uses[cluster] += 1
        sectors = (self._end - 1) // _SECTOR - place // _SECTOR
        return _COMPRESSED | sectors << _SIZE_SHIFT | place

    def _put_refcounts(self) -> tuple[int, int]:
        """Write the counts of all clusters, their own included; the table's place and clusters."""
        used = len(self._uses)
        blocks, table = 0, 0
        while True:
            total = used + blocks + table
            need = -(-total // _PER_REFCOUNTS)
            need_table = -(-need * 8 // _CLUSTER)
            if (need, need_table) == (blocks, table):
                break
            blocks, table = need, need_table
        self._uses.extend([1] * (blocks + table))
        counts = _big(self._uses).ljust(blocks * _CLUSTER, b"\0")
        place = -(-self._end // _CLUSTER) * _CLUSTER
        self._file.seek(place)
        self._file.write(counts)
        places = array("Q", [place + number * _CLUSTER for number in range(blocks)])
        table_at = place + blocks * _CLUSTER
        self._file.write(_big(places).ljust(table * _CLUSTER, b"\0"))
        return table_at, table


def _big(numbers: "array[int]") -> bytes:
    """Big-endian, as the file has them."""
    swapped = array(numbers.typecode, numbers)
    if sys.byteorder == "little":
        swapped.byteswap()
    return swapped.tobytes()
