"""Lets the real msgraph-beta-sdk list, page and batch against a simulated Graph.

    python sdk_check.py --base http://127.0.0.1:PORT

Prints one line of JSON per figure: {"figure", "target", "measured", "holds"}.
"""

import argparse
import asyncio
import json
import sys
import urllib.parse
import urllib.request

from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.method import Method
from kiota_abstractions.request_information import RequestInformation
from msgraph_beta import GraphRequestAdapter, GraphServiceClient
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError
from msgraph_core.requests.batch_request_builder import BatchRequestBuilder
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.requests.batch_request_item import BatchRequestItem
from msgraph_core.tasks.page_iterator import PageIterator


class Token(AccessTokenProvider):
    """A token of the simulated login host."""

    def __init__(self, text):
        self.text = text
        self.hosts = AllowedHostsValidator([])

    async def get_authorization_token(self, uri, additional_authentication_context=None):
        return self.text

    def get_allowed_hosts_validator(self):
        return self.hosts


def call(method, url, body=None):
    request = urllib.request.Request(url, data=body, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def figure(name, target, measured, holds):
    print(json.dumps({"figure": name, "target": target, "measured": measured, "holds": holds}))


async def check(base):
    tenant = call("GET", f"{base}/__sim/tenants")["tenants"][0]
    grant = json.dumps({"permission_set": "write"}).encode()
    call("PUT", f"{base}/__sim/tenants/{tenant['id']}", grant)
    form = urllib.parse.urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": tenant["client_id"],
            "client_secret": tenant["client_secret"],
            "scope": "https://graph.microsoft.com/.default",
        }
    ).encode()
    token = call("POST", f"{base}/{tenant['id']}/oauth2/v2.0/token", form)["access_token"]
    adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Token(token)))
    adapter.base_url = f"{base}/beta"
    client = GraphServiceClient(request_adapter=adapter)
    management = client.device_management
    state = call("GET", f"{base}/__sim/state?tenant={tenant['id']}")
    held = {one["id"] for one in state["/deviceManagement/configurationPolicies"]}

    first = await management.configuration_policies.get()
    seen = []

    def keep(policy):
        seen.append(policy.id)
        return True

    iterator = PageIterator(first, adapter)
    await iterator.iterate(keep)
    good = sorted(seen) == sorted(held)
    figure("msgraph-beta-sdk pages through configurationPolicies", str(len(held)), str(len(seen)), good)

    some = seen[:20]
    batch = BatchRequestContent()
    for one in some:
        request = RequestInformation()
        request.http_method = Method.GET
        # The SDK makes addresses relative only where they are those of the real host.
        request.url = f"/deviceManagement/configurationPolicies/{one}"
        batch.add_request(one, BatchRequestItem(request, one))
    answers = await BatchRequestBuilder(adapter).post(batch)
    codes = answers.get_response_status_codes()
    good = len(codes) == len(some) and {int(code) for code in codes.values()} == {200}
    figure("msgraph-beta-sdk batches 20 items", f"{len(some)} × 200", f"{len(codes)} answers", good)

    configuration = await management.device_configurations.get()
    kinds = {type(one).__name__ for one in configuration.value}
    derived = len(kinds) > 1 or "DeviceConfiguration" not in kinds
    figure("msgraph-beta-sdk reads derived types", "more than the base", f"{len(kinds)} types", derived)

    builder = management.configuration_policies.by_device_management_configuration_policy_id(seen[0])
    settings = await builder.settings.get(RequestConfiguration())
    figure("msgraph-beta-sdk reads settings", "a list", f"{len(settings.value or [])}", settings.value is not None)

    try:
        await management.device_configurations.by_device_configuration_id("no-such-id").get()
        measured = "no error"
    except ODataError as error:
        measured = f"{error.response_status_code} {error.error.code}"
    figure("msgraph-beta-sdk reads an error", "404 ResourceNotFound", measured, measured == "404 ResourceNotFound")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    asyncio.run(check(parser.parse_args().base))
    return 0


if __name__ == "__main__":
    sys.exit(main())
