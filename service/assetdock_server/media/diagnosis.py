"""What an ffprobe that didn't succeed tells: about the bytes, about Storage, or about this machine."""

import errno
import re
import signal

from assetdock_server.media.header import error_code
from assetdock_server.media.report import TransientError, Unread
from assetdock_server.media.sandbox.run import ProcessResult


def _averror(tag: bytes) -> int:
    """FFERRTAG of libavutil/error.h: four bytes, the lowest first, negated."""
    return -int.from_bytes(tag, "little")


BAD_REQUEST = _averror(b"\xf8400")  # how Supabase Storage says 404, whose real status is in the body
NOT_FOUND = _averror(b"\xf8404")
OTHER_4XX = _averror(b"\xf84XX")
ELSEWHERE = {  # the fault is on the way to the bytes
    *(_averror(b"\xf8" + status) for status in (b"401", b"403", b"5XX")),
    OTHER_4XX,
    *(-number for number in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT, errno.EPIPE)),
    *(-number for number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EMFILE)),
}
CANNOT_START = (126, 127)  # exit statuses of the shell and the dynamic loader
# Lines written by the protocols, not by the demuxers, which repeat what a file says.
NETWORK = re.compile(rb"^\[(?:https?|tcp|tls) @ (?:0x)?[0-9a-f]+\] (.*)$", re.MULTILINE)
STATUS = re.compile(rb"HTTP error (\d{3})\b")
BROKEN = re.compile(rb"(?:Stream ends prematurely at|Will reconnect at) (\d+)(?:,| in 0 second)")
# What the demuxers of the MP4 family and of Matroska say when a sample in the index, or an element, isn't all there.
BROKE_OFF = re.compile(
    rb"^\[(?:mov|matroska)[\w,]* @ (?:0x)?[0-9a-f]+\] "
    rb"(?:stream \d+, offset 0x[0-9a-f]+: partial file|File ended prematurely)",
    re.MULTILINE,
)
DEMUXER = re.compile(rb"^\[(?!https?|tcp|tls)[\w,]+ @ (?:0x)?[0-9a-f]+\] ", re.MULTILINE)


def network_trouble(errors: bytes) -> str | None:
    """What the network did to a pass, in words for the log; None when every byte asked for came.

    A connection that broke and was taken up again at once lost nothing. A second try, announced with a delay,
    is trouble: when ffprobe gives up after it, it doesn't say so. 416 is what asking past the end of a
    truncated file gives.
    """
    healed = set(re.findall(rb"Will reconnect at (\d+) in 0 second", errors))
    for line in NETWORK.findall(errors):
        if status := STATUS.search(line):
            if status[1] != b"416":
                return f"Storage answered HTTP {status[1].decode()}"
            continue
        broken = BROKEN.search(line)
        if broken is None or broken[1] not in healed:
            return "the connection to Storage broke"
    return None


def of_opening(ending: ProcessResult, document: bytes) -> Unread | None:
    """Why the first pass gave no report, None when it gave one. Raises TransientError when that says nothing
    about the bytes."""
    if ending.how == "timed_out" or ending.status == -signal.SIGXCPU:
        return Unread("timed_out")
    if ending.how == "overflowed":
        return Unread("unreadable")  # no media has so many streams, or so much to complain about
    if ending.status in CANNOT_START:
        raise TransientError("ffprobe doesn't start on this machine")
    code = error_code(document)
    statuses = STATUS.findall(ending.errors)
    if code in (BAD_REQUEST, NOT_FOUND) or (code == OTHER_4XX and b"410" in statuses):
        return Unread("missing")
    if code == OTHER_4XX and b"416" in statuses:
        return Unread("unreadable")  # the first byte was asked for, and there is none
    if trouble := network_trouble(ending.errors):
        raise TransientError(trouble)
    if code in ELSEWHERE:
        raise TransientError(f"Storage can't be read from (error {code})")
    if code == -errno.EIO and not DEMUXER.search(ending.errors):
        raise TransientError("Storage redirected, or didn't answer in HTTP")
    if code == -errno.ENOMEM:
        return Unread("crashed")
    if code is not None:
        return Unread("unreadable")
    return Unread("crashed") if ending.status != 0 else None


def of_reading(ending: ProcessResult) -> Unread | None:
    """Why a pass over packets didn't reach the end, None when it did. Raises TransientError as above.

    ffprobe takes any failed read for the end of the file and says so only in its log: a broken connection has
    to be found there, or it would pass for a shorter recording.
    """
    if ending.how == "timed_out" or ending.status == -signal.SIGXCPU:
        return Unread("timed_out")
    if ending.how == "overflowed":
        return Unread("unreadable")
    if trouble := network_trouble(ending.errors):
        raise TransientError(trouble)
    return Unread("crashed") if ending.status < 0 else None
