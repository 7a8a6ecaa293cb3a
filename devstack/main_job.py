"""``python -m devstack demo``: the main job, shown. Twice: as a signed-in user and with an API key."""

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

RATE = 48_000
CHUNK = 64 * 1024
READY_SECONDS = 60.0
RUNNING = "Assetdock is running."


def show(state: Path, port_options: Sequence[str] = ()) -> int:
    """Runs the demo on the stack that is up in ``state``, or on one started for it with these options of ``up``.
    0 when every answer was right. Raises StackError when there was none, or not the one expected.
    """
    try:
        with _running(state, port_options) as settings, httpx.Client(timeout=30, trust_env=False) as client:
            session = _sign_in(client, settings)
            outcomes = [
                _walk(client, settings["API_URL"], "a signed-in user", session),
                _walk(client, settings["API_URL"], "an API key", settings["DEMO_API_KEY"]),
            ]
    except httpx.HTTPError as error:
        raise StackError(f"The demo was cut short: {type(error).__name__}: {error}") from error
    return 0 if all(outcomes) else 1


@contextmanager
def _running(state: Path, port_options: Sequence[str]) -> Iterator[dict[str, str]]:
    settings = settings_file.read(state / "stack.env")
    if _is_up(settings):
        print(f"Using the stack that runs at {settings['API_URL']}.")
        yield settings
        return
    print("Starting the local stack, the service and a worker …", flush=True)
    command = [sys.executable, "-m", "devstack", "up", "--state", str(state), *port_options]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in process.stdout:
            if line.strip().startswith(RUNNING):
                break
        else:
            raise StackError("The stack did not start; its reason stands above.")
        yield settings_file.read(state / "stack.env")
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


def _is_up(settings: dict[str, str]) -> bool:
    try:
        return httpx.get(f"{settings['API_URL']}/healthz", timeout=2, trust_env=False).status_code == 200
    except (KeyError, httpx.HTTPError):
        return False


def _sign_in(client: httpx.Client, settings: dict[str, str]) -> str:
    answer = client.post(
        f"{settings['SUPABASE_URL']}/auth/v1/token",
        params={"grant_type": "password"},
        headers={"apikey": settings["SUPABASE_PUBLISHABLE_KEY"]},
        json={"email": settings["DEMO_EMAIL"], "password": settings["DEMO_PASSWORD"]},
    )
    _say(answer, f"signed in as {settings['DEMO_EMAIL']}")
    return str(_expect(answer, 200)["access_token"])


def _walk(client: httpx.Client, api: str, caller: str, credential: str) -> bool:
    """Reserve, upload, wait, compare. Whether what was probed is what was made."""
    seconds = Decimal(random.randint(5_000, 20_000)) / 1000  # noqa: S311 - a length, not a secret
    data = _tone(seconds)
    print(f"\nAs {caller}: a tone of {seconds} s, {len(data)} bytes.")
    authorization = {"Authorization": f"Bearer {credential}"}

    body = {"type": "audio", "content_type": "audio/wav", "size_bytes": len(data), "filename": "tone.wav"}
    answer = client.post(f"{api}/api/v1/assets/upload-url", headers=authorization, json=body)
    reservation = _expect(answer, 201)
    asset, upload = reservation["asset"], reservation["upload"]
    _say(answer, f"{asset['state']} {asset['id']}, upload until {upload['expires_at']}")

    headers = {**upload["headers"], "Content-Length": str(len(data))}
    answer = client.put(upload["url"], headers=headers, content=_with_progress(data))
    _expect(answer, 200)
    _say(answer, "the bytes are in Storage")

    answer = client.post(f"{api}/api/v1/assets/{asset['id']}/confirm", headers=authorization)
    _say(answer, f"state {_expect(answer, 200)['state']}")

    deadline = time.monotonic() + READY_SECONDS
    while True:
        answer = client.get(f"{api}/api/v1/assets/{asset['id']}", headers=authorization)
        asset = _expect(answer, 200)
        if asset["state"] not in ("pending_upload", "processing") or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    _say(answer, f"state {asset['state']}")
    print(json.dumps({**asset, "download_url": _short(asset["download_url"])}, indent=2))

    probed = Decimal(asset["duration_seconds"] or 0)
    same = asset["state"] == "ready" and probed == seconds and asset["size_bytes"] == len(data)
    came_back = bool(asset["download_url"]) and client.get(asset["download_url"]).content == data
    print(f"Made {seconds} s, probed {probed} s: {'the same' if same else 'NOT the same'}.", end=" ")
    print(f"Downloaded {'the same bytes' if came_back else 'OTHER bytes, or none'}.")
    return same and came_back


def _tone(seconds: Decimal) -> bytes:
    count = int(seconds * RATE)
    samples = array.array("h", (int(9000 * math.sin(2 * math.pi * 440 * n / RATE)) for n in range(count)))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
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
            print(f"  PUT … {percent:3} % of {len(data)} bytes", end=end, flush=True)
    if end == "\r":
        print()


def _expect(answer: httpx.Response, status: int) -> Any:
    if answer.status_code != status:
        raise StackError(f"{_line(answer)}, not {status}: {answer.text}")
    return answer.json()


def _say(answer: httpx.Response, what: str) -> None:
    print(f"  {_line(answer)}  {what}")


def _line(answer: httpx.Response) -> str:
    return f"{answer.request.method} {answer.request.url.path} → {answer.status_code}"


def _short(url: str | None) -> str | None:
    return f"{url[:100]}…" if url else None
