"""The bytes: one file a version, at bucket/name/version."""

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
PIECE = 64 * 1024  # what uvicorn holds back before it makes us wait for the reader


@dataclass(frozen=True)
class Received:
    """Bytes that have arrived, not yet part of any object."""

    path: Path
    size: int
    md5: str


class Files:
    """Bytes arrive below `.incoming`, outside every bucket, and are moved to their place whole."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.incoming = directory / ".incoming"

    def open(self) -> None:
        """Makes the directories; what an interrupted upload left behind goes."""
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir(parents=True, exist_ok=True)

    def path(self, bucket: str, name: str, version: str) -> Path:
        return self.directory.joinpath(bucket, *name.split("/"), version)

    async def receive(self, body: AsyncIterator[bytes]) -> Received:
        """Writes a stream to disk while hashing it: no more than a chunk is in memory. Undone when it
        breaks off.
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
        return Received(path, size, md5.hexdigest())

    def place(self, received: Received, bucket: str, name: str, version: str) -> None:
        """Moves received bytes to where a reader finds them. Raises StorageError for a name no file can
        have.
        """
        path = self.path(bucket, name, version)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            received.path.replace(path)
        except OSError as error:
            received.path.unlink(missing_ok=True)
            raise invalid_key(name) from error

    def copy(self, source: Path, bucket: str, name: str, version: str) -> None:
        """Gives placed bytes a second place."""
        self.place(self.duplicate(source), bucket, name, version)

    def duplicate(self, source: Path) -> Received:
        """Bytes that are here already, as if they had come in. Raises StorageError when they are gone."""
        path = self.incoming / uuid.uuid4().hex
        try:
            os.link(source, path)  # bytes never change once placed, so a second name is a copy
        except FileNotFoundError as error:
            raise no_such_key() from error
        except OSError:
            shutil.copyfile(source, path)
        return Received(path, path.stat().st_size, md5="")

    def remove(self, bucket: str, name: str, version: str) -> None:
        """Removes a version, and the directories it leaves empty. A version that is gone is no error."""
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
        """A piece at a time, and in this thread: it comes out of the page cache in less than a visit to another takes,
        and a reader of media goes away after the first."""
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while length > 0 and (chunk := file.read(min(PIECE, length))):
                length -= len(chunk)
                yield chunk


def _write(file: BinaryIO, chunk: bytes) -> None:
    file.write(chunk)


def metadata_of(received: Received, mime_type: str, cache_control: str) -> dict[str, object]:
    """The metadata of a landed object, as Storage writes it. ``eTag`` is what marks it as landed."""
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
