"""Uploads that have begun: beside each file of bytes, a note of what it is to become."""

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

from devstack.storage.files import CHUNK, Received
from devstack.storage.tus.protocol import TusError, gone, not_found

LIFETIME_SECONDS = 24 * 3600
_VERSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Partial:
    """One upload. ``length`` is None until the client tells it; ``finished`` once its row is written."""

    bucket_id: str
    name: str
    version: str
    length: int | None
    metadata: str
    created_at: float
    finished: bool = False


class Partials:
    """Kept in one directory, as `<version>.json` and `<version>.part`.

    The size of the file is the offset, and stands nowhere else, so it cannot disagree with the bytes after
    a crash.
    """

    def __init__(
        self, directory: Path, lifetime: float = LIFETIME_SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        self.directory = directory
        self.lifetime = lifetime
        self.clock = clock

    def open(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.sweep()

    def create(self, bucket_id: str, name: str, version: str, length: int | None, metadata: str) -> Partial:
        partial = Partial(bucket_id, name, version, length, metadata, self.clock())
        self.bytes_of(partial).touch()
        self.note(partial)
        return partial

    def note(self, partial: Partial) -> None:
        """Writes the note anew, in one step."""
        note = self._note_of(partial.version)
        draft = note.with_suffix(".draft")
        draft.write_bytes(orjson.dumps(asdict(partial)))
        draft.replace(note)

    def find(self, bucket_id: str, name: str, version: str) -> Partial:
        """Raises TusError: 404 for one that never was or is no more, 410 for one whose time is over."""
        if not _VERSION.fullmatch(version):
            raise not_found()
        try:
            partial = self._read(version)
        except (FileNotFoundError, ValueError):
            raise not_found() from None
        if (partial.bucket_id, partial.name) != (bucket_id, name):
            raise not_found()
        if self.clock() >= self.expires_at(partial):
            raise gone()
        return partial

    def bytes_of(self, partial: Partial) -> Path:
        return self.directory / f"{partial.version}.part"

    def offset(self, partial: Partial) -> int:
        if partial.finished:
            return partial.length or 0
        try:
            return self.bytes_of(partial).stat().st_size
        except FileNotFoundError:  # swept away meanwhile
            raise not_found() from None

    def expires_at(self, partial: Partial) -> float:
        return partial.created_at + self.lifetime

    def expires(self, partial: Partial) -> str:
        """As the header Upload-Expires has it."""
        return formatdate(self.expires_at(partial), usegmt=True)

    async def append(self, partial: Partial, body: AsyncIterator[bytes], room: int, refusal: TusError) -> None:
        """Adds what comes; what came before the stream broke off stays. Raises ``refusal`` when there is
        more than ``room``.
        """
        with self.bytes_of(partial).open("ab", buffering=0) as file:
            async for chunk in body:
                if len(chunk) > room:
                    raise refusal
                # Not in a thread: it would go on writing after its request was broken off.
                file.write(chunk)
                room -= len(chunk)
            await asyncio.to_thread(os.fsync, file.fileno())

    async def whole(self, partial: Partial) -> Received:
        """The bytes of an upload that is complete."""
        path = self.bytes_of(partial)
        return Received(path, path.stat().st_size, await asyncio.to_thread(_md5, path))

    def finish(self, partial: Partial) -> None:
        """The row is written. The note stays: a client that missed our last answer asks once more."""
        partial.length, partial.finished = self.offset(partial), True
        self.note(partial)
        self.bytes_of(partial).unlink(missing_ok=True)

    def remove(self, partial: Partial) -> None:
        self._forget(partial.version)

    def sweep(self) -> None:
        """Removes what has expired, and what a crash left half made."""
        for path in self.directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # somebody else removed it
                if self._is_over(path):
                    self._forget(path.stem)

    def _is_over(self, path: Path) -> bool:
        try:
            return self.clock() >= self.expires_at(self._read(path.stem))
        except (FileNotFoundError, ValueError):
            return path.stat().st_mtime < self.clock() - 60  # a note comes a moment after its bytes

    def _read(self, version: str) -> Partial:
        return Partial(**orjson.loads(self._note_of(version).read_bytes()))

    def _note_of(self, version: str) -> Path:
        return self.directory / f"{version}.json"

    def _forget(self, version: str) -> None:
        for suffix in (".json", ".part", ".draft"):
            (self.directory / f"{version}{suffix}").unlink(missing_ok=True)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.md5(usedforsecurity=False)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
