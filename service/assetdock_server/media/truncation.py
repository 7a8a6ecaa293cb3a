"""Detects a lost end in WAV and Ogg files, for which ffprobe does not report it.

Sizes in the file are compared only: no allocation and no seek depends on them.
"""

from pyreqwest.client import Client

from assetdock_server.media.object_bytes import read_range
from assetdock_server.media.report import Media

WAV_HEAD = 64 * 1024  # the `data` chunk of a WAV begins within these bytes, unless long metadata precedes it
# An Ogg page is a header, whose last byte is the number of segments, and at most 255 segments of up to 255 bytes
# (RFC 3533, section 6).
OGG_HEADER = 27
OGG_PAGE = OGG_HEADER + 255 + 255 * 255
OGG = b"OggS\0"  # the capture pattern and the only version
# Programs that write to a pipe cannot know the size. They write zero, or about the largest signed or unsigned 32-bit
# number.
PLACEHOLDER_SIZE = 0x7E000000
WAV_TOLERANCE = 1024  # inaudible; some programs count the header as sound
IN_DS64 = 0xFFFFFFFF  # in RF64 and BW64 the `ds64` chunk has the size (EBU Tech 3306)


async def is_truncated(client: Client, url: str, media: Media) -> bool:
    """Whether the file has fewer bytes than it claims. Reads 64 KiB of a WAV or Ogg, and nothing of other containers.

    Raises TransientError.
    """
    size = media.size or 0
    if media.container == "wav":
        return wav_is_truncated(await read_range(client, url, 0, min(size, WAV_HEAD)), size)
    if media.container == "ogg":
        length = min(size, OGG_PAGE)
        return ogg_is_truncated(await read_range(client, url, size - length, length))
    return False


def wav_is_truncated(head: bytes, size: int) -> bool:
    """Whether a WAV of `size` bytes that begins with `head` has fewer bytes of sound than its header claims.

    False when that is unknown: for placeholder sizes, and for a `data` chunk after `head`.
    """
    offset, long_size = 12, 0
    while offset + 8 <= len(head):
        name, length = head[offset : offset + 4], int.from_bytes(head[offset + 4 : offset + 8], "little")
        if name == b"ds64":
            long_size = int.from_bytes(head[offset + 16 : offset + 24], "little", signed=True)
        if name == b"data":
            available = size - (offset + 8)
            if head[:4] in (b"RF64", b"BW64") and length == IN_DS64:
                return long_size - available > WAV_TOLERANCE
            return length < PLACEHOLDER_SIZE and length - available > WAV_TOLERANCE
        offset += 8 + length + length % 2
    return False


def ogg_is_truncated(tail: bytes) -> bool:
    """Whether an Ogg file that ends with `tail` ends inside a page.

    An interrupted recorder writes whole pages, but no page with the end-of-stream flag. False when `tail` has no page:
    other data may follow the last one.
    """
    offset = tail.find(OGG)
    while offset >= 0:
        end = _end_of_pages(tail, offset)
        if end is None:
            return True
        if end == len(tail):
            return False
        # No page begins at `end`: the match was inside a page, or other data follows.
        offset = tail.find(OGG, max(offset + 1, end))
    return False


def _end_of_pages(tail: bytes, offset: int) -> int | None:
    """The end of the consecutive pages that begin at `offset`; None when the last one is incomplete."""
    while tail.startswith(OGG, offset):
        if offset + OGG_HEADER > len(tail):
            return None
        segments = tail[offset + OGG_HEADER - 1]
        table = tail[offset + OGG_HEADER : offset + OGG_HEADER + segments]
        offset += OGG_HEADER + segments + sum(table)
        if offset > len(tail):
            return None
    rest = tail[offset : offset + len(OGG)]
    return None if rest and len(rest) < len(OGG) and OGG.startswith(rest) else offset
