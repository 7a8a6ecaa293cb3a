"""The secret that signs what is sent to one webhook endpoint."""

import base64
import secrets

PREFIX = "whsec_"
BYTES = 32  # Standard Webhooks asks for 24 to 64


def make() -> str:
    """A new secret from the operating system's CSPRNG: `whsec_` and 32 bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()
