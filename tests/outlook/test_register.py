"""Registering an app: the values to type, the look at it without anybody signing in, and the scripts: that they say
what they should, that a shell can read them, and that running one again changes nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.errors import SettingsError
from franking.outlook import facts
from franking.outlook.register import errands, look, script
from franking.registry import provider
from franking.sending.explain import explain
from outlook import powershell
from outlook.fake_modules import TENANT, Modules
from servers.microsoft import CLIENT, Microsoft
from servers.web import Reply

OTHER = "99999999-2222-3333-4444-555555555555"


@pytest.fixture
def microsoft(tmp_path: Path) -> Iterator[Microsoft]:
    with Microsoft(tmp_path) as made:
        yield made


def account(sender: str = "jan@contoso.com", **settings: Any) -> franking.Account:
    return franking.Account(name="new", provider="outlook", sender=sender, **settings)


def there(microsoft: Microsoft, **more: Any) -> franking.Account:
    return account(**microsoft.settings(**more))


# --- what is typed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "audience", "permissions"),
    [
        ({}, "personal Microsoft accounts", "Mail.Send"),
        ({"tenant": "contoso.com"}, "this organizational directory only", "Mail.Send"),
        ({"route": "smtp"}, "personal Microsoft accounts", "Mail.Send, SMTP.Send"),
        ({"large_attachments": True}, "personal Microsoft accounts", "Mail.ReadWrite, Mail.Send"),
        ({"mailbox": "info@contoso.com"}, "personal Microsoft accounts", "Mail.Send, Mail.Send.Shared"),
    ],
)
def test_the_values_follow_from_the_account(settings: dict[str, Any], audience: str, permissions: str) -> None:
    values = dict(value for errand in errands(account(**settings)) for value in errand.values)
    assert audience in values["Supported account types"]
    assert values["Permissions"] == permissions
    assert values["Redirect URI"].endswith("http://localhost")
    assert values["Allow public client flows"] == "Yes"


def test_a_program_by_itself_gets_no_permission_in_entra() -> None:
    daemon = account("reports@contoso.com", app_only=True, tenant="contoso.com")
    values = dict(value for errand in errands(daemon) for value in errand.values)
    assert values["Roles"] == "Application Mail.Send"
    assert "Permissions" not in values
    assert "Redirect URI" not in values


# --- the look at it ---------------------------------------------------------------------------------------------------


def seen(account: franking.Account) -> dict[str, bool | None]:
    return {one.what: one.ok for one in look(account)}


def test_a_right_registration_is_known_without_a_sign_in(microsoft: Microsoft) -> None:
    found = seen(there(microsoft))
    assert found == {"application": True, "permissions": True, "public client flows": True, "redirect URI": True}
    assert microsoft.tokens == {}, "nobody signed in"


def wrong_client(microsoft: Microsoft) -> franking.Account:
    return there(microsoft, client_id=OTHER)


def no_public_client(microsoft: Microsoft) -> franking.Account:
    microsoft.public_client_flows = False
    return there(microsoft)


def no_redirect(microsoft: Microsoft) -> franking.Account:
    microsoft.redirect_uris = {"https://localhost/callback"}
    return there(microsoft)


def unknown_permission(microsoft: Microsoft) -> franking.Account:
    microsoft.unknown_scopes = {"Mail.Send"}
    return there(microsoft)


@pytest.mark.parametrize(
    ("make", "what", "code"),
    [
        (wrong_client, "application", "microsoft.client-unknown"),
        (no_public_client, "public client flows", "microsoft.public-client-off"),
        (no_redirect, "redirect URI", "microsoft.redirect-missing"),
        (unknown_permission, "application", "microsoft.invalid-scope"),
    ],
)
def test_what_is_wrong_is_named(microsoft: Microsoft, make: Any, what: str, code: str) -> None:
    asked = make(microsoft)
    (one,) = [each for each in look(asked) if each.ok is False]
    assert one.what == what
    assert one.error is not None
    assert explain(one.error, asked, provider("outlook")).code == code


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Sign in</html>"),
        Reply(302, headers={"Location": "https://login.live.example/oauth20_authorize.srf"}),
        Reply(302, headers={"Location": "http://localhost/?error=login_required&state=of-somebody-else"}),
    ],
)
def test_what_tells_nothing_of_the_redirect_uri_is_not_taken_for_an_answer(microsoft: Microsoft, reply: Reply) -> None:
    microsoft.answers.append(("authorize", reply))
    assert seen(there(microsoft))["redirect URI"] is None


def test_an_app_that_leaves_personal_accounts_out(microsoft: Microsoft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(facts.CLOUDS, "global", replace(facts.CLOUDS["global"], login=microsoft.url))  # type: ignore[arg-type]
    microsoft.personal_accounts = False
    private = account("jan@outlook.cz", client_id=CLIENT, ca_file=microsoft.ca.ca_file, timeout=10)
    (one,) = look(private)
    assert one.error is not None
    assert explain(one.error, private, provider("outlook")).code == "microsoft.account-type"
    work = account("jan@contoso.com", client_id=CLIENT, ca_file=microsoft.ca.ca_file, timeout=10)
    assert seen(work)["application"], "for work it is right"


def test_where_there_is_nothing_to_look_by(microsoft: Microsoft) -> None:
    (one,) = look(account("reports@contoso.com", app_only=True, tenant="contoso.com"))
    assert one.ok is None
    base = microsoft.authority
    without = {"token_endpoint": f"{base}/token", "authorization_endpoint": f"{base}/authorize", "issuer": base}
    microsoft.answers.append(("openid-configuration", Reply(200, without)))
    (one,) = look(there(microsoft))
    assert one.ok is None


# --- scripts ----------------------------------------------------------------------------------------------------------

ACCOUNTS = {
    "people": account(),
    "a company": account(tenant="contoso.com", route="smtp"),
    "large": account(tenant="contoso.com", large_attachments=True),
    "daemon": account("reports@contoso.com", app_only=True, tenant="contoso.com"),
    "daemon by smtp": account("reports@contoso.com", app_only=True, tenant="contoso.com", route="smtp"),
}
every_account = pytest.mark.parametrize("case", list(ACCOUNTS))


@every_account
@pytest.mark.parametrize("kind", ["az", "powershell"])
def test_no_place_is_left_open_and_no_policy_is_used(case: str, kind: str) -> None:
    text = script(ACCOUNTS[case], kind)
    assert not [word for word in text.split() if word.strip("'\"").strip("%").isupper() and word.count("%") == 2]
    assert "%" not in text.replace("printf '%s'", "").replace("| % ", "")
    assert "ApplicationAccessPolicy" not in text
    assert ("New-ManagementRoleAssignment" in text) == case.startswith("daemon")
    if case.startswith("daemon"):
        assert ("SMTP.SendAsApp" in text) == case.endswith("smtp")


@every_account
def test_powershell_can_read_it(case: str) -> None:
    text = script(ACCOUNTS[case], "powershell")
    assert not powershell.parsed(text).has_error
    assert powershell.parsed(text.replace("}", "", 1)).has_error, "this can fail"


@every_account
def test_the_script_for_powershell_run_twice_registers_once(case: str) -> None:
    text, modules = script(ACCOUNTS[case], "powershell"), Modules()
    first = powershell.run(text, modules.commands)
    made = list(modules.log)
    second = powershell.run(text, modules.commands)
    again = modules.log[len(made) :]
    assert not [command for command in again if command.startswith(("New-", "Add-"))], "the second time makes nothing"
    (app,) = modules.apps
    (principal,) = modules.principals
    daemon = case.startswith("daemon")
    assert app["SignInAudience"] == ("AzureADandPersonalMicrosoftAccount" if case == "people" else "AzureADMyOrg")
    assert app["IsFallbackPublicClient"] is not daemon
    assert app["PublicClient"]["RedirectUris"] == ([] if daemon else ["http://localhost"])
    allowed = [one for resource in app["RequiredResourceAccess"] for one in resource["ResourceAccess"]]
    assert len(allowed) == {"people": 1, "a company": 2, "large": 2}.get(case, 0)
    assert f"client_id = {app['AppId']}" in first and f"tenant = {'common' if case == 'people' else TENANT}" in second
    consents = [line for line in first if "/adminconsent?" in line]
    assert len(consents) == (case == "large"), "only what people may not allow themselves"
    secret = "client_secret = canary-secret"
    assert (first.count(secret), second.count(secret)) == (int(daemon), 0)
    assert principal["AppId"] == app["AppId"]
    if not daemon:
        assert modules.exchange == [], "Exchange is not even asked"
        return
    (scope,) = modules.scopes
    assert scope["RecipientRestrictionFilter"] == "PrimarySmtpAddress -eq 'reports@contoso.com'"
    (assignment,) = modules.assignments
    right = "SMTP.SendAsApp" if case.endswith("smtp") else "Mail.Send"
    assert (assignment["Role"], assignment["App"]) == (f"Application {right}", app["AppId"])
    assert assignment["CustomResourceScope"] == scope["Name"]


def test_the_script_for_powershell_sets_right_what_somebody_changed() -> None:
    text, modules = script(ACCOUNTS["a company"], "powershell"), Modules()
    powershell.run(text, modules.commands)
    right = dict(modules.apps[0])
    modules.apps[0] |= {"SignInAudience": "AzureADMultipleOrgs", "PublicClient": {"RedirectUris": []}}
    powershell.run(text, modules.commands)
    assert modules.apps == [right]


def test_the_script_for_powershell_warns_of_what_entra_grants() -> None:
    text, modules = script(ACCOUNTS["daemon"], "powershell"), Modules()
    assert not [line for line in powershell.run(text, modules.commands) if line.startswith("WARNING")]
    modules.granted = ["Mail.Send"]
    (warning,) = [line for line in powershell.run(text, modules.commands) if line.startswith("WARNING")]
    assert "for every mailbox" in warning


def test_the_script_for_powershell_leaves_what_it_cannot_tell_apart() -> None:
    text, modules = script(account(), "powershell"), Modules()
    modules.apps = [{"Id": name, "AppId": name, "DisplayName": "Franking"} for name in ("one", "two")]
    with pytest.raises(powershell.Failed, match="several apps"):
        powershell.run(text, modules.commands)
    assert modules.log == []


def test_names_that_exchange_would_find_too_long_are_cut() -> None:
    long, name = "accounting.department@a-subsidiary-of.contoso.com", "N" * 60
    modules = Modules()
    for mailbox in (long, f"x{long}"):
        daemon = account(mailbox, app_only=True, tenant="contoso.com", large_attachments=True)
        text = script(daemon, "powershell", name=name)
        powershell.run(text, modules.commands)
        powershell.run(text, modules.commands)
    assert len(modules.scopes) == 2, "each mailbox has its own"
    assert len(modules.assignments) == 4


@pytest.mark.parametrize("name", ["a'b", "$(x)", "", "x" * 61, 'a"b', "ä"])
def test_a_name_that_could_act_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="name"):
        script(account(), "az", name=name)


def test_an_address_that_could_act_is_refused() -> None:
    with pytest.raises(SettingsError, match="from"):
        script(account("o'neill@contoso.com", app_only=True, tenant="contoso.com"), "powershell")


def run_az(text: str, directory: Path, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    tools = directory / "bin"
    tools.mkdir(exist_ok=True)
    az = tools / "az"
    fake = Path(__file__).with_name("fake_az.py")
    az.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{fake}" "$@"\n')
    az.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "FAKE_AZ": str(directory / "directory.json")}
    bash = shutil.which("bash")
    assert bash
    subprocess.run([bash, "-n"], input=text, text=True, check=True)
    return subprocess.run([bash], input=text, text=True, check=check, capture_output=True, env=environment)


@pytest.mark.process
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("case", ["a company", "large", "daemon"])
def test_the_script_for_az_run_twice_registers_once(case: str, tmp_path: Path) -> None:
    text = script(ACCOUNTS[case], "az")
    first = run_az(text, tmp_path)
    before = json.loads((tmp_path / "directory.json").read_text())
    second = run_az(text, tmp_path)
    after = json.loads((tmp_path / "directory.json").read_text())
    assert {**before, "log": None} == {**after, "log": None}, "the second time changes nothing"
    (app,) = after["apps"].values()
    daemon = case == "daemon"
    assert app["signInAudience"] == "AzureADMyOrg"
    assert app["isFallbackPublicClient"] is not daemon
    assert app["publicClient"]["redirectUris"] == ([] if daemon else ["http://localhost"])
    allowed = [one for resource in app["requiredResourceAccess"] for one in resource["resourceAccess"]]
    assert len(allowed) == {"a company": 2, "large": 2, "daemon": 0}[case]
    assert app.get("consented", False) is (case == "large"), "only what people may not allow themselves"
    assert f"client_id = {app['appId']}" in first.stdout
    assert "tenant = aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee" in second.stdout
    assert (first.stdout.count("canary-secret"), second.stdout.count("canary-secret")) == (int(daemon), 0)


@pytest.mark.process
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_leaves_what_it_cannot_tell_apart(tmp_path: Path) -> None:
    apps = {name: {"appId": name, "displayName": "Franking", "credentials": []} for name in ("one", "two")}
    (tmp_path / "directory.json").write_text(json.dumps({"apps": apps, "principals": {}, "log": []}))
    ended = run_az(script(account(), "az"), tmp_path, check=False)
    assert ended.returncode == 1
    assert "several apps" in ended.stderr
    assert json.loads((tmp_path / "directory.json").read_text())["apps"] == apps
