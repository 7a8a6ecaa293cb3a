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
from tests.devstack.test_supervisor import all_stopped, children, wait_until_running


def demo(state: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devstack", "demo", "--state", str(state), *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_printed_command_reserves_and_demo_uses_or_starts_a_stack(up: Up, state: Path, port_options: list[str]) -> None:
    service_port = f"--service-port={Ports.free().gateway}"
    process = up(service_port)
    output = wait_until_running(process)

    printed_command = subprocess.run(output.splitlines()[-1], shell=True, capture_output=True, text=True, check=True)  # noqa: S602
    on_running_stack = demo(state)
    process.send_signal(signal.SIGTERM)
    exit_status = process.wait(60)
    on_its_own_stack = demo(state, service_port, *port_options)

    assert json.loads(printed_command.stdout)["asset"]["state"] == "pending_upload"
    assert exit_status == 0
    for result, first_line in (
        (on_running_stack, "Using the running stack at"),
        (on_its_own_stack, "Starting the local stack"),
    ):
        assert result.returncode == 0, result.stdout + result.stderr
        assert result.stdout.startswith(first_line)
        assert result.stdout.count("s: equal. The downloaded bytes are equal.") == 2
    assert all_stopped(children(state))


def test_demo_reports_a_lost_connection_in_one_line(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    state.mkdir()
    settings = {
        "SUPABASE_URL": f"http://127.0.0.1:{Ports.free().gateway}",  # no server listens there
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

    output = capsys.readouterr().err
    assert (status, output.count("\n")) == (1, 1)
    assert output.startswith("The demo lost its connection to the stack: ConnectError")
