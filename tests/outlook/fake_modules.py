"""The PowerShell modules Microsoft.Graph.Applications and ExchangeOnlineManagement as far as our script uses them, for
its tests: a directory in memory, and refusals where the real ones refuse: who is not connected, commands, parameters
and values that they do not know, names that are too long, what is not there, what is there already.

The parameters are those of Microsoft's reference (learn.microsoft.com/powershell/module/microsoft.graph.applications
and …/exchangepowershell).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from outlook.powershell import Failed

__all__ = ["TENANT", "Modules"]

GRAPH = "00000003-0000-0000-c000-000000000000"
TENANT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
_APPLICATION = {"SignInAudience", "IsFallbackPublicClient", "PublicClient", "Api", "RequiredResourceAccess"}
_PARAMETERS = {
    "Connect-MgGraph": {"Scopes", "NoWelcome"},
    "Get-MgContext": set[str](),
    "Get-MgServicePrincipal": {"Filter"},
    "New-MgServicePrincipal": {"AppId"},
    "Get-MgApplication": {"Filter"},
    "New-MgApplication": {"DisplayName", *_APPLICATION},
    "Update-MgApplication": {"ApplicationId", *_APPLICATION},
    "Add-MgApplicationPassword": {"ApplicationId", "PasswordCredential"},
    "Get-MgServicePrincipalAppRoleAssignment": {"ServicePrincipalId"},
    "Connect-ExchangeOnline": {"ShowBanner"},
    "Get-ServicePrincipal": set[str](),
    "New-ServicePrincipal": {"AppId", "ObjectId", "DisplayName"},
    "Get-ManagementScope": set[str](),
    "New-ManagementScope": {"Name", "RecipientRestrictionFilter"},
    "Set-ManagementScope": {"Identity", "RecipientRestrictionFilter"},
    "Get-ManagementRoleAssignment": set[str](),
    "New-ManagementRoleAssignment": {"Name", "App", "Role", "CustomResourceScope"},
    "Test-ServicePrincipalAuthorization": {"Identity", "Resource"},
}
_OF_GRAPH = re.compile(r"\w+-Mg")
_ROLES = {"Application Mail.Send", "Application Mail.ReadWrite", "Application SMTP.SendAsApp"}
_AUDIENCES = {"AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount"}
_DELEGATED = ("Mail.Send", "Mail.Send.Shared", "Mail.ReadWrite", "Mail.ReadWrite.Shared", "SMTP.Send")


def _id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


class Modules:
    """A directory of Entra and Exchange's roles; ``log`` is what was changed, ``granted`` the app roles that Entra
    gives to every principal.
    """

    def __init__(self) -> None:
        self.apps: list[dict[str, Any]] = []
        self.principals: list[dict[str, Any]] = []
        self.exchange: list[dict[str, Any]] = []
        self.scopes: list[dict[str, Any]] = []
        self.assignments: list[dict[str, Any]] = []
        self.granted: list[str] = []
        self.log: list[str] = []
        self._connected: set[str] = set()

    @property
    def commands(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        self._connected.clear()  # another run is another window
        return {name: self._command(name) for name in _PARAMETERS}

    def _command(self, name: str) -> Callable[[dict[str, Any]], Any]:
        act = getattr(self, "_" + name.replace("-", "_").lower())

        def command(given: dict[str, Any]) -> Any:
            for each in given:
                if each not in _PARAMETERS[name]:
                    raise Failed(f"{name}: A parameter cannot be found that matches parameter name '{each}'.")
            module = "graph" if _OF_GRAPH.match(name) else "exchange"
            if not name.startswith("Connect-") and module not in self._connected:
                raise Failed(f"{name}: Authentication needed. Connect first.")
            if not name.startswith(("Connect-", "Get-", "Test-")):
                self.log.append(name)
            return act(given)

        return command

    # -- Microsoft Graph -----------------------------------------------------------------------------------------------

    def _connect_mggraph(self, given: dict[str, Any]) -> None:
        assert given == {"Scopes": "Application.ReadWrite.All", "NoWelcome": True}
        self._connected.add("graph")

    def _get_mgcontext(self, given: dict[str, Any]) -> Any:
        return {"TenantId": TENANT}

    def _get_mgserviceprincipal(self, given: dict[str, Any]) -> Any:
        wanted = self._filtered(given["Filter"], "appId")
        if wanted == GRAPH:
            return {
                "AppId": GRAPH,
                "Id": _id("graph"),
                "Oauth2PermissionScopes": [{"Value": name, "Id": _id(name)} for name in _DELEGATED],
                "AppRoles": [{"Value": name, "Id": _id(f"role {name}")} for name in ("Mail.Send", "Mail.ReadWrite")],
            }
        return [one for one in self.principals if one["AppId"] == wanted]

    def _new_mgserviceprincipal(self, given: dict[str, Any]) -> Any:
        if any(one["AppId"] == given["AppId"] for one in self.principals):
            raise Failed("The service principal name is already in use.")
        if all(one["AppId"] != given["AppId"] for one in self.apps):
            raise Failed("The appId does not reference a valid application object.")
        self.principals.append({"AppId": given["AppId"], "Id": _id(f"principal {given['AppId']}")})
        return self.principals[-1]

    def _get_mgapplication(self, given: dict[str, Any]) -> Any:
        wanted = self._filtered(given["Filter"], "displayName")
        return [one for one in self.apps if one["DisplayName"] == wanted]

    def _new_mgapplication(self, given: dict[str, Any]) -> Any:
        number = len(self.apps)
        made = {"Id": _id(f"object {number}"), "AppId": _id(f"app {number}"), "PasswordCredentials": []}
        self.apps.append({**made, **self._checked(given)})
        return self.apps[-1]

    def _update_mgapplication(self, given: dict[str, Any]) -> None:
        app = self._app(given.pop("ApplicationId"))
        app.update(self._checked(given))

    def _add_mgapplicationpassword(self, given: dict[str, Any]) -> Any:
        app, wanted = self._app(given["ApplicationId"]), given["PasswordCredential"]
        assert set(wanted) == {"DisplayName", "EndDateTime"}
        app["PasswordCredentials"].append(wanted)
        return {**wanted, "SecretText": "canary-secret"}

    def _get_mgserviceprincipalapproleassignment(self, given: dict[str, Any]) -> Any:
        assert any(one["Id"] == given["ServicePrincipalId"] for one in self.principals)
        return [{"AppRoleId": _id(f"role {name}")} for name in self.granted]

    def _app(self, name: str) -> dict[str, Any]:
        found = [one for one in self.apps if one["Id"] == name]  # by its object id, not by its appId
        if not found:
            raise Failed(
                f"Resource '{name}' does not exist or one of its queried reference-property objects are not present."
            )
        return found[0]

    @staticmethod
    def _filtered(text: str, key: str) -> str:
        found = re.fullmatch(rf"{key} eq '([^']*)'", text)
        if found is None:
            raise Failed("Invalid filter clause")
        return found[1]

    @staticmethod
    def _checked(wanted: dict[str, Any]) -> dict[str, Any]:
        audience, version = wanted["SignInAudience"], wanted["Api"].get("RequestedAccessTokenVersion")
        if audience not in _AUDIENCES or ("Personal" in audience and version != 2):
            raise Failed("Property api.requestedAccessTokenVersion is invalid.")
        assert isinstance(wanted["IsFallbackPublicClient"], bool)
        assert isinstance(wanted["PublicClient"]["RedirectUris"], list)
        assert isinstance(wanted["RequiredResourceAccess"], list)
        for resource in wanted["RequiredResourceAccess"]:
            for one in resource["ResourceAccess"]:
                uuid.UUID(one["Id"])
                assert one["Type"] == "Scope"
        return wanted

    # -- Exchange ------------------------------------------------------------------------------------------------------

    def _connect_exchangeonline(self, given: dict[str, Any]) -> None:
        assert given == {"ShowBanner": False}
        self._connected.add("exchange")

    def _get_serviceprincipal(self, given: dict[str, Any]) -> Any:
        return list(self.exchange)

    def _new_serviceprincipal(self, given: dict[str, Any]) -> Any:
        if {"AppId": given["AppId"], "Id": given["ObjectId"]} not in self.principals:
            raise Failed("The service principal was not found in Microsoft Entra ID.")
        if any(one["AppId"] == given["AppId"] for one in self.exchange):
            raise Failed("The service principal already exists.")
        self.exchange.append(given)
        return given

    def _get_managementscope(self, given: dict[str, Any]) -> Any:
        return list(self.scopes)

    def _new_managementscope(self, given: dict[str, Any]) -> Any:
        self._new(self.scopes, given)
        return given

    def _set_managementscope(self, given: dict[str, Any]) -> None:
        (one,) = (each for each in self.scopes if each["Name"] == given["Identity"])
        one["RecipientRestrictionFilter"] = given["RecipientRestrictionFilter"]

    def _get_managementroleassignment(self, given: dict[str, Any]) -> Any:
        return list(self.assignments)

    def _new_managementroleassignment(self, given: dict[str, Any]) -> Any:
        if given["Role"] not in _ROLES:
            raise Failed(f"The role {given['Role']} wasn't found.")
        if all(one["AppId"] != given["App"] for one in self.exchange):
            raise Failed(f"The service principal {given['App']} wasn't found.")
        if all(one["Name"] != given["CustomResourceScope"] for one in self.scopes):
            raise Failed(f"The management scope {given['CustomResourceScope']} wasn't found.")
        self._new(self.assignments, given)
        return given

    def _test_serviceprincipalauthorization(self, given: dict[str, Any]) -> Any:
        return [
            f"{one['Role']} {one['CustomResourceScope']}" for one in self.assignments if one["App"] == given["Identity"]
        ]

    @staticmethod
    def _new(there: list[dict[str, Any]], given: dict[str, Any]) -> None:
        if len(given["Name"]) > 64:
            raise Failed("The length of the property is too long. The maximum length is 64.")
        if any(one["Name"] == given["Name"] for one in there):
            raise Failed(f"The name {given['Name']} is already in use.")
        there.append(given)
