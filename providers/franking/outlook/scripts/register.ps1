# Register an app in Microsoft Entra, with which %PURPOSE%.
# Needs the modules Microsoft.Graph.Applications and %MODULES%
# It may be run as often as you like: what is there already is set right, nothing is made twice.
$ErrorActionPreference = 'Stop'

$name = %NAME%
$permissions = @(%PERMISSIONS%)  # delegated: for the mailbox of whoever signs in, and no other

Connect-MgGraph -Scopes 'Application.ReadWrite.All' -NoWelcome
$graph = Get-MgServicePrincipal -Filter "appId eq '00000003-0000-0000-c000-000000000000'"
$access = @($permissions | ForEach-Object {
    $permission = $_
    $scope = $graph.Oauth2PermissionScopes | Where-Object { $_.Value -eq $permission }
    @{ Id = $scope.Id; Type = 'Scope' }
})
$wanted = @{
    SignInAudience = %AUDIENCE%
    IsFallbackPublicClient = $%PUBLIC%
    PublicClient = @{ RedirectUris = @(%REDIRECT%) }
    Api = @{ RequestedAccessTokenVersion = 2 }
    RequiredResourceAccess = @()
}
if ($access.Count -gt 0) {
    $wanted.RequiredResourceAccess = @(@{ ResourceAppId = $graph.AppId; ResourceAccess = $access })
}

$found = @(Get-MgApplication -Filter "displayName eq '$name'")
if ($found.Count -gt 1) {
    throw "There are several apps called $name. Choose another name, or remove those that nobody uses."
}
if ($found.Count -eq 1) {
    $app = $found[0]
    Update-MgApplication -ApplicationId $app.Id @wanted
} else {
    $app = New-MgApplication -DisplayName $name @wanted
}
$principal = Get-MgServicePrincipal -Filter "appId eq '$($app.AppId)'"
if (-not $principal) {
    $principal = New-MgServicePrincipal -AppId $app.AppId
}
$tenant = (Get-MgContext).TenantId
