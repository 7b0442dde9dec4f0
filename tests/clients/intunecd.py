"""Runs the real IntuneCD against a simulated Graph.

IntuneCD has the address of Microsoft Graph in its code. Here every request that it or MSAL makes goes
to --base instead; the host that was meant goes along in X-Original-Host. A request to any other host
is refused, so that nothing leaves the machine.

    python intunecd.py --base http://127.0.0.1:PORT --out DIR --tenant T --client C --secret S
"""

import argparse
import os
import sys
from urllib.parse import urlsplit, urlunsplit

import requests.adapters

CLOUD = {
    "graph.microsoft.com",
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
}


def redirect(base):
    """Sends what is meant for the cloud to the simulator."""
    original = requests.adapters.HTTPAdapter.send

    def send(self, request, **options):
        url = urlsplit(request.url)
        if url.hostname not in CLOUD:
            raise RuntimeError(f"a request to {url.hostname} is not allowed here")
        request.headers["X-Original-Host"] = url.hostname
        request.url = urlunsplit((base.scheme, base.netloc, url.path, url.query, ""))
        options["proxies"] = {}
        return original(self, request, **options)

    requests.adapters.HTTPAdapter.send = send


def main():
    parser = argparse.ArgumentParser()
    for name in ("base", "out", "tenant", "client", "secret"):
        parser.add_argument(f"--{name}", required=True)
    given, rest = parser.parse_known_args()
    redirect(urlsplit(given.base))
    os.makedirs(given.out, exist_ok=True)
    os.environ.update(
        TENANT_NAME=given.tenant,
        TENANT_ID=given.tenant,
        CLIENT_ID=given.client,
        CLIENT_SECRET=given.secret,
        REPO_DIR=given.out,
    )
    # Names repeat in real tenants: with the id in each file's name none hides another.
    sys.argv = ["IntuneCD-startbackup", "-m", "1", "-p", given.out, "--append-id", "-v", *rest]
    from IntuneCD.run_backup import start

    start()


if __name__ == "__main__":
    main()
