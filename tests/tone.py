"""Generates WAV files with the standard library."""

import array
import io
import math
import wave


def tone(seconds: float, *, rate: int = 8000) -> bytes:
    """A WAV of a 440 Hz sine, 16-bit mono, `rate` in hertz. Lasts exactly `round(seconds * rate) / rate` seconds."""
    count = round(seconds * rate)
    samples = array.array("h", (int(12000 * math.sin(2 * math.pi * 440 * n / rate)) for n in range(count)))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.tobytes())
    return file.getvalue()
