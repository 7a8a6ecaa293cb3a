"""``python -m devstack demo``: reserve, upload and read an asset, as a signed-in user and with an API key."""

import array
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from devstack import settings_file
from devstack.binaries import PROJECT
from devstack.errors import StackError
from devstack.supervisor import RUNNING

SAMPLE_RATE = 48_000
CHUNK = 64 * 1024
READY_SECONDS = 60.0


def run(state: Path, port_options: Sequence[str] = ()) -> int:
    """Runs the demo on the stack that runs in ``state``, or starts one with these options of ``up``.

    Returns 0 when every result was as expected. Raises StackError for an unexpected response or a lost connection.
    """
    try:
        with _running_stack(state, port_options) as settings, httpx.Client(timeout=30, trust_env=False) as client:
            session = _sign_in(client, settings)
            passed = [
                _upload_and_check(client, settings["API_URL"], "As a signed-in user", session),
                _upload_and_check(client, settings["API_URL"], "With an API key", settings["DEMO_API_KEY"]),
            ]
    except httpx.HTTPError as error:
        raise StackError(f"The demo lost its connection to the stack: {type(error).__name__}: {error}") from error
    return 0 if all(passed) else 1


@contextmanager
def _running_stack(state: Path, port_options: Sequence[str]) -> Iterator[dict[str, str]]:
    settings = settings_file.read(state / "stack.env")
    if _is_running(settings):
        print(f"Using the running stack at {settings['API_URL']}.")
        yield settings
        return
    print("Starting the local stack, the service and a worker…", flush=True)
    command = [sys.executable, "-m", "devstack", "up", "--state", str(state), *port_options]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None  # noqa: S101 - stdout=PIPE
        for line in process.stdout:
            if line.strip().startswith(RUNNING):
                break
        else:
            raise StackError("The stack did not start. The error is printed above.")
        yield settings_file.read(state / "stack.env")
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


def _is_running(settings: dict[str, str]) -> bool:
    try:
        return httpx.get(f"{settings['API_URL']}/healthz", timeout=2, trust_env=False).status_code == 200
    except (KeyError, httpx.HTTPError):
        return False


def _sign_in(client: httpx.Client, settings: dict[str, str]) -> str:
    headers = {"apikey": settings["SUPABASE_PUBLISHABLE_KEY"]}
    body = {"email": settings["DEMO_EMAIL"], "password": settings["DEMO_PASSWORD"]}
    response = client.post(f"{settings['SUPABASE_URL']}/auth/v1/token?grant_type=password", headers=headers, json=body)
    session = _expect(response, 200)
    _print_step(response, f"Signed in as {settings['DEMO_EMAIL']}.")
    return str(session["access_token"])


def _upload_and_check(client: httpx.Client, api: str, caller: str, credential: str) -> bool:
    """Reserves, uploads, waits and compares. True if duration and downloaded bytes are as generated."""
    seconds = Decimal(random.randint(5_000, 20_000)) / 1000  # noqa: S311 - not a secret
    data = _generate_tone(seconds)
    print(f"\n{caller}: generated a tone of {seconds} s ({len(data)} bytes).")
    authorization = {"Authorization": f"Bearer {credential}"}

    body = {"type": "audio", "content_type": "audio/wav", "size_bytes": len(data), "filename": "tone.wav"}
    response = client.post(f"{api}/api/v1/assets/upload-url", headers=authorization, json=body)
    reservation = _expect(response, 201)
    asset, upload = reservation["asset"], reservation["upload"]
    _print_step(response, f"Reserved asset {asset['id']}, upload until {upload['expires_at']}.")

    headers = {**upload["headers"], "Content-Length": str(len(data))}
    response = client.put(upload["url"], headers=headers, content=_with_progress(data))
    _expect(response, 200)
    _print_step(response, "Uploaded the bytes to Storage.")

    response = client.post(f"{api}/api/v1/assets/{asset['id']}/confirm", headers=authorization)
    _print_step(response, f"Confirmed the upload. State: {_expect(response, 200)['state']}.")

    deadline = time.monotonic() + READY_SECONDS
    while True:
        response = client.get(f"{api}/api/v1/assets/{asset['id']}", headers=authorization)
        asset = _expect(response, 200)
        if asset["state"] not in ("pending_upload", "processing") or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    _print_step(response, f"Waited for the worker. State: {asset['state']}.")
    print(json.dumps({**asset, "download_url": _truncated(asset["download_url"])}, indent=2))

    probed = Decimal(asset["duration_seconds"] or 0)
    probed_ok = asset["state"] == "ready" and probed == seconds and asset["size_bytes"] == len(data)
    downloaded_ok = bool(asset["download_url"]) and client.get(asset["download_url"]).content == data
    print(f"Generated {seconds} s, probed {probed} s: {'equal' if probed_ok else 'NOT EQUAL'}.", end=" ")
    print(f"The downloaded bytes are {'equal' if downloaded_ok else 'NOT EQUAL'}.")
    return probed_ok and downloaded_ok


def _generate_tone(seconds: Decimal) -> bytes:
    count = int(seconds * SAMPLE_RATE)
    samples = array.array("h", (int(9000 * math.sin(2 * math.pi * 440 * n / SAMPLE_RATE)) for n in range(count)))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(samples.tobytes())
    return file.getvalue()


def _with_progress(data: bytes) -> Iterator[bytes]:
    end = "\r" if sys.stdout.isatty() else "\n"
    shown = -1
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]
        percent = min(100, (start + CHUNK) * 100 // len(data))
        if percent // 25 > shown // 25 or end == "\r":
            shown = percent
            print(f"  PUT {percent:3}% of {len(data)} bytes", end=end, flush=True)
    if end == "\r":
        print()


def _expect(response: httpx.Response, status: int) -> Any:
    if response.status_code != status:
        raise StackError(f"{_request_line(response)}, expected {status}: {response.text}")
    return response.json()


def _print_step(response: httpx.Response, message: str) -> None:
    print(f"  {_request_line(response)}  {message}")


def _request_line(response: httpx.Response) -> str:
    return f"{response.request.method} {response.request.url.path} → {response.status_code}"


def _truncated(url: str | None) -> str | None:
    return f"{url[:100]}…" if url else None
