"""How this project sets up its HTTP client (pyreqwest), and what its exceptions leave open."""

import ssl
from pathlib import Path

import certifi
from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import PyreqwestError


def client_builder() -> ClientBuilder:
    """A client without proxies, redirects, cookies and decompression.

    It trusts the system's certificate authorities (SSL_CERT_FILE and SSL_CERT_DIR replace them) and certifi's, for
    containers that have none.
    """
    builder = ClientBuilder().no_proxy().follow_redirects(False).referer(False)
    builder = builder.gzip(False).brotli(False).zstd(False).deflate(False)
    return builder.add_root_certificate_pem(Path(certifi.where()).read_bytes())


def tls_context() -> ssl.SSLContext:
    """The same authorities for connections of asyncio."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def failed_to_connect(error: PyreqwestError) -> bool:
    """Whether a request failed before it was sent.

    pyreqwest 0.15 raises ConnectError and ConnectTimeoutError for every failure before the response. hyper's message
    among the causes tells the phase.
    """
    return "client error (Connect)" in causes(error)


def causes(error: PyreqwestError) -> list[str]:
    """The messages of the causes, outermost first."""
    found = getattr(error, "details", {}).get("causes") or []
    return [cause["message"] for cause in found]
