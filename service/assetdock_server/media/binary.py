"""Finds ffprobe, and finds out what this build of it can't be asked."""

import asyncio
import os
import platform
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from assetdock_server.media.report import TransientError
from assetdock_server.media.sandbox.confinement import find_setpriv
from assetdock_server.media.sandbox.run import Limits, run

INSTALL = "Install Debian's ffmpeg (apt-get install ffmpeg), or set ASSETDOCK_FFPROBE to another ffprobe."
# Debian's ffprobe looks up 50 000 names in 215 libraries, one after the other, each time it starts. These come first
# then, in the order of what they spare: every name still leads to the same library (tests/worker/test_binary.py), after
# half the search (docs/decisions/0082).
SEARCHED_FIRST = (
    *("libm.so.6", "libc.so.6", "libcrypto.so.3", "libepoxy.so.0", "libglib-2.0.so.0", "libgio-2.0.so.0"),
    *("libnettle.so.8", "libmbedcrypto.so.7", "libunistring.so.2", "libpango-1.0.so.0", "libdb-5.3.so"),
    *("libdbus-1.so.3", "libgnutls.so.30", "libcodec2.so.1.0", "libmount.so.1"),
    *("libharfbuzz.so.0", "libgobject-2.0.so.0", "libsystemd.so.0", "liblcms2.so.2", "libhogweed.so.6"),
    *("libcairo.so.2", "libvulkan.so.1", "libasound.so.2", "libpng16.so.16", "libsphinxbase.so.3"),
    *("libFLAC.so.12", "libssl.so.3", "libtinfo.so.6", "libX11.so.6", "libzvbi.so.0", "libcdio.so.19"),
)
ARCHITECTURES = {"x86_64": "x64", "AMD64": "x64", "aarch64": "arm64", "arm64": "arm64"}


class UnusableFfprobeError(Exception):
    """There is no ffprobe that could do the work. Its text says what to do; it belongs at the start of the
    worker."""


@dataclass(frozen=True)
class Ffprobe:
    """An ffprobe that was found and started once."""

    path: Path
    static: bool = False  # crashes where glibc loads plug-ins, which is how it looks up host names
    counts_redirects: bool = False  # knows -max_redirects: Debian's 5.1 does, npm's build doesn't
    environment: Mapping[str, str] = field(default_factory=dict)

    def accept(self, url: str) -> SplitResult:
        """The parts of a URL this ffprobe can read from. Raises UnusableFfprobeError for another: ask once
        with SUPABASE_URL."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number, a bracket that doesn't close
            usable = False
        if not usable:
            raise UnusableFfprobeError("Media is read from http and https addresses only.")
        if parts.scheme == "https" and self.static:
            raise UnusableFfprobeError(
                "This static ffprobe can't look up host names, and a certificate can't be checked against "
                f"an IP address, so it can't read over https. {INSTALL}"
            )
        return parts

    async def source(self, url: str) -> list[str]:
        """The arguments that make this ffprobe read `url` and nothing else. Raises TransientError when its
        host isn't found."""
        parts = self.accept(url)
        secure = parts.scheme == "https"
        arguments = ["-protocol_whitelist", "https,tls,tcp" if secure else "http,tcp"]
        if secure:
            arguments += ["-tls_verify", "1"]  # off by default
            if trusted := self.environment.get("SSL_CERT_FILE"):
                arguments += ["-ca_file", trusted]
        if self.counts_redirects:
            arguments += ["-max_redirects", "0"]
        if self.static:
            url = await _by_address(parts)
            arguments += ["-headers", f"Host: {parts.netloc.rpartition('@')[2]}\r\n"]
        return [*arguments, "-i", url]


async def find(
    project: Path,
    environ: Mapping[str, str] = os.environ,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Ffprobe:
    """The ffprobe named by ASSETDOCK_FFPROBE, else the one on PATH, else the one npm put under
    `project`/node_modules.

    It is started once, within the limits it will work under. Raises UnusableFfprobeError.
    """
    path = _located(project, environ)
    printed = bytearray()
    ending = await run(
        [str(path), "-h", "protocol=http"],
        limits=limits,
        seconds=30,
        environment={},
        receive=printed.extend,
        capacity=limits.output_bytes,
    )
    if ending.status != 0 or b"ffprobe version" not in ending.errors:
        raise UnusableFfprobeError(f"{path} doesn't start as an ffprobe. {INSTALL}")
    static = b"-static" in ending.errors.split(b"\n")[0]
    environment = {}
    if static and sys.platform == "linux":
        # No character set plug-ins: loading one, for the title in an MPEG-TS, is a segfault.
        environment["GCONV_PATH"] = os.devnull
    # Without setpriv it is Python that becomes ffprobe, and would load them first as well.
    elif find_setpriv() and await _loads(path, SEARCHED_FIRST, limits):
        environment["LD_PRELOAD"] = ":".join(SEARCHED_FIRST)
    if trusted := environ.get("SSL_CERT_FILE"):
        environment["SSL_CERT_FILE"] = trusted
    return Ffprobe(path, static, b"-max_redirects" in printed, environment)


async def _loads(path: Path, libraries: Sequence[str], limits: Limits) -> bool:
    """Whether glibc's loader says that it takes all of these libraries to start this program."""
    printed = bytearray()
    await run(
        [str(path), "-version"],
        limits=limits,
        seconds=30,
        environment={"LD_TRACE_LOADED_OBJECTS": "1"},  # it only lists them then (ld.so(8))
        receive=printed.extend,
        capacity=limits.output_bytes,
    )
    loaded = {line.split()[0] for line in printed.decode(errors="replace").splitlines() if line.strip()}
    return loaded.issuperset(libraries)


def _located(project: Path, environ: Mapping[str, str]) -> Path:
    named = environ.get("ASSETDOCK_FFPROBE")
    if named:
        path = shutil.which(named, path=environ.get("PATH", ""))
        if path is None:
            raise UnusableFfprobeError(f"ASSETDOCK_FFPROBE is {named}, which is no program. {INSTALL}")
        return Path(path).absolute()
    if path := shutil.which("ffprobe", path=environ.get("PATH", "")):
        return Path(path).absolute()
    packaged = from_npm(project)
    if not packaged.is_file():
        raise UnusableFfprobeError(f"No ffprobe on PATH, and none under node_modules. {INSTALL}")
    return packaged


def from_npm(project: Path) -> Path:
    """Where npm puts the ffprobe of this platform, made executable, which npm's --ignore-scripts leaves
    out."""
    system = "darwin" if sys.platform == "darwin" else "linux"
    machine = ARCHITECTURES.get(platform.machine(), platform.machine())
    path = project.absolute() / "node_modules" / "@ffprobe-installer" / f"{system}-{machine}" / "ffprobe"
    if path.is_file() and not os.access(path, os.X_OK):
        try:
            path.chmod(0o755)
        except OSError as refused:
            raise UnusableFfprobeError(f"{path} isn't executable: chmod 755 it.") from refused
    return path


async def _by_address(parts: SplitResult) -> str:
    """The URL with its host looked up here. IPv4 first: a local stack often listens on nothing else."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError as unknown:
        raise TransientError(f"The host of the signed URL isn't found: {unknown.strerror}") from unknown
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
    return parts._replace(netloc=f"{host}:{parts.port or 80}").geturl()
