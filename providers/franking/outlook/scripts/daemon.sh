
if [ -z "$(az ad app credential list --id "$app" --query "[?displayName=='$name'].keyId" --output tsv)" ]; then
  secret=$(az ad app credential reset --id "$app" --append --display-name "$name" --years 1 \
    --query password --output tsv 2>/dev/null)
  echo "client_secret = $secret"
  echo "That is shown once, and ends in a year. A certificate instead: az ad app credential reset --id $app --cert @FILE" >&2
fi
echo "client_id = $app"
echo "tenant = $tenant"
cat >&2 <<END
The app may send nothing yet. Exchange lets it send from %MAILBOX% alone (PowerShell, module ExchangeOnlineManagement):

  Connect-ExchangeOnline
  New-ServicePrincipal -AppId $app -ObjectId $principal -DisplayName '$name'
  New-ManagementScope -Name '%SCOPE%' -RecipientRestrictionFilter "PrimarySmtpAddress -eq '%MAILBOX%'"
%ASSIGNMENTS%
  Test-ServicePrincipalAuthorization -Identity $app -Resource %MAILBOX%

It takes up to an hour. Give the app no permission in Entra: permissions add up, and one from there counts for every mailbox.
END
