"""ffmpeg options for test MP3s, and forged frame counts."""

NO_TAGS = ("-write_xing", "0", "-id3v2_version", "0")
VARIABLE = ("-ac", "2", "-q:a", "2")


def forge_frame_count(data: bytes, factor: float, *, valid_checksum: bool) -> bytes:
    """The MP3 with its frame count multiplied by `factor`. Writes a LAME checksum that matches if `valid_checksum`."""
    content = bytearray(data)
    tag = max(content.find(b"Xing"), content.find(b"Info"))
    frames = int(int.from_bytes(content[tag + 8 : tag + 12], "big") * factor)
    content[tag + 8 : tag + 12] = frames.to_bytes(4, "big")
    if valid_checksum:
        begin, crc = content.rfind(b"\xff", 0, tag - 8), 0
        for byte in content[begin : tag + 154]:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        content[tag + 154 : tag + 156] = crc.to_bytes(2, "big")
    return bytes(content)
