
$mailbox = %MAILBOX%
$scope = %SCOPE%
$filter = "PrimarySmtpAddress -eq '$mailbox'"

if (-not ($app.PasswordCredentials | Where-Object { $_.DisplayName -eq $name -and $_.EndDateTime -gt (Get-Date) })) {
    $password = @{ DisplayName = $name; EndDateTime = (Get-Date).AddYears(1) }
    $secret = Add-MgApplicationPassword -ApplicationId $app.Id -PasswordCredential $password
    "client_secret = $($secret.SecretText)"
    Write-Host 'That is shown once, and ends in a year. A certificate is better: upload it to the app instead.'
}

# Exchange lets the app send from one mailbox alone: RBAC for Applications, which took the place of application
# access policies. https://learn.microsoft.com/exchange/permissions-exo/application-rbac
Connect-ExchangeOnline -ShowBanner:$false
if (-not (Get-ServicePrincipal | Where-Object { $_.AppId -eq $app.AppId })) {
    New-ServicePrincipal -AppId $app.AppId -ObjectId $principal.Id -DisplayName $name | Out-Null
}
if (Get-ManagementScope | Where-Object { $_.Name -eq $scope }) {
    Set-ManagementScope -Identity $scope -RecipientRestrictionFilter $filter
} else {
    New-ManagementScope -Name $scope -RecipientRestrictionFilter $filter | Out-Null
}
foreach ($role in @(%ROLES%)) {
    $assignment = "$role, $scope"
    if (-not (Get-ManagementRoleAssignment | Where-Object { $_.Name -eq $assignment })) {
        New-ManagementRoleAssignment -Name $assignment -App $app.AppId -Role $role -CustomResourceScope $scope | Out-Null
    }
}

# Permissions add up: what Entra grants counts for every mailbox.
$unlimited = @($graph.AppRoles | Where-Object { $_.Value -in 'Mail.Send', 'Mail.ReadWrite' } | ForEach-Object { $_.Id })
$granted = Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal.Id |
    Where-Object { $_.AppRoleId -in $unlimited }
if ($granted) {
    Write-Warning 'Entra grants this app Mail.Send or Mail.ReadWrite for every mailbox. Remove that under API permissions.'
}
Test-ServicePrincipalAuthorization -Identity $app.AppId -Resource $mailbox | Format-Table
"client_id = $($app.AppId)"
"tenant = $tenant"
Write-Host 'It takes up to an hour until the app may send.'
