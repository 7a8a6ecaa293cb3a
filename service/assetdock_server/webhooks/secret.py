"""The secret that signs the webhooks of one endpoint."""

import base64
import secrets

PREFIX = "whsec_"
BYTES = 32  # Standard Webhooks requires 24 to 64


def make() -> str:
    """A new secret from the operating system's CSPRNG: `whsec_` and 32 bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()
