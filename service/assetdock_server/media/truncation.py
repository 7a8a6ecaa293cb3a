"""Whether a file lost its end on the way, for the containers about which ffprobe doesn't tell.

The sizes read here are what the file says of itself; nothing is allocated or skipped by them beyond the few bytes that
were read.
"""

from pyreqwest.client import Client

from assetdock_server.media.object_bytes import piece
from assetdock_server.media.report import Media

WAV_HEAD = 64 * 1024  # bytes in which a WAV's `data` chunk has begun, unless it carries long notes
# Bytes of an Ogg page: its header, whose last byte counts the segments, and at most a table of 255 sizes up to 255 (RFC
# 3533, section 6).
OGG_HEADER = 27
OGG_PAGE = OGG_HEADER + 255 + 255 * 255
OGG = b"OggS\0"  # the capture pattern and the only version there is
# Programs that write to a pipe can't know the size, and put zero there, or about as much as a signed or unsigned
# 32-bit number holds.
MADE_UP = 0x7E000000
SLIP = 1024  # bytes nobody hears; some programs count the header as sound
IN_DS64 = 0xFFFFFFFF  # RF64 and BW64: the size stands elsewhere (EBU Tech 3306)


async def cut_off(client: Client, url: str, media: Media) -> bool:
    """Whether the file holds less than it says. Reads 64 KiB of a WAV or Ogg, and nothing of others.

    Raises TransientError.
    """
    size = media.size or 0
    if media.container == "wav":
        return wav_lacks(await piece(client, url, 0, min(size, WAV_HEAD)), size)
    if media.container == "ogg":
        length = min(size, OGG_PAGE)
        return ogg_stops_within_a_page(await piece(client, url, size - length, length))
    return False


def wav_lacks(head: bytes, size: int) -> bool:
    """Whether a WAV of `size` bytes that begins with `head` has fewer bytes of sound than its header says.

    False where that can't be told: sizes that programs make up, and a `data` chunk beyond `head`.
    """
    at, long_size = 12, 0
    while at + 8 <= len(head):
        name, length = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"ds64":
            long_size = int.from_bytes(head[at + 16 : at + 24], "little", signed=True)
        if name == b"data":
            if head[:4] in (b"RF64", b"BW64") and length == IN_DS64:
                return long_size - (size - (at + 8)) > SLIP
            return length < MADE_UP and length - (size - (at + 8)) > SLIP
        at += 8 + length + length % 2
    return False


def ogg_stops_within_a_page(tail: bytes) -> bool:
    """Whether an Ogg file that ends with `tail` ends in the midst of a page.

    A recorder that was stopped writes no page with the end-of-stream flag, but whole pages. False when there is no page
    in `tail`: something else may have been put behind the last one.
    """
    at = tail.find(OGG)
    while at >= 0:
        behind = _behind_pages(tail, at)
        if behind is None:
            return True
        if behind == len(tail):
            return False
        # No page stands there: what was found were bytes of a page that happen to look like one, or something follows.
        at = tail.find(OGG, max(at + 1, behind))
    return False


def _behind_pages(tail: bytes, at: int) -> int | None:
    """Where the pages end of which one begins `at`; None where one isn't all there."""
    while tail.startswith(OGG, at):
        if at + OGG_HEADER > len(tail):
            return None
        segments = tail[at + OGG_HEADER - 1]
        table = tail[at + OGG_HEADER : at + OGG_HEADER + segments]
        at += OGG_HEADER + segments + sum(table)
        if at > len(tail):
            return None
    begun = tail[at : at + len(OGG)]
    return None if begun and len(begun) < len(OGG) and OGG.startswith(begun) else at
