%CONSENT%
echo "client_id = $app"
echo "tenant = %TENANT%"
echo "Next, for whoever sends: franking setup ADDRESS --provider outlook --client-id $app --tenant %TENANT%" >&2
