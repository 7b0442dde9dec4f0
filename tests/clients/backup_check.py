"""Lets the real IntuneCD back a simulated tenant up, and compares its files with what the tenant holds.

    python backup_check.py --base http://127.0.0.1:PORT --out DIR

Prints one line of JSON per figure: {"figure", "target", "measured", "holds"}. Leaves beside DIR what the
reader of such folders is tried on: json.zip, yaml.zip, state.json, expected.json.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request

# What IntuneCD backs up as a matter of course, by the address of the set.
KNOWN = [
    "/deviceAppManagement/androidManagedAppProtections",
    "/deviceAppManagement/iosManagedAppProtections",
    "/deviceAppManagement/mdmWindowsInformationProtectionPolicies",
    "/deviceAppManagement/mobileAppConfigurations",
    "/deviceAppManagement/mobileApps",
    "/deviceAppManagement/targetedManagedAppConfigurations",
    "/deviceAppManagement/vppTokens",
    "/deviceAppManagement/windowsInformationProtectionPolicies",
    "/deviceAppManagement/windowsManagedAppProtections",
    "/deviceManagement/applePushNotificationCertificate",
    "/deviceManagement/assignmentFilters",
    "/deviceManagement/compliancePolicies",
    "/deviceManagement/complianceManagementPartners",
    "/deviceManagement/configurationPolicies",
    "/deviceManagement/deviceCategories",
    "/deviceManagement/deviceCompliancePolicies",
    "/deviceManagement/deviceComplianceScripts",
    "/deviceManagement/deviceConfigurations",
    "/deviceManagement/deviceCustomAttributeShellScripts",
    "/deviceManagement/deviceEnrollmentConfigurations",
    "/deviceManagement/deviceHealthScripts",
    "/deviceManagement/deviceManagementPartners",
    "/deviceManagement/deviceManagementScripts",
    "/deviceManagement/deviceShellScripts",
    "/deviceManagement/groupPolicyConfigurations",
    "/deviceManagement/intents",
    "/deviceManagement/notificationMessageTemplates",
    "/deviceManagement/remoteAssistancePartners",
    "/deviceManagement/reusablePolicySettings",
    "/deviceManagement/roleDefinitions",
    "/deviceManagement/roleScopeTags",
    "/deviceManagement/windowsAutopilotDeploymentProfiles",
    "/deviceManagement/windowsDriverUpdateProfiles",
    "/deviceManagement/windowsFeatureUpdateProfiles",
    "/deviceManagement/windowsQualityUpdateProfiles",
    "/identity/conditionalAccess/policies",
]
SCRIPTS = ["scriptContent", "detectionScriptContent", "remediationScriptContent"]
NO_TEMPLATE = "00000000-0000-0000-0000-000000000000"


class Control:
    """The control surface of the simulator."""

    def __init__(self, base):
        self.base = base

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/__sim{path}", data=data, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


def is_base64(text):
    try:
        base64.b64decode(text, validate=False).decode("utf-8")
        return True
    except (ValueError, UnicodeDecodeError):
        return False


def mend(control, tenant, state):
    """Templates and samples hold what no service does: scripts that are no base64, references to
    nothing. IntuneCD gives a whole type up over one of them. Gives how many objects were changed."""
    ids = {path: {one.get("id") for one in objects} for path, objects in state.items()}
    mended = 0

    def change(path, one, patch):
        nonlocal mended
        body = {"tenant": tenant, "path": path, "action": "change", "id": one["id"], "patch": patch}
        control.call("POST", "/objects", body)
        mended += 1

    for path, objects in state.items():
        for one in objects:
            patch = {}
            for name in SCRIPTS:
                if one.get(name) and not is_base64(one[name]):
                    patch[name] = base64.b64encode(one[name].encode()).decode()
            for name in ("selectedMobileAppIds", "targetedMobileApps"):
                apps = ids["/deviceAppManagement/mobileApps"]
                if any(app not in apps for app in one.get(name) or [] if isinstance(app, str)):
                    patch[name] = []
            if one.get("payloadJson"):
                try:
                    json.loads(base64.b64decode(one["payloadJson"]))
                except ValueError:
                    patch["payloadJson"] = base64.b64encode(b"{}").decode()
            script = one.get("deviceCompliancePolicyScript") or {}
            scripts = ids.get("/deviceManagement/deviceComplianceScripts", set())
            if script and script.get("deviceComplianceScriptId") not in scripts:
                patch["deviceCompliancePolicyScript"] = None
            rules = one.get("scheduledActionsForRule") or []
            templates = ids.get("/deviceManagement/notificationMessageTemplates", set())
            dangling = False
            for action in (a for rule in rules for a in rule.get("scheduledActionConfigurations", [])):
                if action.get("notificationTemplateId") not in templates | {NO_TEMPLATE}:
                    action["notificationTemplateId"] = NO_TEMPLATE
                    dangling = True
            if dangling:
                patch["scheduledActionsForRule"] = rules
            if patch:
                change(path, one, patch)
    return mended


def is_backed_up(path, one):
    """Whether IntuneCD means to back the object up."""
    if path.endswith("/mobileApps"):
        availability = one.get("appAvailability")
        return availability in (None, "lineOfBusiness") or one.get("isAssigned") is True
    if path.endswith("/roleDefinitions"):
        return one.get("isBuiltIn") is False
    if path.endswith("/deviceHealthScripts"):
        return "Microsoft" not in one.get("publisher", "")
    if path.endswith("/complianceManagementPartners"):
        return one.get("partnerState") != "unknown"
    if path.endswith("/deviceManagementPartners"):
        return one.get("isConfigured") is not False
    if path.endswith("/remoteAssistancePartners"):
        return one.get("onboardingStatus") != "notOnboarded"
    return True


def figure(name, target, measured, holds):
    print(json.dumps({"figure": name, "target": target, "measured": measured, "holds": holds}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--out", required=True)
    given = parser.parse_args()
    control = Control(given.base)
    tenant = control.call("GET", "/tenants")["tenants"][0]
    control.call("PUT", f"/tenants/{tenant['id']}", {"permission_set": "write"})
    mended = mend(control, tenant["id"], control.call("GET", f"/state?tenant={tenant['id']}"))
    state = control.call("GET", f"/state?tenant={tenant['id']}")
    # Two files have no id in their names: the push certificate's and the settings'.
    expected = {
        one.get("appleIdentifier") or one["id"]: path
        for path, objects in state.items()
        if path in KNOWN or path.endswith("/enrollmentProfiles")
        for one in objects
        if is_backed_up(path, one)
    }
    if state.get("/deviceManagement/settings"):
        expected["settings.json"] = "/deviceManagement/settings"
    launcher = os.path.join(os.path.dirname(os.path.abspath(__file__)), "intunecd.py")
    command = [sys.executable, launcher, "--base", given.base, "--out", given.out]
    command += ["--tenant", tenant["domain"], "--client", tenant["client_id"]]
    command += ["--secret", tenant["client_secret"]]
    counted = control.call("GET", "/counters")
    before = time.monotonic()
    with open(os.path.join(given.out, "..", "intunecd.log"), "w", encoding="utf-8") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    seconds = time.monotonic() - before
    with open(os.path.join(given.out, "..", "intunecd.log"), encoding="utf-8") as log:
        failures = [line.strip() for line in log if line.startswith("[ERROR]") or "Error " in line[:60]]
    names = [name for _, _, files in os.walk(given.out) for name in files]
    text = "\n".join(names)
    missing = sorted((path, own) for own, path in expected.items() if own not in text)
    for path, own in missing[:20]:
        print(f"missing: {path} {own}", file=sys.stderr)
    for line in failures[:20]:
        print(f"IntuneCD: {line[:300]}", file=sys.stderr)
    now = control.call("GET", "/counters")
    counted, http = now["graph"] - counted["graph"], now["graph_http"] - counted["graph_http"]
    figure("IntuneCD 2.6.0 full backup ends", "exit 0", f"exit {code}", code == 0)
    figure("types that IntuneCD gave up", "0", str(len(failures)), not failures)
    found = len(expected) - len(missing)
    figure("objects in IntuneCD's files", f"{len(expected)}", f"{found}", bool(expected) and not missing)
    figure("objects mended before (samples that no service holds)", "any", str(mended), True)
    beside = os.path.join(given.out, "..")
    for name, content in (("state", state), ("expected", sorted(expected))):
        with open(os.path.join(beside, f"{name}.json"), "w", encoding="utf-8") as file:
            json.dump(content, file)
    shutil.make_archive(os.path.join(beside, "json"), "zip", given.out)
    yaml = os.path.join(beside, "backup-yaml")
    command[command.index("--out") + 1] = yaml
    with open(os.path.join(beside, "intunecd-yaml.log"), "w", encoding="utf-8") as log:
        code = subprocess.run(
            [*command, "-o", "yaml"], stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    figure("IntuneCD 2.6.0 full backup as YAML ends", "exit 0", f"exit {code}", code == 0)
    shutil.make_archive(os.path.join(beside, "yaml"), "zip", yaml)
    figure("IntuneCD's requests", "any", f"{counted} in {http} calls, {seconds:.1f} s", True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
