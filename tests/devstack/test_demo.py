"""`make run` with the real service and worker, the command it prints, and `make demo`."""

import http.server
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from devstack import settings_file
from devstack.__main__ import main
from devstack.binaries import PROJECT
from devstack.ports import Ports
from tests.devstack.conftest import Up
from tests.devstack.test_supervisor import children, gone, wait_up


def demo(state: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devstack", "demo", "--state", str(state), *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def test_the_printed_command_reserves_and_the_demo_shows_the_main_job_on_what_runs_and_by_itself(
    up: Up, state: Path, port_options: list[str]
) -> None:
    service_port = f"--service-port={Ports.free().gateway}"
    process = up(service_port)
    said = wait_up(process)

    tried = subprocess.run(said.splitlines()[-1], shell=True, capture_output=True, text=True, check=True)  # noqa: S602
    on_it = demo(state)
    process.send_signal(signal.SIGTERM)
    ended = process.wait(60)
    by_itself = demo(state, service_port, *port_options)

    assert json.loads(tried.stdout)["asset"]["state"] == "pending_upload"
    assert ended == 0
    for shown, begins in ((on_it, "Using the running stack at"), (by_itself, "Starting the local stack")):
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert shown.stdout.startswith(begins)
        assert shown.stdout.count("s: equal. The downloaded bytes are equal.") == 2
    assert gone(children(state))


def test_a_demo_that_loses_its_server_ends_with_one_line(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    state.mkdir()
    settings = {
        "SUPABASE_URL": f"http://127.0.0.1:{Ports.free().gateway}",  # where nobody listens
        "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
        "DEMO_EMAIL": "demo@example.com",
        "DEMO_PASSWORD": "secret",
    }
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings_file.write(state / "stack.env", {"API_URL": f"http://127.0.0.1:{server.server_port}", **settings})
        try:
            status = main(["demo", "--state", str(state)])
        finally:
            server.shutdown()

    said = capsys.readouterr().err
    assert (status, said.count("\n")) == (1, 1)
    assert said.startswith("The demo lost its connection to the stack: ConnectError")
