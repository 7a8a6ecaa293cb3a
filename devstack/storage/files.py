"""The bytes of objects: one file for each version, at bucket/name/version."""

import asyncio
import hashlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from devstack.storage.errors import invalid_key, no_such_key

CHUNK = 256 * 1024
READ_CHUNK = 64 * 1024  # uvicorn buffers this much before it waits for the client


@dataclass(frozen=True)
class ReceivedFile:
    """A received file that is not yet part of an object."""

    path: Path
    size: int
    md5: str


class Files:
    """Bytes are received in `.incoming`, outside every bucket, and moved to their path when complete."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.incoming = directory / ".incoming"

    def open(self) -> None:
        """Creates the directories and removes the files of interrupted uploads."""
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir(parents=True, exist_ok=True)

    def path(self, bucket: str, name: str, version: str) -> Path:
        return self.directory.joinpath(bucket, *name.split("/"), version)

    async def receive(self, body: AsyncIterator[bytes]) -> ReceivedFile:
        """Writes a stream to disk and hashes it, one chunk in memory at a time. An interrupted stream leaves no
        file.
        """
        path = self.incoming / uuid.uuid4().hex
        md5, size = hashlib.md5(usedforsecurity=False), 0
        try:
            with path.open("wb") as file:
                async for chunk in body:
                    await asyncio.to_thread(_write, file, chunk)
                    md5.update(chunk)
                    size += len(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return ReceivedFile(path, size, md5.hexdigest())

    def place(self, received: ReceivedFile, bucket: str, name: str, version: str) -> None:
        """Moves a received file to its path. Raises StorageError for a name that is not possible as a path."""
        path = self.path(bucket, name, version)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            received.path.replace(path)
        except OSError as error:
            received.path.unlink(missing_ok=True)
            raise invalid_key(name) from error

    def copy(self, source: Path, bucket: str, name: str, version: str) -> None:
        """Copies a stored file to a second path."""
        self.place(self.duplicate(source), bucket, name, version)

    def duplicate(self, source: Path) -> ReceivedFile:
        """A copy of a stored file, as if received. Raises StorageError when the file is gone."""
        path = self.incoming / uuid.uuid4().hex
        try:
            os.link(source, path)  # stored files never change, so a hard link is a copy
        except FileNotFoundError as error:
            raise no_such_key() from error
        except OSError:
            shutil.copyfile(source, path)
        return ReceivedFile(path, path.stat().st_size, md5="")

    def remove(self, bucket: str, name: str, version: str) -> None:
        """Removes a version, and directories that are then empty. Ignores a missing version."""
        path = self.path(bucket, name, version)
        path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == self.directory:
                return
            try:
                parent.rmdir()
            except OSError:
                return

    async def read(self, path: Path, start: int, length: int) -> AsyncIterator[bytes]:
        """Reads in this thread, because the page cache is faster than a switch to another thread and media readers
        often disconnect after the first chunk.
        """
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while length > 0 and (chunk := file.read(min(READ_CHUNK, length))):
                length -= len(chunk)
                yield chunk


def _write(file: BinaryIO, chunk: bytes) -> None:
    file.write(chunk)


def metadata_of(received: ReceivedFile, mime_type: str, cache_control: str) -> dict[str, object]:
    """The metadata of a landed object, as Storage writes it. Only landed objects have an ``eTag``."""
    modified = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "eTag": f'"{received.md5}"',
        "size": received.size,
        "mimetype": mime_type,
        "cacheControl": cache_control,
        "lastModified": modified,
        "contentLength": received.size,
        "httpStatusCode": 200,
    }
