%CONSENT%
"client_id = $($app.AppId)"
"tenant = %TENANT%"
Write-Host "Next, for whoever sends: franking setup ADDRESS --provider outlook --client-id $($app.AppId) --tenant %TENANT%"
