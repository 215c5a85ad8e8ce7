"""Microsoft's own Python SDK drives the emulator.

usage: sdk_flow.py DESCRIPTION   (the JSON that the emulator describes itself with)

Every step says "ok: ..." or the program ends with an error.
"""

import json
import os
import ssl
import sys
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

azure = json.loads(sys.argv[1])
os.environ["REQUESTS_CA_BUNDLE"] = azure["ca_file"]
os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = azure["imds"]

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.identity import ClientSecretCredential, ManagedIdentityCredential
from azure.mgmt.compute import ComputeManagementClient

GROUP = azure["group"]
((CLIENT, SECRET),) = azure["clients"].items()


def ok(what):
    print("ok:", what, flush=True)


def control(method, path, body=None, **query):
    """The emulator's own endpoints: faults, books."""
    url = f"{azure['endpoint']}/emulator/{path}?{urllib.parse.urlencode(query)}"
    data = json.dumps(body).encode() if body is not None else b""
    request = urllib.request.Request(url, data=data if method == "POST" else None, method=method)
    context = ssl.create_default_context(cafile=azure["ca_file"])
    with urllib.request.urlopen(request, context=context) as answer:
        return json.load(answer)


def client(credential):
    return ComputeManagementClient(
        credential=credential,
        subscription_id=azure["subscription"],
        base_url=azure["endpoint"],
        credential_scopes=[azure["endpoint"] + "/.default"],
        polling_interval=0.1,
    )


def model(name):
    return {
        "location": azure["location"],
        "tags": {"slurmburst-node": name},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {
                "imageReference": {"publisher": "almalinux", "offer": "almalinux-hpc", "sku": "9-hpc-gen2", "version": "latest"},
                "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
            },
            "osProfile": {
                "computerName": name,
                "adminUsername": "azureuser",
                "linuxConfiguration": {
                    "disablePasswordAuthentication": True,
                    "ssh": {"publicKeys": [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA"}]},
                },
            },
            "networkProfile": {
                "networkApiVersion": "2020-11-01",
                "networkInterfaceConfigurations": [
                    {
                        "name": name + "-nic",
                        "properties": {
                            "primary": True,
                            "deleteOption": "Delete",
                            "ipConfigurations": [{"name": "ip", "properties": {"subnet": {"id": azure["subnet_id"]}}}],
                        },
                    }
                ],
            },
        },
    }


def power(vm):
    codes = [s.code for s in vm.statuses or []]
    return next((c.split("/")[1] for c in codes if c.startswith("PowerState/")), None)


def failure(call, kind=HttpResponseError):
    try:
        call()
    except kind as error:
        return error
    raise SystemExit(f"this should have failed with {kind.__name__}")


secret = ClientSecretCredential(
    azure["tenant"], CLIENT, SECRET, authority=azure["endpoint"], disable_instance_discovery=True
)
compute = client(secret)
vms = compute.virtual_machines

# Sign in, both ways; and a wrong secret.
assert list(vms.list(GROUP)) == []
ok("azure-identity signs in with a client secret")
assert list(client(ManagedIdentityCredential()).virtual_machines.list(GROUP)) == []
ok("azure-identity signs in with a managed identity")
wrong = ClientSecretCredential(
    azure["tenant"], CLIENT, "wrong", authority=azure["endpoint"], disable_instance_discovery=True
)
error = failure(lambda: list(client(wrong).virtual_machines.list(GROUP)), Exception)
assert "AADSTS7000215" in str(error), error
ok("a wrong secret is AADSTS7000215")

# Create, look, stop, deallocate, start.
created = vms.begin_create_or_update(GROUP, "n1", model("n1")).result()
assert created.provisioning_state == "Succeeded" and created.tags == {"slurmburst-node": "n1"}
assert created.network_profile.network_interfaces[0].id.endswith("/n1-nic")
assert power(vms.instance_view(GROUP, "n1")) == "running"
ok("create")
vms.begin_power_off(GROUP, "n1").result()
assert power(vms.instance_view(GROUP, "n1")) == "stopped"
ok("power_off")
vms.begin_deallocate(GROUP, "n1").result()
assert power(vms.get(GROUP, "n1", expand="instanceView").instance_view) == "deallocated"
ok("deallocate")
vms.begin_start(GROUP, "n1").result()
vms.begin_restart(GROUP, "n1").result()
assert power(vms.instance_view(GROUP, "n1")) == "running"
ok("start and restart")
vms.begin_update(GROUP, "n1", {"tags": {"a": "b"}}).result()
assert vms.get(GROUP, "n1").tags == {"a": "b"}
ok("update of tags")
error = failure(
    lambda: vms.begin_create_or_update(GROUP, "n1", model("n1"), etag="*", match_condition=MatchConditions.IfMissing),
    (ResourceExistsError, ResourceModifiedError),
)
assert error.status_code == 412, error
ok("If-None-Match refuses a second create")

# Many, in pages.
names = [f"m{n:03}" for n in range(30)]
with ThreadPoolExecutor(8) as threads:
    pollers = list(threads.map(lambda name: vms.begin_create_or_update(GROUP, name, model(name)), names))
    results = list(threads.map(lambda poller: poller.result(), pollers))
assert all(vm.provisioning_state == "Succeeded" for vm in results)
pages = [list(page) for page in vms.list(GROUP).by_page()]
assert len(pages) > 2 and {vm.name for page in pages for vm in page} == {"n1", *names}
assert all(vm.instance_view is None for page in pages for vm in page)
ok(f"31 VMs on {len(pages)} pages")
states = {vm.name: power(vm.instance_view) for vm in vms.list_all(status_only="true")}
missing = [name for name, state in states.items() if state is None]
assert len(states) == 31 and missing and set(states.values()) == {"running", None}, states
ok(f"list_all(status_only) has {31 - len(missing)} of 31 power states")
error = failure(lambda: list(vms.list(GROUP, expand="instanceView")))
assert error.status_code == 400, error
ok("list(expand=instanceView) is refused")
assert any(sku.name == "Standard_D2s_v5" for sku in compute.resource_skus.list())
used = {usage.name.value: usage.current_value for usage in compute.usage.list(azure["location"])}
assert used["standardDSv5Family"] == 62, used
versions = compute.virtual_machine_images.list(azure["location"], "almalinux", "almalinux-hpc", "9-hpc-gen2")
assert len(versions) == 2
ok("skus, usages, image versions")

# What goes wrong.
throttle = {"act": {"compute_throttle": 1}, "method": "POST", "path": "n1/deallocate", "times": 2}
control("POST", "fault", throttle)
began = time.monotonic()
vms.begin_deallocate(GROUP, "n1").result()
assert time.monotonic() - began >= 2
ok("429 twice, Retry-After kept, then done")
failed = {"act": {"fail_operation": {"code": "AllocationFailed", "message": "no room"}}, "method": "PUT", "path": "virtualMachines/bad", "times": 1}
control("POST", "fault", failed)
error = failure(lambda: vms.begin_create_or_update(GROUP, "bad", model("bad")).result())
assert error.error.code == "AllocationFailed", error
view = vms.get(GROUP, "bad", expand="instanceView")
assert view.provisioning_state == "Failed"
assert view.instance_view.statuses[0].code == "ProvisioningState/failed/AllocationFailed"
ok("AllocationFailed ends the operation and leaves a failed VM")
control("POST", "exhaust", size="Standard_F2s_v2")
small = model("f1")
small["properties"]["hardwareProfile"]["vmSize"] = "Standard_F2s_v2"
error = failure(lambda: vms.begin_create_or_update(GROUP, "f1", small).result())
assert error.error.code == "AllocationFailed", error
ok("a size without capacity fails likewise")
creating = vms.begin_create_or_update(GROUP, "late", model("late"))
vms.begin_delete(GROUP, "late").result()
error = failure(creating.result)
assert error.error.code == "OperationPreempted", error
ok("a delete preempts a create: OperationPreempted")
control("POST", "fault", {"act": "reset", "method": "GET", "path": "virtualMachines/n1", "times": 1})
assert vms.get(GROUP, "n1").name == "n1"
assert control("GET", "books")["faults"] == 4
ok("a reset connection is tried again")

# Everything goes.
everything = [vm.name for vm in vms.list(GROUP)]
with ThreadPoolExecutor(8) as threads:
    pollers = list(threads.map(lambda name: vms.begin_delete(GROUP, name), everything))
    list(threads.map(lambda poller: poller.result(), pollers))
failure(lambda: vms.get(GROUP, "n1"), ResourceNotFoundError)
assert list(vms.list(GROUP)) == []
vms.begin_delete(GROUP, "n1").result()
books = control("GET", "books")
assert books["vms"] == 0 and books["disks"] == 0, books
assert books["duplicates"] == [] and books["rewrites"] == {}, books
ok(f"delete; {books['nics']} NICs of failed creates are still reserved")
print("calls:", json.dumps(books["calls"], sort_keys=True))
