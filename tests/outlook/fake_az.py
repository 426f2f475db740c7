"""The Azure CLI as far as our script uses it, for its tests: a directory in the file ``$FAKE_AZ``, and refusals where
``az`` refuses: words, options and values that it does not know, what is not there, what is there already. The options
are those of azure-cli 2.45 (command_modules/role/_params.py) and of later ones.
"""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from pathlib import Path
from typing import Any, NoReturn

GRAPH = "00000003-0000-0000-c000-000000000000"
_OPTIONS = {
    "ad app list": {"--filter", "--display-name", "--app-id", "--all", "--show-mine"},
    "ad app create": {"--display-name", "--sign-in-audience", "--is-fallback-public-client"},
    "ad app permission admin-consent": {"--id"},
    "ad app credential list": {"--id", "--cert"},
    "ad app credential reset": {"--id", "--append", "--display-name", "--years", "--end-date", "--cert"},
    "ad sp show": {"--id"},
    "ad sp create": {"--id"},
    "account show": set[str](),
    "rest": {"--method", "--url", "--headers", "--body"},
}
_SWITCHES = {"--append", "--all", "--show-mine"}
_AUDIENCES = {"AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount"}


def fail(words: str) -> NoReturn:
    sys.stderr.write(f"ERROR: {words}\n")
    raise SystemExit(1)


def main(arguments: list[str]) -> None:
    words = [word for word in arguments if not word.startswith("-")]
    command = next((name for name in _OPTIONS if words[: len(name.split())] == name.split()), None)
    if command is None:
        fail(f"'{' '.join(words[:3])}' is misspelled or not recognized by the system.")
    given: dict[str, str] = {}
    rest = arguments[len(command.split()) :]
    while rest:
        option = rest.pop(0)
        if option not in _OPTIONS[command] | {"--query", "--output", "--only-show-errors"}:
            fail(f"unrecognized arguments: {option}")
        given[option] = "" if option in _SWITCHES else rest.pop(0)
    state = Path(os.environ["FAKE_AZ"])
    directory = json.loads(state.read_text()) if state.exists() else {"apps": {}, "principals": {}, "log": []}
    found = globals()["_" + command.replace(" ", "_").replace("-", "_")](directory, given)
    directory["log"].append(command)
    state.write_text(json.dumps(directory))
    if given.get("--output", "none") == "none":
        return
    if given.get("--output") != "tsv":
        fail("the script reads tsv")
    value = _queried(found, given.get("--query", ""))
    lines = value if isinstance(value, list) else [value]
    sys.stdout.write("".join(f"{line}\n" for line in lines if line is not None))


def _queried(found: Any, query: str) -> Any:
    """Evaluate the few forms of JMESPath that the script has."""
    if re.fullmatch(r"\w+", query):
        return found[query]
    if query == "[].appId":
        return [one["appId"] for one in found]
    if one := re.fullmatch(r"\[\?displayName=='([^']*)'\]\.keyId", query):
        return [each["keyId"] for each in found if each["displayName"] == one[1]]
    if one := re.fullmatch(r"oauth2PermissionScopes\[\?value=='([\w.]+)'\]\.id \| \[0\]", query):
        return next((each["id"] for each in found["oauth2PermissionScopes"] if each["value"] == one[1]), None)
    fail(f"argument --query: invalid jmespath_type value: {query!r}")


def _app(directory: Any, name: str) -> Any:
    if name not in directory["apps"]:
        fail(f"Resource '{name}' does not exist or one of its queried reference-property objects are not present.")
    return directory["apps"][name]


def _ad_app_list(directory: Any, given: dict[str, str]) -> Any:
    found = re.fullmatch(r"displayName eq '([^']*)'", given.get("--filter", ""))
    if found is None:
        fail("Invalid filter clause")
    return [app for app in directory["apps"].values() if app["displayName"] == found[1]]


def _ad_app_create(directory: Any, given: dict[str, str]) -> Any:
    name = str(uuid.uuid4())
    directory["apps"][name] = {"appId": name, "displayName": given["--display-name"], "credentials": []}
    return directory["apps"][name]


def _ad_app_permission_admin_consent(directory: Any, given: dict[str, str]) -> Any:
    _app(directory, given["--id"])["consented"] = True
    return {}


def _ad_app_credential_list(directory: Any, given: dict[str, str]) -> Any:
    return _app(directory, given["--id"])["credentials"]


def _ad_app_credential_reset(directory: Any, given: dict[str, str]) -> Any:
    app = _app(directory, given["--id"])
    if "--append" not in given:
        app["credentials"].clear()
    app["credentials"].append({"keyId": str(uuid.uuid4()), "displayName": given["--display-name"]})
    return {"appId": app["appId"], "password": "canary-secret", "tenant": "t"}


def _ad_sp_show(directory: Any, given: dict[str, str]) -> Any:
    if given["--id"] == GRAPH:
        names = ("Mail.Send", "Mail.Send.Shared", "Mail.ReadWrite", "Mail.ReadWrite.Shared", "SMTP.Send")
        return {
            "oauth2PermissionScopes": [
                {"value": name, "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, name))} for name in names
            ]
        }
    if given["--id"] not in directory["principals"]:
        fail(f"Resource '{given['--id']}' does not exist")
    return directory["principals"][given["--id"]]


def _ad_sp_create(directory: Any, given: dict[str, str]) -> Any:
    _app(directory, given["--id"])
    if given["--id"] in directory["principals"]:
        fail("The service principal cannot be created because the service principal name is already in use.")
    directory["principals"][given["--id"]] = made = {"id": str(uuid.uuid4()), "appId": given["--id"]}
    return made


def _account_show(directory: Any, given: dict[str, str]) -> Any:
    return {"tenantId": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"}


def _rest(directory: Any, given: dict[str, str]) -> Any:
    found = re.fullmatch(r"https://graph\.microsoft\.com/v1\.0/applications\(appId='([\w-]+)'\)", given["--url"])
    if found is None or given["--method"].lower() != "patch":
        fail("Not Found")
    if given["--headers"] != "Content-Type=application/json":
        fail("Unsupported Media Type")
    app, changes = _app(directory, found[1]), json.loads(given["--body"])
    known = {"signInAudience", "isFallbackPublicClient", "publicClient", "api", "requiredResourceAccess"}
    if set(changes) - known or changes["signInAudience"] not in _AUDIENCES:
        fail("Bad Request(One or more properties are invalid.)")
    if "Personal" in changes["signInAudience"] and changes["api"].get("requestedAccessTokenVersion") != 2:
        fail("Bad Request(Property api.requestedAccessTokenVersion is invalid.)")
    for resource in changes["requiredResourceAccess"]:
        for one in resource["resourceAccess"]:
            uuid.UUID(one["id"])
    app |= changes
    return {}


if __name__ == "__main__":
    main(sys.argv[1:])
