#!/usr/bin/env bash
# Register an app in Microsoft Entra, with which %PURPOSE%.
# Needs the Azure CLI, and somebody who may register apps:  az login --allow-no-subscriptions
# It may be run as often as you like: what is there already is set right, nothing is made twice.
set -euo pipefail

name=%NAME%
audience=%AUDIENCE%
graph=00000003-0000-0000-c000-000000000000   # Microsoft Graph has this id in every directory
permissions=(%PERMISSIONS%)                  # delegated: for the mailbox of whoever signs in, and no other

app=$(az ad app list --filter "displayName eq '$name'" --query '[].appId' --output tsv)
if [ "$(printf '%s' "$app" | grep -c .)" -gt 1 ]; then
  echo "There are several apps called $name. Choose another name, or remove those that nobody uses." >&2
  exit 1
fi
if [ -z "$app" ]; then
  app=$(az ad app create --display-name "$name" --query appId --output tsv)
  echo "Registered $name." >&2
fi

access=''
for permission in ${permissions[@]+"${permissions[@]}"}; do
  id=$(az ad sp show --id "$graph" --query "oauth2PermissionScopes[?value=='$permission'].id | [0]" --output tsv)
  access="$access${access:+,}{\"id\": \"$id\", \"type\": \"Scope\"}"
done
body="{\"signInAudience\": \"$audience\", \"isFallbackPublicClient\": %PUBLIC%,
  \"publicClient\": {\"redirectUris\": [%REDIRECT%]}, \"api\": {\"requestedAccessTokenVersion\": 2},
  \"requiredResourceAccess\": [${access:+{\"resourceAppId\": \"$graph\", \"resourceAccess\": [$access]\}}]}"
az rest --method patch --url "https://graph.microsoft.com/v1.0/applications(appId='$app')" \
  --headers Content-Type=application/json --body "$body" --output none

if ! principal=$(az ad sp show --id "$app" --query id --output tsv 2>/dev/null); then
  principal=$(az ad sp create --id "$app" --query id --output tsv)
fi
tenant=$(az account show --query tenantId --output tsv)
