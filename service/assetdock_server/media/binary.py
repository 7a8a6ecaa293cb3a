"""Finds ffprobe and detects the features of its build."""

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
from assetdock_server.media.sandbox.run import Limits, run
from assetdock_server.media.sandbox.starter import MissingSetprivError

INSTALL = "Install Debian's ffmpeg (apt-get install ffmpeg), or set ASSETDOCK_FFPROBE to another ffprobe."
# At each start Debian's ffprobe looks up 50 000 symbols in 215 libraries, in order. With these libraries first it needs
# half of the comparisons, which makes the worker about a sixth faster. Every symbol still resolves to the same
# library (tests/worker/test_binary.py, docs/decisions/0082).
PRELOADED = (
    *("libm.so.6", "libc.so.6", "libcrypto.so.3", "libepoxy.so.0", "libglib-2.0.so.0", "libgio-2.0.so.0"),
    *("libnettle.so.8", "libmbedcrypto.so.7", "libunistring.so.2", "libpango-1.0.so.0", "libdb-5.3.so"),
    *("libdbus-1.so.3", "libgnutls.so.30", "libcodec2.so.1.0", "libmount.so.1"),
    *("libharfbuzz.so.0", "libgobject-2.0.so.0", "libsystemd.so.0", "liblcms2.so.2", "libhogweed.so.6"),
    *("libcairo.so.2", "libvulkan.so.1", "libasound.so.2", "libpng16.so.16", "libsphinxbase.so.3"),
    *("libFLAC.so.12", "libssl.so.3", "libtinfo.so.6", "libX11.so.6", "libzvbi.so.0", "libcdio.so.19"),
)
ARCHITECTURES = {"x86_64": "x64", "AMD64": "x64", "aarch64": "arm64", "arm64": "arm64"}


class UnusableFfprobeError(Exception):
    """No usable ffprobe. The message says what to do; the worker checks for it at start."""


@dataclass(frozen=True)
class Ffprobe:
    """An ffprobe that was found and has started once."""

    path: Path
    static: bool = False  # glibc's plug-ins crash it, so it cannot look up host names
    counts_redirects: bool = False  # supports -max_redirects: Debian's 5.1 does, npm's build does not
    environment: Mapping[str, str] = field(default_factory=dict)

    def accept(self, url: str) -> SplitResult:
        """Parses a URL that this ffprobe can read. Raises UnusableFfprobeError for any other; the worker checks
        SUPABASE_URL with it at start."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # an invalid port or an unclosed bracket
            usable = False
        if not usable:
            raise UnusableFfprobeError("Media can be read from http and https URLs only.")
        if parts.scheme == "https" and self.static:
            raise UnusableFfprobeError(
                "This static ffprobe cannot look up host names, and certificates cannot be verified against an IP "
                f"address, so it cannot read over https. {INSTALL}"
            )
        return parts

    async def source(self, url: str) -> list[str]:
        """The arguments that let this ffprobe read `url` and nothing else. Raises TransientError when the host
        cannot be resolved."""
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
    """The ffprobe in ASSETDOCK_FFPROBE, else the one on PATH, else npm's in `project`/node_modules.

    Starts it once, under the limits of a probe. Raises UnusableFfprobeError.
    """
    path = _located(project, environ)
    printed = bytearray()
    try:
        result = await run(
            [str(path), "-h", "protocol=http"],
            limits=limits,
            seconds=30,
            environment={},
            receive=printed.extend,
            capacity=limits.output_bytes,
        )
    except MissingSetprivError as error:
        raise UnusableFfprobeError(str(error)) from error
    if result.status != 0 or b"ffprobe version" not in result.errors:
        raise UnusableFfprobeError(f"{path} does not start, or is no ffprobe. {INSTALL}")
    static = b"-static" in result.errors.split(b"\n")[0]
    environment = {}
    if static and sys.platform == "linux":
        # Disables character set plug-ins: loading one, for a title in an MPEG-TS, crashes a static build.
        environment["GCONV_PATH"] = os.devnull
    elif sys.platform == "linux" and await _loads(path, PRELOADED, limits):
        environment["LD_PRELOAD"] = ":".join(PRELOADED)
    if trusted := environ.get("SSL_CERT_FILE"):
        environment["SSL_CERT_FILE"] = trusted
    return Ffprobe(path, static, b"-max_redirects" in printed, environment)


async def _loads(path: Path, libraries: Sequence[str], limits: Limits) -> bool:
    """Whether glibc's loader lists all of these libraries for this program."""
    printed = bytearray()
    await run(
        [str(path), "-version"],
        limits=limits,
        seconds=30,
        environment={"LD_TRACE_LOADED_OBJECTS": "1"},  # list only, see ld.so(8)
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
            raise UnusableFfprobeError(f"ASSETDOCK_FFPROBE is {named}, which is not an executable program. {INSTALL}")
        return Path(path).absolute()
    if path := shutil.which("ffprobe", path=environ.get("PATH", "")):
        return Path(path).absolute()
    packaged = from_npm(project)
    if not packaged.is_file():
        raise UnusableFfprobeError(f"No ffprobe on PATH or in node_modules. {INSTALL}")
    return packaged


def from_npm(project: Path) -> Path:
    """The path of npm's ffprobe for this platform. Makes it executable, because npm's --ignore-scripts does not."""
    system = "darwin" if sys.platform == "darwin" else "linux"
    machine = ARCHITECTURES.get(platform.machine(), platform.machine())
    path = project.absolute() / "node_modules" / "@ffprobe-installer" / f"{system}-{machine}" / "ffprobe"
    if path.is_file() and not os.access(path, os.X_OK):
        try:
            path.chmod(0o755)
        except OSError as refused:
            raise UnusableFfprobeError(f"{path} is not executable. Run chmod 755 on it.") from refused
    return path


async def _by_address(parts: SplitResult) -> str:
    """The URL with the resolved address of its host. IPv4 first: a local stack often listens only there."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError as unknown:
        raise TransientError(f"The host of the signed URL cannot be resolved: {unknown.strerror}") from unknown
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
    return parts._replace(netloc=f"{host}:{parts.port or 80}").geturl()
