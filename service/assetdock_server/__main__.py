"""`python -m assetdock_server`: the same as the command `assetdock-server`."""

from assetdock_server.cli import run

if __name__ == "__main__":
    run()
