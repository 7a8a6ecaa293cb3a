"""Unfinished uploads on disk: a file of bytes and an info file for each."""

import asyncio
import contextlib
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from email.utils import formatdate
from pathlib import Path

import orjson

from devstack.storage.files import CHUNK, ReceivedFile
from devstack.storage.tus.protocol import TusError, expired, not_found

LIFETIME_SECONDS = 24 * 3600
_VERSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class PartialUpload:
    """One upload. ``length`` is None until the client sends it; ``finished`` is True once the row is written."""

    bucket_id: str
    name: str
    version: str
    length: int | None
    metadata: str
    created_at: float
    finished: bool = False


class UploadStore:
    """One directory with `<version>.json` and `<version>.part` for each upload.

    The size of the part file is the offset. The offset is stored nowhere else, so it agrees with the bytes after a
    crash.
    """

    def __init__(
        self, directory: Path, lifetime: float = LIFETIME_SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        self.directory = directory
        self.lifetime = lifetime
        self.clock = clock

    def open(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.delete_expired()

    def create(self, bucket_id: str, name: str, version: str, length: int | None, metadata: str) -> PartialUpload:
        upload = PartialUpload(bucket_id, name, version, length, metadata, self.clock())
        self.part_path(upload).touch()
        self.save_info(upload)
        return upload

    def save_info(self, upload: PartialUpload) -> None:
        """Replaces the info file atomically."""
        info = self._info_path(upload.version)
        draft = info.with_suffix(".draft")
        draft.write_bytes(orjson.dumps(asdict(upload)))
        draft.replace(info)

    def find(self, bucket_id: str, name: str, version: str) -> PartialUpload:
        """Raises TusError: 404 for an unknown or removed upload, 410 for an expired one or one without its bytes."""
        if not _VERSION.fullmatch(version):
            raise not_found()
        try:
            upload = self._read(version)
        except (FileNotFoundError, ValueError):
            raise not_found() from None
        if (upload.bucket_id, upload.name) != (bucket_id, name):
            raise not_found()
        if self.clock() >= self.expires_at(upload) or not (upload.finished or self.part_path(upload).exists()):
            raise expired()
        return upload

    def part_path(self, upload: PartialUpload) -> Path:
        return self.directory / f"{upload.version}.part"

    def offset(self, upload: PartialUpload) -> int:
        if upload.finished:
            return upload.length or 0
        try:
            return self.part_path(upload).stat().st_size
        except FileNotFoundError:  # deleted as expired since `find`
            raise not_found() from None

    def expires_at(self, upload: PartialUpload) -> float:
        return upload.created_at + self.lifetime

    def expires(self, upload: PartialUpload) -> str:
        """The value of the header Upload-Expires."""
        return formatdate(self.expires_at(upload), usegmt=True)

    async def append(
        self, upload: PartialUpload, body: AsyncIterator[bytes], capacity: int, too_large: TusError
    ) -> None:
        """Appends the body; an interruption keeps the received bytes. Raises ``too_large`` above ``capacity`` bytes."""
        with self.part_path(upload).open("ab", buffering=0) as file:
            async for chunk in body:
                if len(chunk) > capacity:
                    raise too_large
                # Not in a thread: a thread would still write after its request was aborted.
                file.write(chunk)
                capacity -= len(chunk)
            await asyncio.to_thread(os.fsync, file.fileno())

    async def complete_file(self, upload: PartialUpload) -> ReceivedFile:
        """The file of a complete upload."""
        path = self.part_path(upload)
        return ReceivedFile(path, path.stat().st_size, await asyncio.to_thread(_md5, path))

    def mark_finished(self, upload: PartialUpload) -> None:
        """Deletes the bytes once the row is written. The info file stays for a client that missed the last response."""
        upload.length, upload.finished = self.offset(upload), True
        self.save_info(upload)
        self.part_path(upload).unlink(missing_ok=True)

    def remove_bytes(self, upload: PartialUpload) -> None:
        """Deletes the bytes of a rejected upload. The info file stays, as in the real Storage."""
        self.part_path(upload).unlink(missing_ok=True)

    def remove(self, upload: PartialUpload) -> None:
        self._delete_files(upload.version)

    def delete_expired(self) -> None:
        """Deletes expired uploads, and files that a crash left incomplete."""
        for path in self.directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another request removed it
                if self._is_expired(path):
                    self._delete_files(path.stem)

    def _is_expired(self, path: Path) -> bool:
        try:
            return self.clock() >= self.expires_at(self._read(path.stem))
        except (FileNotFoundError, ValueError):
            return path.stat().st_mtime < self.clock() - 60  # `create` writes the info file just after the part file

    def _read(self, version: str) -> PartialUpload:
        return PartialUpload(**orjson.loads(self._info_path(version).read_bytes()))

    def _info_path(self, version: str) -> Path:
        return self.directory / f"{version}.json"

    def _delete_files(self, version: str) -> None:
        for suffix in (".json", ".part", ".draft"):
            (self.directory / f"{version}{suffix}").unlink(missing_ok=True)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.md5(usedforsecurity=False)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
