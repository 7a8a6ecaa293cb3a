"""Webhooks from the event to the receiver's server, with real processes on both sides."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from devstack.stack import Stack
from tests.callers import Caller, Json, assert_rejected
from tests.catalogue import Database
from tests.polling import until
from tests.processes import WorkerProcess
from tests.receiver import Answer, Received, Receiver, receiving

NOT_DROPPED = (
    "select count(*) from assetdock_private.webhook_deliveries where webhook_endpoint_id = %s and state <> 'failed'"
)
GUIDE = Path(__file__).parents[2] / "docs/guides/webhooks.md"


@pytest.fixture(scope="module", autouse=True)
def loopback_receivers_and_quick_retries(stack: Stack) -> Iterator[None]:
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        connection.execute(
            "update assetdock_private.settings set loopback_webhooks = true,"
            " webhook_retries = '{300 milliseconds,300 milliseconds}'"
        )
        yield
        connection.execute("update assetdock_private.settings set loopback_webhooks = false, webhook_retries = default")


@pytest.fixture
def receiver(worker: WorkerProcess) -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def verified(request: Received, secret: str) -> Json:
    document: Json = Webhook(secret).verify(request.body, request.headers)
    return document


def delivery(caller: Caller, endpoint: Json, event_type: str) -> Json:
    [found] = [each for each in caller.deliveries(endpoint["id"]) if each["event_type"] == event_type]
    return found


def finished(caller: Caller, endpoint: Json, event_type: str) -> Json:
    """The delivery once it is delivered or failed."""
    until(lambda: delivery(caller, endpoint, event_type)["state"] != "pending", f"the delivery of {event_type} to end")
    return delivery(caller, endpoint, event_type)


def delete_an_asset(caller: Caller) -> None:
    """Causes one event asset.deleted."""
    caller.http.delete(f"/assets/{caller.reserve()['asset']['id']}")


def test_events_of_an_asset_arrive_signed_with_the_state_of_their_time(
    owner: Caller, receiver: Receiver, wav: bytes
) -> None:
    endpoint = owner.create_endpoint(receiver.url)

    asset_id = owner.land(wav, metadata={"take": "7"})
    ready = owner.wait_until_finished(asset_id)
    owner.http.delete(f"/assets/{asset_id}")

    for event_type in ("asset.processing", "asset.ready", "asset.deleted"):
        [request] = receiver.wait_for(event_type, asset_id)
        document = verified(request, endpoint["secret"])
        assert (request.path, request.headers["content-type"]) == ("/hook?tenant=7", "application/json")
        assert set(document) == {"type", "timestamp", "data"}
        assert document["data"]["state"] == event_type.removeprefix("asset.")
        assert document["data"]["metadata"] == {"take": "7"}
        delivered = finished(owner, endpoint, event_type)
        assert (delivered["id"], delivered["state"]) == (request.headers["webhook-id"], "delivered")
        assert (delivered["attempts"], delivered["response_status"], delivered["error"]) == (1, 204, None)
        assert delivered["asset_id"] == asset_id
    events = owner.http.get(f"/assets/{asset_id}/events").json()["items"]
    [sent] = receiver.of("asset.ready")
    assert sent.document["timestamp"] == next(each["at"] for each in events if each["to"] == "ready")
    assert sent.document["data"] == {name: ready[name] for name in sent.document["data"]}
    assert "download_url" not in sent.document["data"]


def test_an_endpoint_receives_only_the_event_types_it_subscribed_to(owner: Caller, receiver: Receiver) -> None:
    endpoint = owner.create_endpoint(receiver.url, "asset.failed")

    asset_id = owner.land(b"no media at all", content_type="audio/mpeg")

    [request] = receiver.wait_for("asset.failed", asset_id)
    assert verified(request, endpoint["secret"])["data"]["error_code"] == "unreadable_media"
    assert [each["event_type"] for each in owner.deliveries(endpoint["id"])] == ["asset.failed"]


def test_an_expired_reservation_is_sent(owner: Caller, receiver: Receiver, database: Database) -> None:
    owner.create_endpoint(receiver.url, "asset.expired")
    asset_id = owner.reserve()["asset"]["id"]

    database.execute("update assetdock_app.assets set state = 'expired' where id = %s", [asset_id])

    [request] = receiver.wait_for("asset.expired", asset_id)
    assert request.document["data"]["state"] == "expired"


def test_a_stranger_receives_no_event_of_the_owners_assets(
    owner: Caller, stranger: Caller, receiver: Receiver, database: Database
) -> None:
    owner.create_endpoint(receiver.url)
    strangers_endpoint = stranger.create_endpoint(receiver.url)
    asset_id = owner.reserve()["asset"]["id"]

    owner.http.delete(f"/assets/{asset_id}")

    receiver.wait_for("asset.deleted", asset_id)
    assert stranger.deliveries(strangers_endpoint["id"]) == []
    assert_rejected(stranger.http.get(f"/webhook-endpoints/{strangers_endpoint['id']}x/deliveries"), 404, "not_found")
    assert len(receiver.of("asset.deleted")) == 1


def test_both_secrets_sign_during_the_overlap_of_a_rotation_and_only_the_new_one_afterwards(
    owner: Caller, receiver: Receiver, database: Database
) -> None:
    endpoint = owner.create_endpoint(receiver.url)
    path = f"/webhook-endpoints/{endpoint['id']}"
    rotated = owner.http.post(f"{path}/rotate-secret", json={"overlap_seconds": 3600}).json()

    owner.send_test_event(endpoint["id"])
    [during] = receiver.wait_for("webhook.test")
    database.execute(
        "update assetdock_private.webhook_secrets set previous_until = now() where webhook_endpoint_id = %s",
        [endpoint["id"]],
    )
    owner.send_test_event(endpoint["id"])
    after = receiver.wait_for("webhook.test", times=2)[1]

    verified(during, endpoint["secret"])
    verified(during, rotated["secret"])
    verified(after, rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        verified(after, endpoint["secret"])


def test_a_delivery_is_retried_with_the_same_id_and_body_until_the_receiver_accepts_it(
    owner: Caller, receiver: Receiver
) -> None:
    endpoint = owner.create_endpoint(receiver.url, "asset.deleted")
    receiver.answer = Answer(500, body=b"<b>out of\norder</b>")

    delete_an_asset(owner)
    receiver.wait_for("asset.deleted", times=2)
    until(lambda: delivery(owner, endpoint, "asset.deleted")["error"], "the failure to be recorded")
    retrying = delivery(owner, endpoint, "asset.deleted")
    failing = owner.http.get(f"/webhook-endpoints/{endpoint['id']}").json()["failing_since"]
    receiver.answer = Answer(200)
    delivered = finished(owner, endpoint, "asset.deleted")

    assert retrying["error"] == "Responded with 500. <b>out of order</b>"
    assert failing is not None
    assert (delivered["state"], delivered["attempts"], delivered["response_status"]) == ("delivered", 3, 200)
    attempts = receiver.of("asset.deleted")
    assert len({each.headers["webhook-id"] for each in attempts}) == 1
    assert len({each.body for each in attempts}) == 1
    for each in attempts:
        verified(each, endpoint["secret"])
    assert owner.http.get(f"/webhook-endpoints/{endpoint['id']}").json()["failing_since"] is None


def test_a_delivery_fails_after_its_last_attempt_and_can_be_replayed(owner: Caller, receiver: Receiver) -> None:
    endpoint = owner.create_endpoint(receiver.url, "asset.deleted")
    receiver.answer = Answer(503)
    delete_an_asset(owner)
    failed = finished(owner, endpoint, "asset.deleted")
    receiver.answer = Answer(202)
    replay = f"/webhook-endpoints/{endpoint['id']}/deliveries/{failed['id']}/replay"

    replayed = owner.http.post(replay)

    assert (failed["state"], failed["attempts"], failed["next_attempt_at"]) == ("failed", 3, None)
    assert replayed.status_code == 202
    assert finished(owner, endpoint, "asset.deleted")["state"] == "delivered"
    assert {each.headers["webhook-id"] for each in receiver.of("asset.deleted")} == {failed["id"]}
    assert len({each.body for each in receiver.of("asset.deleted")}) == 1
    assert owner.http.post(replay).status_code == 202
    receiver.wait_for("asset.deleted", times=5)


def test_410_disables_the_endpoint_and_a_successful_test_enables_it(owner: Caller, receiver: Receiver) -> None:
    endpoint = owner.create_endpoint(receiver.url, "asset.deleted")
    path = f"/webhook-endpoints/{endpoint['id']}"
    receiver.answer = Answer(410)

    delete_an_asset(owner)
    failed = finished(owner, endpoint, "asset.deleted")

    assert (failed["state"], failed["attempts"], failed["response_status"]) == ("failed", 1, 410)
    disabled = owner.http.get(path).json()
    assert (disabled["state"], disabled["disabled_reason"]) == ("disabled", "gone")
    delete_an_asset(owner)
    assert len(owner.deliveries(endpoint["id"])) == 1
    receiver.answer = Answer(204)
    owner.send_test_event(endpoint["id"])
    until(lambda: owner.http.get(path).json()["state"] == "enabled", "the test to enable the endpoint")
    delete_an_asset(owner)
    receiver.wait_for("asset.deleted", times=2)


def test_an_endpoint_that_failed_for_five_days_is_disabled(
    owner: Caller, receiver: Receiver, database: Database
) -> None:
    endpoint = owner.create_endpoint(receiver.url, "asset.deleted")
    receiver.answer = Answer(500)
    database.execute(
        "update assetdock_app.webhook_endpoints set failing_since = now() - interval '5 days' where id = %s",
        [endpoint["id"]],
    )

    delete_an_asset(owner)

    failed = finished(owner, endpoint, "asset.deleted")
    assert (failed["state"], failed["attempts"]) == ("failed", 1)
    assert failed["error"] == "The endpoint is disabled."
    assert owner.http.get(f"/webhook-endpoints/{endpoint['id']}").json()["disabled_reason"] == "failing"


def test_a_redirect_is_not_followed(owner: Caller, receiver: Receiver) -> None:
    endpoint = owner.create_endpoint(receiver.url)
    with receiving() as target:
        receiver.answer = Answer(302, {"Location": target.url})

        owner.send_test_event(endpoint["id"])

        failed = finished(owner, endpoint, "webhook.test")
        assert (failed["state"], failed["response_status"]) == ("failed", 302)
        assert target.received == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "[::ffff:10.0.0.1]", "127.1"])
def test_the_worker_does_not_connect_to_a_host_with_a_private_address(
    owner: Caller, receiver: Receiver, database: Database, host: str
) -> None:
    """localhost is a name that resolves to a loopback address."""
    endpoint = owner.create_endpoint(f"https://{host}:{receiver.port}/")
    database.execute("update assetdock_private.settings set loopback_webhooks = false")
    try:
        owner.send_test_event(endpoint["id"])
        failed = finished(owner, endpoint, "webhook.test")
    finally:
        database.execute("update assetdock_private.settings set loopback_webhooks = true")

    assert (failed["state"], failed["response_status"]) == ("failed", None)
    assert failed["error"] == "The host resolves to an address that is not public."


def test_a_delivery_is_sent_again_when_the_worker_is_killed_while_sending(
    owner: Caller, receiver: Receiver, worker: WorkerProcess, worker_environment: dict[str, str], database: Database
) -> None:
    endpoint = owner.create_endpoint(receiver.url, "asset.deleted")
    receiver.hold = True
    worker.signal(signal.SIGSTOP)
    victim = WorkerProcess(worker_environment)
    try:
        delete_an_asset(owner)
        receiver.wait_for("asset.deleted")
        victim.signal(signal.SIGKILL)
        victim.wait()
        receiver.hold = False
        assert delivery(owner, endpoint, "asset.deleted")["state"] == "pending"
        # Expires the lease of the killed worker.
        database.execute(
            "update assetdock_private.jobs set available_at = now() where kind = 'deliver' and delivery_id = %s",
            [delivery(owner, endpoint, "asset.deleted")["id"]],
        )
    finally:
        receiver.let_go.set()
        worker.signal(signal.SIGCONT)
        victim.stop()

    delivered = finished(owner, endpoint, "asset.deleted")
    assert (delivered["state"], delivered["attempts"]) == ("delivered", 1)
    first, second = receiver.of("asset.deleted")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_pending_deliveries_of_a_deleted_endpoint_are_not_sent(
    owner: Caller, receiver: Receiver, database: Database
) -> None:
    endpoint = owner.create_endpoint(receiver.url, "asset.deleted")
    with database.transaction():
        # In one transaction, so that no worker can send the delivery before the endpoint is deleted.
        asset_id = owner.reserve()["asset"]["id"]
        database.execute("select assetdock_private.delete_asset(%s, now() + interval '1 day')", [asset_id])
        database.execute(
            "update assetdock_app.webhook_endpoints set deleted_at = now() where id = %s", [endpoint["id"]]
        )
        assert database.execute(NOT_DROPPED, [endpoint["id"]]).fetchone() == (1,)

    # Either the worker drops the delivery when it would send it, or maintenance deletes it.
    until(lambda: database.execute(NOT_DROPPED, [endpoint["id"]]).fetchone() == (0,), "the delivery to be dropped")
    assert receiver.received == []


def test_the_log_contains_no_webhook_secret_and_no_query_of_a_receivers_url(
    owner: Caller, receiver: Receiver, worker: WorkerProcess
) -> None:
    endpoint = owner.create_endpoint(receiver.url)
    sent = owner.send_test_event(endpoint["id"])

    until(lambda: sent["id"] in worker.output, "the attempt to be logged")
    assert endpoint["secret"] not in worker.output
    assert "tenant=7" not in worker.output


def test_the_guides_example_accepts_our_webhooks_and_rejects_altered_ones(owner: Caller, receiver: Receiver) -> None:
    [source] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 - the source is our own guide
    endpoint = owner.create_endpoint(receiver.url)
    owner.send_test_event(endpoint["id"])
    [request] = receiver.wait_for("webhook.test")

    assert names["verified"](request.headers, request.body, endpoint["secret"])["type"] == "webhook.test"
    for reason, headers, body, secret in (
        ("signature", request.headers, request.body + b" ", endpoint["secret"]),
        ("signature", {**request.headers, "webhook-id": "other"}, request.body, endpoint["secret"]),
        ("timestamp", {**request.headers, "webhook-timestamp": "1700000000"}, request.body, endpoint["secret"]),
        ("signature", request.headers, request.body, "whsec_" + "A" * 44),
    ):
        with pytest.raises(ValueError, match=f"^the {reason} "):
            names["verified"](headers, body, secret)
