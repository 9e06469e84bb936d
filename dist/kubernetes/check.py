"""Checks that what the manifests say in several places is the same everywhere."""

import pathlib

import yaml

text = pathlib.Path(__file__).with_name("aemp.yaml").read_text(encoding="utf-8")
objects = {item["kind"]: item for item in yaml.safe_load_all(text)}
service, nodes, budget = (objects[kind] for kind in ("Service", "StatefulSet", "PodDisruptionBudget"))
pod = nodes["spec"]["template"]["spec"]
(container,) = pod["containers"]
arguments = container["args"]
settings = dict(zip(arguments[3::2], arguments[4::2]))
drain = int(next(word.split("=")[1] for word in arguments if word.startswith("--drain=")))
labels = nodes["spec"]["template"]["metadata"]["labels"]
ports = {port["name"]: port["containerPort"] for port in container["ports"]}
(named,) = service["spec"]["ports"]

assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"]
assert named["name"], "without a name there are no SRV records"
assert service["spec"]["selector"] == labels == nodes["spec"]["selector"]["matchLabels"]
assert budget["spec"]["selector"]["matchLabels"] == labels
assert nodes["spec"]["serviceName"] == service["metadata"]["name"]
assert settings["seeds"] == f"{service['metadata']['name']}:{named['port']}"
assert settings["binds"].endswith(f":{ports['aemp']}") and named["targetPort"] == "aemp"
assert settings["metrics"].endswith(f":{ports['metrics']}")
assert pod["terminationGracePeriodSeconds"] >= drain + 15, "supervisors and delivery take 5 s each"
mount = {volume["name"]: volume for volume in container["volumeMounts"]}["secret"]["mountPath"]
assert settings["secret"] == f"@{mount}/secret"
for probe, path in (("readinessProbe", "/ready"), ("livenessProbe", "/alive")):
    assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}
print("the manifests agree with themselves")
