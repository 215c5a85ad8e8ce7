#!/usr/bin/env bash
# The Azure CLI drives the emulator: a machine from its creation to its end, by the commands that administrators use.
#
#   az_flow.sh AZ    (the emulator is in ENDPOINT, SUBSCRIPTION, GROUP, LOCATION, SUBNET, TENANT, CLIENT, SECRET)
#
# Every command is shown with what it said. Stops at the first that fails, or that leaves another state than it should.
set -euo pipefail
readonly AZ=$1 VM=c1
readonly WHERE=(--resource-group "$GROUP" --name "$VM")
export AZURE_CORE_INSTANCE_DISCOVERY=false AZURE_CORE_COLLECT_TELEMETRY=no AZURE_CORE_NO_COLOR=1
export AZURE_CORE_SURVEY_MESSAGE=no PYTHONWARNINGS=ignore

az() { "$AZ" "$@"; }

run() {
  printf '$ az %s\n' "${*//"$SECRET"/...}"
  az "$@"
}

# What the machine is doing has to be this.
now() {
  local power
  power=$(az vm show --show-details "${WHERE[@]}" --query powerState --output tsv)
  printf '  now: %s\n' "$power"
  [ "$power" = "$1" ] || { printf 'it should be: %s\n' "$1"; exit 1; }
}

run cloud register --name emulator --endpoint-resource-manager "$ENDPOINT"
run cloud set --name emulator
run login --service-principal --username "$CLIENT" --password "$SECRET" --tenant "$TENANT" --output table
run account set --subscription "$SUBSCRIPTION"

body=$(mktemp)
trap 'rm -f "$body"' EXIT
create() { # NAME: accepted, and what becomes of it is seen later
  cat >"$body" <<JSON
{"location": "$LOCATION", "tags": {"Name": "$1"}, "properties": {
  "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
  "storageProfile": {
    "imageReference": {"publisher": "almalinux", "offer": "almalinux-hpc", "sku": "9-hpc-gen2", "version": "latest"},
    "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"}},
  "osProfile": {"computerName": "$1", "adminUsername": "azureuser", "linuxConfiguration": {
    "disablePasswordAuthentication": true,
    "ssh": {"publicKeys": [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA"}]}}},
  "networkProfile": {"networkApiVersion": "2020-11-01", "networkInterfaceConfigurations": [{
    "name": "$1-nic", "properties": {"primary": true, "deleteOption": "Delete", "ipConfigurations": [{
      "name": "ip", "properties": {"subnet": {"id": "$SUBNET"}}}]}}]}}}
JSON
  local id=/subscriptions/$SUBSCRIPTION/resourceGroups/$GROUP/providers/Microsoft.Compute/virtualMachines/$1
  run rest --method put --resource "$ENDPOINT" --url "$ENDPOINT$id?api-version=2024-07-01" --body "@$body" \
    --query '{name: name, state: properties.provisioningState}'
}

create "$VM"
run vm wait "${WHERE[@]}" --created
now 'VM running'
# There is no room for this one. Two machines are two pages here.
create c2
if run vm wait --resource-group "$GROUP" --name c2 --created; then
  printf 'it should have failed\n'
  exit 1
fi
run vm get-instance-view --resource-group "$GROUP" --name c2 --query 'instanceView.statuses[].code' --output tsv |
  tee "$body"
grep -q AllocationFailed "$body"
run vm list --resource-group "$GROUP" --query '[].{name: name, state: provisioningState}' --output table
[ "$(az vm list --resource-group "$GROUP" --query 'length(@)')" -eq 2 ]
run vm delete --yes --resource-group "$GROUP" --name c2
run vm show --show-details "${WHERE[@]}" --output table
run vm get-instance-view "${WHERE[@]}" --query 'instanceView.statuses[].code'

run vm stop "${WHERE[@]}"
now 'VM stopped'
# Refused once with 429 and Retry-After, and sent again by the CLI.
run vm deallocate "${WHERE[@]}"
now 'VM deallocated'
run vm start "${WHERE[@]}"
now 'VM running'
run vm restart "${WHERE[@]}"
now 'VM running'
run vm delete --yes "${WHERE[@]}"
left=$(az vm list --resource-group "$GROUP" --query 'length(@)')
printf '  machines left: %s\n' "$left"
[ "$left" -eq 0 ]
