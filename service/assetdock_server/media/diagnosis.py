"""Finds the cause of a failed ffprobe: the file, Storage, or this machine."""

import errno
import re
import signal

from assetdock_server.media.header import error_code
from assetdock_server.media.report import ReadFailure, TransientError
from assetdock_server.media.sandbox.run import ProcessResult


def _averror(tag: bytes) -> int:
    """FFERRTAG of libavutil/error.h: four bytes, little-endian, negated."""
    return -int.from_bytes(tag, "little")


BAD_REQUEST = _averror(b"\xf8400")  # Supabase Storage's status for a missing object; its body says 404
NOT_FOUND = _averror(b"\xf8404")
OTHER_4XX = _averror(b"\xf84XX")
NETWORK_ERRORS = {
    *(_averror(b"\xf8" + status) for status in (b"401", b"403", b"5XX")),
    OTHER_4XX,
    *(-number for number in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT, errno.EPIPE)),
    *(-number for number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EMFILE)),
}
CANNOT_START = (126, 127)  # exit statuses of the shell and the dynamic loader
# Log lines of protocols. Lines of demuxers are ignored, because they may quote the file.
PROTOCOL_LINE = re.compile(rb"^\[(?:https?|tcp|tls) @ (?:0x)?[0-9a-f]+\] (.*)$", re.MULTILINE)
STATUS = re.compile(rb"HTTP error (\d{3})\b")
DISCONNECTED = re.compile(rb"(?:Stream ends prematurely at|Will reconnect at) (\d+)(?:,| in 0 second)")
# Log lines of the MP4 and Matroska demuxers for an incomplete sample or element.
TRUNCATION = re.compile(
    rb"^\[(?:mov|matroska)[\w,]* @ (?:0x)?[0-9a-f]+\] "
    rb"(?:stream \d+, offset 0x[0-9a-f]+: partial file|File ended prematurely)",
    re.MULTILINE,
)
DEMUXER = re.compile(rb"^\[(?!https?|tcp|tls)[\w,]+ @ (?:0x)?[0-9a-f]+\] ", re.MULTILINE)


def network_error(errors: bytes) -> str | None:
    """The network error of a pass, as text for the log; None when all requested bytes arrived.

    A connection that broke and was resumed at once lost nothing. A retry with a delay counts as an error, because
    ffprobe does not report when it gives up after one. 416 only means a request past the end of a truncated file.
    """
    resumed = set(re.findall(rb"Will reconnect at (\d+) in 0 second", errors))
    for line in PROTOCOL_LINE.findall(errors):
        if status := STATUS.search(line):
            if status[1] != b"416":
                return f"Storage responded with HTTP {status[1].decode()}"
            continue
        disconnected = DISCONNECTED.search(line)
        if disconnected is None or disconnected[1] not in resumed:
            return "the connection to Storage broke"
    return None


def header_pass_failure(result: ProcessResult, document: bytes) -> ReadFailure | None:
    """Why the first pass failed; None when it succeeded. Raises TransientError when the file is not the cause."""
    if result.how == "timed_out" or result.status == -signal.SIGXCPU:
        return ReadFailure("timed_out")
    if result.how == "overflowed":
        return ReadFailure("unreadable")  # no valid file has so many streams or errors
    if result.status in CANNOT_START:
        raise TransientError("ffprobe does not start on this machine")
    code = error_code(document)
    statuses = STATUS.findall(result.errors)
    if code in (BAD_REQUEST, NOT_FOUND) or (code == OTHER_4XX and b"410" in statuses):
        return ReadFailure("missing")
    if code == OTHER_4XX and b"416" in statuses:
        return ReadFailure("unreadable")  # the file is empty: the request for its first byte failed
    if error := network_error(result.errors):
        raise TransientError(error)
    if code in NETWORK_ERRORS:
        raise TransientError(f"Storage cannot be read (error {code})")
    if code == -errno.EIO and not DEMUXER.search(result.errors):
        raise TransientError("Storage redirected or sent no HTTP response")
    if code == -errno.ENOMEM:
        return ReadFailure("crashed")
    if code is not None:
        return ReadFailure("unreadable")
    return ReadFailure("crashed") if result.status != 0 else None


def packet_pass_failure(result: ProcessResult) -> ReadFailure | None:
    """Why a pass over packets did not reach the end of the file; None when it did. Raises TransientError as above.

    ffprobe treats any failed read as the end of the file and reports it only in its log. Without this check a broken
    connection would look like a shorter recording.
    """
    if result.how == "timed_out" or result.status == -signal.SIGXCPU:
        return ReadFailure("timed_out")
    if result.how == "overflowed":
        return ReadFailure("unreadable")
    if error := network_error(result.errors):
        raise TransientError(error)
    return ReadFailure("crashed") if result.status < 0 else None
