"""Options for test MP3s, and forged frame counts."""

NO_TAGS = ("-write_xing", "0", "-id3v2_version", "0")
VARIABLE = ("-ac", "2", "-q:a", "2")


def forged(data: bytes, times: float, *, sealed: bool) -> bytes:
    """The file with its frame count multiplied by `times`, and a valid LAME checksum if `sealed`."""
    content = bytearray(data)
    name = max(content.find(b"Xing"), content.find(b"Info"))
    frames = int(int.from_bytes(content[name + 8 : name + 12], "big") * times)
    content[name + 8 : name + 12] = frames.to_bytes(4, "big")
    if sealed:
        begin, crc = content.rfind(b"\xff", 0, name - 8), 0
        for byte in content[begin : name + 154]:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        content[name + 154 : name + 156] = crc.to_bytes(2, "big")
    return bytes(content)
