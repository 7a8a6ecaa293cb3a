"""Webhooks from the event to somebody's server, with real processes on both sides."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from devstack.stack import Stack
from tests.callers import Caller, Json, refused
from tests.polling import until
from tests.processes import WorkerProcess
from tests.receiver import Answer, Received, Receiver, receiving

Database = psycopg.Connection[Any]
NOT_DROPPED = (
    "select count(*) from assetdock_private.webhook_deliveries where webhook_endpoint_id = %s and state <> 'failed'"
)
GUIDE = Path(__file__).parents[2] / "docs/guides/webhooks.md"


@pytest.fixture(scope="module", autouse=True)
def quick_and_near(stack: Stack) -> Iterator[None]:
    """Receivers are on this machine, and retries come soon."""
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


def settled(caller: Caller, endpoint: Json, event_type: str) -> Json:
    until(lambda: delivery(caller, endpoint, event_type)["state"] != "pending", f"the delivery of {event_type} to end")
    return delivery(caller, endpoint, event_type)


def test_what_happens_to_an_asset_arrives_signed_and_as_it_was_then(
    owner: Caller, receiver: Receiver, wav: bytes
) -> None:
    endpoint = owner.hook(receiver.url)

    asset_id = owner.land(wav, metadata={"take": "7"})
    ready = owner.finished(asset_id)
    owner.http.delete(f"/assets/{asset_id}")

    for event_type in ("asset.processing", "asset.ready", "asset.deleted"):
        [request] = receiver.wait_for(event_type, asset_id)
        document = verified(request, endpoint["secret"])
        assert (request.path, request.headers["content-type"]) == ("/hook?tenant=7", "application/json")
        assert set(document) == {"type", "timestamp", "data"}
        assert document["data"]["state"] == event_type.removeprefix("asset.")
        assert document["data"]["metadata"] == {"take": "7"}
        ended = settled(owner, endpoint, event_type)
        assert (ended["id"], ended["state"]) == (request.headers["webhook-id"], "delivered")
        assert (ended["attempts"], ended["response_status"], ended["error"]) == (1, 204, None)
        assert ended["asset_id"] == asset_id
    events = owner.http.get(f"/assets/{asset_id}/events").json()["items"]
    [told] = receiver.of("asset.ready")
    assert told.document["timestamp"] == next(each["at"] for each in events if each["to"] == "ready")
    assert told.document["data"] == {name: ready[name] for name in told.document["data"]}
    assert "download_url" not in told.document["data"]


def test_a_file_that_is_no_media_is_told_as_failed_and_only_to_who_subscribed(
    owner: Caller, receiver: Receiver
) -> None:
    endpoint = owner.hook(receiver.url, "asset.failed")

    asset_id = owner.land(b"no media at all", content_type="audio/mpeg")

    [request] = receiver.wait_for("asset.failed", asset_id)
    assert verified(request, endpoint["secret"])["data"]["error_code"] == "unreadable_media"
    assert [each["event_type"] for each in owner.deliveries(endpoint["id"])] == ["asset.failed"]


def test_an_expired_reservation_is_told(owner: Caller, receiver: Receiver, database: Database) -> None:
    owner.hook(receiver.url, "asset.expired")
    asset_id = owner.reserve()["asset"]["id"]

    database.execute("update assetdock_app.assets set state = 'expired' where id = %s", [asset_id])

    [request] = receiver.wait_for("asset.expired", asset_id)
    assert request.document["data"]["state"] == "expired"


def test_nobody_is_told_of_anothers_assets(
    owner: Caller, stranger: Caller, receiver: Receiver, database: Database
) -> None:
    owner.hook(receiver.url)
    theirs = stranger.hook(receiver.url)
    asset_id = owner.reserve()["asset"]["id"]

    owner.http.delete(f"/assets/{asset_id}")

    receiver.wait_for("asset.deleted", asset_id)
    assert stranger.deliveries(theirs["id"]) == []
    refused(stranger.http.get(f"/webhook-endpoints/{theirs['id']}x/deliveries"), 404, "not_found")
    assert len(receiver.of("asset.deleted")) == 1


def test_both_secrets_sign_during_the_overlap_of_a_rotation_and_then_only_the_new_one(
    owner: Caller, receiver: Receiver, database: Database
) -> None:
    endpoint = owner.hook(receiver.url)
    path = f"/webhook-endpoints/{endpoint['id']}"
    rotated = owner.http.post(f"{path}/rotate-secret", json={"overlap_seconds": 3600}).json()

    owner.test_hook(endpoint["id"])
    [during] = receiver.wait_for("webhook.test")
    database.execute(
        "update assetdock_private.webhook_secrets set previous_until = now() where webhook_endpoint_id = %s",
        [endpoint["id"]],
    )
    owner.test_hook(endpoint["id"])
    after = receiver.wait_for("webhook.test", times=2)[1]

    verified(during, endpoint["secret"])
    verified(during, rotated["secret"])
    verified(after, rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        verified(after, endpoint["secret"])


def test_a_500_is_tried_again_with_the_same_id_and_body_until_it_is_taken(owner: Caller, receiver: Receiver) -> None:
    endpoint = owner.hook(receiver.url, "asset.deleted")
    receiver.answer = Answer(500, body=b"<b>out of\norder</b>")

    owner.http.delete(f"/assets/{owner.reserve()['asset']['id']}")
    receiver.wait_for("asset.deleted", times=2)
    until(lambda: delivery(owner, endpoint, "asset.deleted")["error"], "the failure to be recorded")
    seen = delivery(owner, endpoint, "asset.deleted")
    failing = owner.http.get(f"/webhook-endpoints/{endpoint['id']}").json()["failing_since"]
    receiver.answer = Answer(200)
    ended = settled(owner, endpoint, "asset.deleted")

    assert seen["error"] == "Answered 500. <b>out of order</b>"
    assert failing is not None
    assert (ended["state"], ended["attempts"], ended["response_status"]) == ("delivered", 3, 200)
    tries = receiver.of("asset.deleted")
    assert len({each.headers["webhook-id"] for each in tries}) == 1
    assert len({each.body for each in tries}) == 1
    for each in tries:
        verified(each, endpoint["secret"])
    assert owner.http.get(f"/webhook-endpoints/{endpoint['id']}").json()["failing_since"] is None


def test_a_delivery_that_always_fails_ends_failed_and_can_be_replayed(owner: Caller, receiver: Receiver) -> None:
    endpoint = owner.hook(receiver.url, "asset.deleted")
    receiver.answer = Answer(503)
    owner.http.delete(f"/assets/{owner.reserve()['asset']['id']}")
    failed = settled(owner, endpoint, "asset.deleted")
    receiver.answer = Answer(202)

    answer = owner.http.post(f"/webhook-endpoints/{endpoint['id']}/deliveries/{failed['id']}/replay")

    assert (failed["state"], failed["attempts"], failed["next_attempt_at"]) == ("failed", 3, None)
    assert answer.status_code == 202
    assert settled(owner, endpoint, "asset.deleted")["state"] == "delivered"
    assert {each.headers["webhook-id"] for each in receiver.of("asset.deleted")} == {failed["id"]}
    assert len({each.body for each in receiver.of("asset.deleted")}) == 1
    delivered_again = owner.http.post(f"/webhook-endpoints/{endpoint['id']}/deliveries/{failed['id']}/replay")
    assert delivered_again.status_code == 202
    receiver.wait_for("asset.deleted", times=5)


def test_410_disables_the_endpoint_and_a_test_that_succeeds_enables_it(owner: Caller, receiver: Receiver) -> None:
    endpoint = owner.hook(receiver.url, "asset.deleted")
    path = f"/webhook-endpoints/{endpoint['id']}"
    receiver.answer = Answer(410)

    owner.http.delete(f"/assets/{owner.reserve()['asset']['id']}")
    ended = settled(owner, endpoint, "asset.deleted")

    assert (ended["state"], ended["attempts"], ended["response_status"]) == ("failed", 1, 410)
    disabled = owner.http.get(path).json()
    assert (disabled["state"], disabled["disabled_reason"]) == ("disabled", "gone")
    owner.http.delete(f"/assets/{owner.reserve()['asset']['id']}")
    assert len(owner.deliveries(endpoint["id"])) == 1
    receiver.answer = Answer(204)
    owner.test_hook(endpoint["id"])
    until(lambda: owner.http.get(path).json()["state"] == "enabled", "the test to enable the endpoint")
    owner.http.delete(f"/assets/{owner.reserve()['asset']['id']}")
    receiver.wait_for("asset.deleted", times=2)


def test_an_endpoint_that_failed_for_five_days_is_disabled(
    owner: Caller, receiver: Receiver, database: Database
) -> None:
    endpoint = owner.hook(receiver.url, "asset.deleted")
    receiver.answer = Answer(500)
    database.execute(
        "update assetdock_app.webhook_endpoints set failing_since = now() - interval '5 days' where id = %s",
        [endpoint["id"]],
    )

    owner.http.delete(f"/assets/{owner.reserve()['asset']['id']}")

    ended = settled(owner, endpoint, "asset.deleted")
    assert (ended["state"], ended["attempts"]) == ("failed", 1)
    assert ended["error"] == "The endpoint is disabled."
    assert owner.http.get(f"/webhook-endpoints/{endpoint['id']}").json()["disabled_reason"] == "failing"


def test_a_redirect_is_not_followed(owner: Caller, receiver: Receiver) -> None:
    endpoint = owner.hook(receiver.url)
    with receiving() as inner:
        receiver.answer = Answer(302, {"Location": inner.url})

        owner.test_hook(endpoint["id"])

        ended = settled(owner, endpoint, "webhook.test")
        assert (ended["state"], ended["response_status"]) == ("failed", 302)
        assert inner.received == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "[::ffff:10.0.0.1]", "127.1"])
def test_a_url_that_leads_inwards_is_never_connected_to(
    owner: Caller, receiver: Receiver, database: Database, host: str
) -> None:
    """By name, too: localhost is one that resolves to loopback."""
    endpoint = owner.hook(f"https://{host}:{receiver.port}/")
    database.execute("update assetdock_private.settings set loopback_webhooks = false")
    try:
        owner.test_hook(endpoint["id"])
        ended = settled(owner, endpoint, "webhook.test")
    finally:
        database.execute("update assetdock_private.settings set loopback_webhooks = true")

    assert (ended["state"], ended["response_status"]) == ("failed", None)
    assert ended["error"] == "The host leads to an address that is not public."


def test_nothing_is_lost_when_the_worker_is_killed_in_the_middle(
    owner: Caller, receiver: Receiver, worker: WorkerProcess, worker_environment: dict[str, str], database: Database
) -> None:
    endpoint = owner.hook(receiver.url, "asset.deleted")
    receiver.hold = True
    worker.signal(signal.SIGSTOP)
    victim = WorkerProcess(worker_environment)
    try:
        owner.http.delete(f"/assets/{owner.reserve()['asset']['id']}")
        receiver.wait_for("asset.deleted")
        victim.signal(signal.SIGKILL)
        victim.wait()
        receiver.hold = False
        assert delivery(owner, endpoint, "asset.deleted")["state"] == "pending"
        # The end of its lease, brought forward.
        database.execute(
            "update assetdock_private.jobs set available_at = now() where kind = 'deliver' and delivery_id = %s",
            [delivery(owner, endpoint, "asset.deleted")["id"]],
        )
    finally:
        receiver.let_go.set()
        worker.signal(signal.SIGCONT)
        victim.stop()

    ended = settled(owner, endpoint, "asset.deleted")
    assert (ended["state"], ended["attempts"]) == ("delivered", 1)
    first, second = receiver.of("asset.deleted")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_what_was_still_to_be_sent_to_a_deleted_endpoint_is_not_sent(
    owner: Caller, receiver: Receiver, database: Database
) -> None:
    endpoint = owner.hook(receiver.url, "asset.deleted")
    with database.transaction():
        # One transaction, so that no worker is quicker.
        asset_id = owner.reserve()["asset"]["id"]
        database.execute("select assetdock_private.delete_asset(%s, now() + interval '1 day')", [asset_id])
        database.execute(
            "update assetdock_app.webhook_endpoints set deleted_at = now() where id = %s", [endpoint["id"]]
        )
        assert database.execute(NOT_DROPPED, [endpoint["id"]]).fetchone() == (1,)

    # By whoever sends, or by housekeeping, which forgets it.
    until(lambda: database.execute(NOT_DROPPED, [endpoint["id"]]).fetchone() == (0,), "the delivery to be dropped")
    assert receiver.received == []


def test_no_line_of_the_log_has_a_secret_or_a_url_of_a_receiver(
    owner: Caller, receiver: Receiver, worker: WorkerProcess
) -> None:
    endpoint = owner.hook(receiver.url)
    made = owner.test_hook(endpoint["id"])

    until(lambda: made["id"] in worker.output, "the attempt to be logged")
    assert endpoint["secret"] not in worker.output
    assert "tenant=7" not in worker.output


def test_the_example_of_the_guide_takes_what_is_sent_and_nothing_else(owner: Caller, receiver: Receiver) -> None:
    [source] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 - it is our own guide
    endpoint = owner.hook(receiver.url)
    owner.test_hook(endpoint["id"])
    [request] = receiver.wait_for("webhook.test")

    assert names["verified"](request.headers, request.body, endpoint["secret"])["type"] == "webhook.test"
    for headers, body, secret in (
        (request.headers, request.body + b" ", endpoint["secret"]),
        ({**request.headers, "webhook-id": "other"}, request.body, endpoint["secret"]),
        ({**request.headers, "webhook-timestamp": "1700000000"}, request.body, endpoint["secret"]),
        (request.headers, request.body, "whsec_" + "A" * 44),
    ):
        with pytest.raises(ValueError, match="webhook"):
            names["verified"](headers, body, secret)
