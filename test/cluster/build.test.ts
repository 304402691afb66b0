import { describe, expect, it } from "vitest";

import { buildSnapshot } from "../../src/cluster/build.ts";
import { endpointName, knowsNodes } from "../../src/cluster/snapshot.ts";
import { formatPrefix, parsePrefix } from "../../src/net/address.ts";
import { formatAddress } from "../../src/net/address.ts";
import { address, load, texts, type Loaded } from "./load.ts";

function pod(name: string, rest = "", metadata = ""): string {
  return `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, ${metadata}}, ${rest}}`;
}

function documents(...texts: string[]): string {
  return texts.join("\n---\n");
}

const shown = ({ snapshot }: Loaded): string[] =>
  snapshot.endpoints.map(
    (one) =>
      `${one.kind} ${endpointName(one)} of ${one.workload.kind} ${one.workload.name}: ${texts(one.addresses).join(" ")}`,
  );

describe("buildSnapshot, pods", () => {
  it("reads what policies and routes need", () => {
    const { snapshot, said } = load(`
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  nodeName: n1
  serviceAccountName: runner
  containers:
  - ports: [{containerPort: 80, name: http}, {containerPort: 53, protocol: UDP, name: dns}, {containerPort: 9}]
  initContainers:
  - ports: [{containerPort: 81, name: setup}]
  - {restartPolicy: Always, ports: [{containerPort: 82, name: proxy}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}], hostIP: 192.0.2.1}
`);
    expect(said).toEqual([]);
    const [endpoint] = snapshot.endpoints;
    expect(endpoint).toMatchObject({
      namespace: "shop",
      name: "web",
      kind: "Pod",
      workload: { kind: "Pod", name: "web" },
      serviceAccount: "runner",
      node: "n1",
      ports: [
        { name: "http", protocol: "TCP", port: 80 },
        { name: "dns", protocol: "UDP", port: 53 },
        { name: "setup", protocol: "TCP", port: 81, init: "ends" },
        { name: "proxy", protocol: "TCP", port: 82, init: "sidecar" },
      ],
      place: { file: "a.yaml", line: 2, column: 1 },
    });
    expect(texts(endpoint!.addresses)).toEqual(["10.0.0.1", "fd00::1"]);
  });

  it("tells pods that policies do not bind, and why", () => {
    const context = (text: string): string =>
      `spec: {containers: [{name: a, securityContext: {${text}}}]}`;
    const { snapshot, said } = load(
      documents(
        pod("net", "spec: {hostNetwork: true, hostPID: true}, status: {podIP: 192.0.2.1}"),
        pod("stripped", "status: {podIP: 192.0.2.1, hostIP: 192.0.2.1}"),
        pod("root", context("privileged: true")),
        pod("caps", context("capabilities: {add: [CAP_NET_ADMIN, net_raw, SYS_TIME]}")),
        pod("done", `${context("privileged: true")}, status: {phase: Succeeded}`),
        pod("plain", context("capabilities: {drop: [ALL]}")),
      ),
    );
    expect(snapshot.blindSpots.map(({ name, powers }) => [name, powers.join()])).toEqual([
      ["caps", "NET_ADMIN,NET_RAW"],
      ["net", "hostNetwork,hostPID"],
      ["root", "privileged"],
      ["stripped", "hostNetwork"],
    ]);
    expect(said).toEqual([]);
  });

  it("reads the ports of the node that pods ask for", () => {
    const { snapshot, said } = load(
      documents(
        pod(
          "door",
          "spec: {containers: [{ports: [{containerPort: 80, hostPort: 8080}, {containerPort: 81, hostPort: 0}]}]}",
        ),
        pod(
          "init",
          "spec: {initContainers: [{ports: [{containerPort: 1, hostPort: 1}]}, {restartPolicy: Always, ports: [{containerPort: 53, hostPort: 53, hostIP: 192.0.2.1, protocol: UDP}]}]}",
        ),
        pod(
          "host",
          "spec: {hostNetwork: true, containers: [{ports: [{containerPort: 80, hostPort: 80}]}]}",
        ),
        pod("bad", "spec: {containers: [{ports: [{containerPort: 80, hostPort: 80000}]}]}"),
        "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d}, spec: {template: {spec: {containers: [{ports: [{containerPort: 1, hostPort: 2}]}]}}}}",
      ),
    );
    const ports = snapshot.endpoints.map(({ name, hostPorts = [] }) => [
      name,
      ...hostPorts.map(
        ({ protocol, port, target, address, sidecar }) =>
          `${protocol} ${address === undefined ? "" : formatAddress(address)}:${port} ${target}${sidecar === true ? " sidecar" : ""}`,
      ),
    ]);
    expect(ports).toEqual([
      ["bad"],
      ["d", "TCP :2 1"],
      ["door", "TCP :8080 80"],
      ["init", "UDP 192.0.2.1:53 53 sidecar"],
    ]);
    expect(said).toEqual([
      "a.yaml:7:113: error: spec.containers[0].ports[0].hostPort: 80000 is no port: 1 to 65535 [BAD_PORT]",
    ]);
  });

  it("reports what is no address of a pod or a node", () => {
    const { snapshot, said } = load(
      documents(
        pod("text", 'status: {podIPs: ["10.0.0.1"]}'),
        pod("misspelt", "status: {podIP: 10.0.0.2, podIPs: [{IP: 10.0.0.2}]}"),
        pod(
          "ports",
          "spec: {containers: [{ports: [http, {port: 80}]}]}, status: {podIP: 10.0.0.3}",
        ),
        "{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [192.0.2.1, {type: InternalIP}]}}",
      ),
    );
    expect(snapshot.nodeByName.get("n")?.addresses).toEqual([]);
    expect(said).toEqual([
      'a.yaml:7:72: error: status.addresses[0]: must be a map, not "192.0.2.1" [BAD_VALUE]',
      "a.yaml:7:83: error: status.addresses[1].address: is required [MISSING_FIELD]",
      "a.yaml:3:94: error: status.podIPs[0].ip: is required [MISSING_FIELD]",
      'a.yaml:5:85: error: spec.containers[0].ports[0]: must be a map, not "http" [BAD_VALUE]',
      "a.yaml:5:91: error: spec.containers[0].ports[1].containerPort: is required [MISSING_FIELD]",
      'a.yaml:1:73: error: status.podIPs[0]: must be a map, not "10.0.0.1" [BAD_VALUE]',
    ]);
  });

  it("leaves finished pods out and puts host-network pods aside", () => {
    const loaded = load(
      documents(
        pod("done", "status: {phase: Succeeded, podIP: 10.0.0.1}"),
        pod("failed", "status: {phase: Failed, podIP: 10.0.0.1}"),
        pod("proxy", "spec: {hostNetwork: true, nodeName: n1}, status: {podIP: 192.0.2.1}"),
        pod("stripped", "status: {podIP: 192.0.2.1, hostIP: 192.0.2.1}"),
        pod("pending", "status: {phase: Pending}"),
        pod("bare"),
      ),
    );
    expect(shown(loaded)).toEqual([
      "Pod default/bare of Pod bare: ",
      "Pod default/pending of Pod pending: ",
    ]);
    expect(loaded.snapshot.hostNetworkPods.map(({ name, node }) => [name, node])).toEqual([
      ["proxy", "n1"],
      ["stripped", undefined],
    ]);
    expect(loaded.said).toEqual([]);
  });

  it("lets a terminating pod keep its address until another has it", () => {
    const going = "deletionTimestamp: '2026-01-01T00:00:00Z'";
    expect(shown(load(pod("old", "status: {podIP: 10.0.0.1}", going)))).toEqual([
      "Pod default/old of Pod old: 10.0.0.1",
    ]);
    const unplugged = `${going}, annotations: {cni.projectcalico.org/podIP: ''}`;
    expect(shown(load(pod("old", "status: {podIP: 10.0.0.1}", unplugged)))).toEqual([]);
    const both = documents(
      pod("old", "status: {podIP: 10.0.0.1}", going),
      pod("new", "status: {podIP: 10.0.0.1}"),
    );
    expect(load(both).said).toEqual([]);
    expect(shown(load(both))).toEqual([
      "Pod default/new of Pod new: 10.0.0.1",
      "Pod default/old of Pod old: ",
    ]);
  });

  it.each([
    [
      "containers: [{ports: [{containerPort: []}]}]",
      "spec.containers[0].ports[0].containerPort: must be a whole number, not a list [BAD_VALUE]",
    ],
    [
      "containers: [{ports: [{containerPort: 0}]}]",
      "spec.containers[0].ports[0].containerPort: 0 is no port: 1 to 65535 [BAD_PORT]",
    ],
    [
      "containers: [{ports: [{containerPort: 1, protocol: tcp}]}]",
      'spec.containers[0].ports[0].protocol: "tcp" is no protocol: TCP, UDP or SCTP (did you mean "TCP"?) [BAD_VALUE]',
    ],
    ["containers: {}", "spec.containers: must be a list, not a map [BAD_VALUE]"],
    ["hostNetwork: maybe", 'spec.hostNetwork: must be true or false, not "maybe" [BAD_VALUE]'],
  ])("says what is wrong with spec {%s}", (spec, sentence) => {
    const { said } = load(pod("a", `spec: {${spec}}`));
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^a\.yaml:1:\d+: error: /);
    expect(said[0]).toContain(sentence);
  });

  it("refuses an address that is none", () => {
    expect(load(pod("a", "status: {podIP: 10.0.0.256}")).said[0]).toContain(
      'status.podIP: "10.0.0.256" is no IPv4 or IPv6 address [BAD_ADDRESS]',
    );
  });
});

describe("buildSnapshot, workloads", () => {
  const template = "template: {metadata: {labels: {app: x}}, spec: {serviceAccountName: sa}}";
  const workload = (kind: string, name: string, spec = template, metadata = ""): string => {
    const api = kind === "Job" || kind === "CronJob" ? "batch/v1" : "apps/v1";
    return `{apiVersion: ${api}, kind: ${kind}, metadata: {name: ${name}, ${metadata}}, spec: {${spec}}}`;
  };
  const ownedBy = (kind: string, name: string): string =>
    `ownerReferences: [{kind: ${kind}, name: ${name}, controller: true}]`;

  it.each(["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"])(
    "stands a %s without pods for the pods it would make",
    (kind) => {
      const { snapshot, said } = load(workload(kind, "x"));
      expect(said).toEqual([]);
      expect(snapshot.endpoints).toHaveLength(1);
      expect(snapshot.endpoints[0]).toMatchObject({
        kind,
        workload: { kind, name: "x" },
        serviceAccount: "sa",
        addresses: [],
      });
      expect(snapshot.endpoints[0]!.labels.get("app")).toBe("x");
    },
  );

  it("finds the template of a CronJob two levels down", () => {
    const { snapshot } = load(workload("CronJob", "x", `jobTemplate: {spec: {${template}}}`));
    expect([...snapshot.endpoints[0]!.labels]).toEqual([["app", "x"]]);
  });

  it.each([
    [
      "Pod of Deployment by ReplicaSet",
      [
        workload("Deployment", "web"),
        workload("ReplicaSet", "web-5d4", template, ownedBy("Deployment", "web")),
        pod("web-5d4-abc", "", ownedBy("ReplicaSet", "web-5d4")),
      ],
      ["Pod default/web-5d4-abc of Deployment web: "],
    ],
    [
      "absent ReplicaSet, proved by the hash label",
      [
        workload("Deployment", "web"),
        pod("p", "", `${ownedBy("ReplicaSet", "web-5d4")}, labels: {pod-template-hash: 5d4}`),
      ],
      ["Pod default/p of Deployment web: "],
    ],
    [
      "absent ReplicaSet, not proved",
      [pod("p", "", ownedBy("ReplicaSet", "web-5d4"))],
      ["Pod default/p of ReplicaSet web-5d4: "],
    ],
    [
      "Pod of CronJob by Job",
      [
        workload("CronJob", "c"),
        workload("Job", "c-1", template, ownedBy("CronJob", "c")),
        pod("p", "", ownedBy("Job", "c-1")),
      ],
      ["Pod default/p of CronJob c: "],
    ],
    [
      "ReplicaSet of a Deployment, no pod",
      [
        workload("Deployment", "web"),
        workload("ReplicaSet", "web-5d4", template, ownedBy("Deployment", "web")),
      ],
      ["Deployment default/web of Deployment web: "],
    ],
    [
      "ReplicaSet of an absent Deployment",
      [workload("ReplicaSet", "web-5d4", template, ownedBy("Deployment", "web"))],
      ["ReplicaSet default/web-5d4 of Deployment web: "],
    ],
    ["old revision", [workload("ReplicaSet", "web-1", `replicas: 0, ${template}`)], []],
    [
      "mirror of a static pod",
      [pod("etcd", "", ownedBy("Node", "n1"))],
      ["Pod default/etcd of Pod etcd: "],
    ],
    [
      "owner of another API",
      [pod("p", "", ownedBy("Rollout", "r"))],
      ["Pod default/p of Rollout r: "],
    ],
    [
      "finished pod of a Job",
      [workload("Job", "j"), pod("p", "status: {phase: Succeeded}", ownedBy("Job", "j"))],
      [],
    ],
    [
      "ReplicaSet that owns itself",
      [workload("ReplicaSet", "r", template, ownedBy("ReplicaSet", "r"))],
      [],
    ],
  ])("groups pods under their top owner: %s", (_, objects, expected) => {
    const loaded = load(documents(...objects));
    expect(loaded.said).toEqual([]);
    expect(shown(loaded)).toEqual(expected);
    expect(shown(load(documents(...objects.toReversed())))).toEqual(expected);
  });

  it("gives the user's addresses to pods, workloads, and the only pod of a workload", () => {
    const text = documents(
      pod("a"),
      workload("Deployment", "web"),
      pod("db-0", "status: {podIP: 10.0.0.9}", ownedBy("StatefulSet", "db")),
    );
    const endpoints = [
      { address: address("10.0.0.1"), name: "default/a" },
      { address: address("10.0.0.2"), name: "default/web" },
      { address: address("10.0.0.3"), name: "default/web" },
      { address: address("fd00::9"), name: "default/db" },
      { address: address("10.0.0.9"), name: "default/db-0" },
    ];
    const loaded = load(text, { endpoints });
    expect(loaded.said).toEqual([]);
    expect(shown(loaded)).toEqual([
      "Pod default/a of Pod a: 10.0.0.1",
      "Pod default/db-0 of StatefulSet db: 10.0.0.9 fd00::9",
      "Deployment default/web of Deployment web: 10.0.0.2 10.0.0.3",
    ]);
    expect(
      load(text, { endpoints: [{ address: address("10.0.0.1"), name: "default/wep" }] }).said,
    ).toEqual([
      'error: --endpoint 10.0.0.1=default/wep: expected exactly one pod or workload of this name (did you mean "default/web"?) [BAD_VALUE]',
    ]);
  });
});

describe("buildSnapshot, namespaces and nodes", () => {
  it("labels every namespace with its name, and knows those that are only mentioned", () => {
    const { snapshot } = load(
      documents(
        "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: x}}}",
        pod("p", "", "namespace: b"),
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: n}, spec: {podSelector: {}}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: hidden}}",
      ),
    );
    const seen = [...snapshot.namespaceByName.values()];
    expect(seen.map(({ name, labels, place }) => [name, [...labels], place?.line])).toEqual([
      [
        "a",
        [
          ["team", "x"],
          ["kubernetes.io/metadata.name", "a"],
        ],
        1,
      ],
      ["b", [["kubernetes.io/metadata.name", "b"]], undefined],
      ["default", [["kubernetes.io/metadata.name", "default"]], undefined],
    ]);
  });

  it("reads a node's addresses, tunnel addresses and pod ranges", () => {
    const { snapshot, said } = load(
      `
apiVersion: v1
kind: Node
metadata:
  name: n1
  labels: {zone: z}
  annotations:
    projectcalico.org/IPv4IPIPTunnelAddr: 10.65.0.1
    projectcalico.org/IPv6VXLANTunnelAddr: "fd00:65::1"
spec: {podCIDR: 10.65.0.0/24, podCIDRs: [10.65.0.0/24, "fd00:65::/64"]}
status:
  addresses: [{type: InternalIP, address: 192.0.2.1}, {type: Hostname, address: n1}, {type: ExternalIP, address: 198.51.100.1}]
`,
      {
        clusterPrefixes: [parsePrefix("10.96.0.0/12")!.prefix, parsePrefix("10.65.0.0/24")!.prefix],
      },
    );
    expect(said).toEqual([]);
    const node = snapshot.nodeByName.get("n1");
    expect(texts(node!.addresses)).toEqual([
      "192.0.2.1",
      "198.51.100.1",
      "10.65.0.1",
      "fd00:65::1",
    ]);
    expect(snapshot.clusterPrefixes.map(formatPrefix)).toEqual([
      "10.96.0.0/12",
      "10.65.0.0/24",
      "fd00:65::/64",
    ]);
  });
});

describe("buildSnapshot, contradictions", () => {
  it("names both holders of an address", () => {
    const text = documents(
      pod("a", "status: {podIP: 10.0.0.1}"),
      pod("b", "status: {podIPs: [{ip: 10.0.0.2}, {ip: 10.0.0.1}]}"),
      "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: 10.0.0.2}}",
    );
    expect(load(text).said).toEqual([
      "a.yaml:3:1: error: Pod default/b has address 10.0.0.1, which Pod default/a at a.yaml:1:1 has too [ADDRESS_CONFLICT]",
      "a.yaml:5:1: error: Service default/s has address 10.0.0.2, which Pod default/b at a.yaml:3:1 has too [ADDRESS_CONFLICT]",
    ]);
  });

  it("lists the kinds that are not read once each, and refuses near misses of known ones", () => {
    const of = (apiVersion: string, kind: string, name: string): string =>
      `{apiVersion: ${apiVersion}, kind: ${kind}, metadata: {name: ${name}}}`;
    const text = documents(
      of("v1", "ConfigMap", "a"),
      of("apps/v1", "Deploymnet", "a"),
      of("v1", "ConfigMap", "b"),
      of("v1", "PodTemplate", "a"),
      of("networking.k8s.io/v1", "NetworkPolcy", "a"),
      of("projectcalico.org/v3", "BGPConfiguration", "default"),
    );
    expect(load(text).said).toEqual([
      'a.yaml:3:29: error: there is no kind Deploymnet in apps/v1 (did you mean "Deployment"?) [UNSUPPORTED_KIND]',
      'a.yaml:9:42: error: there is no kind NetworkPolcy in networking.k8s.io/v1 (did you mean "NetworkPolicy"?) [UNSUPPORTED_KIND]',
      "a.yaml:1:1: warning: 2 objects of kind ConfigMap (v1) not read [FOREIGN_KIND]",
      "a.yaml:7:1: warning: 1 object of kind PodTemplate (v1) not read [FOREIGN_KIND]",
      "a.yaml:11:1: warning: 1 object of kind BGPConfiguration (projectcalico.org/v3) not read [FOREIGN_KIND]",
    ]);
  });

  it("refuses kinds that are read in an API that does not have them", () => {
    const of = (apiVersion: string, kind: string): string =>
      `{apiVersion: ${apiVersion}, kind: ${kind}, metadata: {name: a}}`;
    const text = documents(
      of("v2", "Pod"),
      of("apps/v1", "Service"),
      of("extensions/v1beta1", "Deployment"),
      of("serving.knative.dev/v1", "Service"),
      of("core/v1", "Pod"),
      of("networking.k8s.io/v1", "Service"),
      of("v1", "HostEndpoint"),
      of("whereabouts.cni.cncf.io/v1alpha1", "IPPool"),
    );
    expect(load(text).said).toEqual([
      'a.yaml:1:14: error: there is no kind Pod in v2 (did you mean "v1"?) [UNSUPPORTED_KIND]',
      'a.yaml:3:14: error: there is no kind Service in apps/v1 (did you mean "v1"?) [UNSUPPORTED_KIND]',
      'a.yaml:9:14: error: there is no kind Pod in core/v1 (did you mean "v1"?) [UNSUPPORTED_KIND]',
      'a.yaml:11:14: error: there is no kind Service in networking.k8s.io/v1 (did you mean "v1"?) [UNSUPPORTED_KIND]',
      'a.yaml:13:14: error: there is no kind HostEndpoint in v1 (did you mean "projectcalico.org/v3"?) [UNSUPPORTED_KIND]',
      "a.yaml:7:1: warning: 1 object of kind Service (serving.knative.dev/v1) not read [FOREIGN_KIND]",
      "a.yaml:15:1: warning: 1 object of kind IPPool (whereabouts.cni.cncf.io/v1alpha1) not read [FOREIGN_KIND]",
    ]);
  });

  it("reads network sets, and the labels of service accounts", () => {
    const text = documents(
      "{apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: {name: s, namespace: x, labels: {a: b}}, spec: {nets: [10.0.0.1, 10.1.0.9/16, 'fd00::/8']}}",
      "{apiVersion: crd.projectcalico.org/v1, kind: GlobalNetworkSet, metadata: {name: g}, spec: {nets: []}}",
      "{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: x, labels: {team: a}}}",
    );
    const { snapshot, said } = load(text);
    expect(said).toEqual([]);
    expect(snapshot.networkSets.map(({ namespace, name }) => `${namespace}/${name}`)).toEqual([
      "undefined/g",
      "x/s",
    ]);
    expect(snapshot.networkSets[1]!.prefixes.map(formatPrefix)).toEqual([
      "10.0.0.1/32",
      "10.1.0.0/16",
      "fd00::/8",
    ]);
    expect([...snapshot.serviceAccounts.get("x/web")!]).toEqual([["team", "a"]]);
  });

  it("takes the ranges of IP pools for the cluster's, unless no pod gets an address of them", () => {
    const pool = (name: string, spec: string): string =>
      `{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: ${name}}, spec: ${spec}}`;
    const text = documents(
      pool("a", "{cidr: 10.65.0.0/16, natOutgoing: true}"),
      pool("b", "{cidr: 'fd00:65::/48', allowedUses: [Workload, Tunnel]}"),
      pool("c", "{cidr: 10.99.0.0/16, allowedUses: [LoadBalancer]}"),
    );
    const { snapshot, said } = load(text);
    expect(said).toEqual([]);
    expect(snapshot.clusterPrefixes.map(formatPrefix)).toEqual(["10.65.0.0/16", "fd00:65::/48"]);
  });

  it.each([
    ["IPPool", "v3", "{cird: 10.0.0.0/8}", 'unknown field "cird" (did you mean "cidr"?)'],
    ["IPPool", "v3", "{}", "the pool has no range [MISSING_FIELD]"],
    [
      "IPPool",
      "v3",
      "{cidr: 10.0.0.0/8, allowedUses: [Pods]}",
      '"Pods" is no use: one of Workload',
    ],
    [
      "IPPool",
      "v3",
      "{cidr: 10.0.0.0/8, nodeSelector: a b}",
      "spec.nodeSelector: expected an operator",
    ],
    [
      "IPPool",
      "v3",
      "{cidr: 10.0.0.0/8, ipipMode: Always, vxlanMode: CrossSubnet}",
      "spec.ipipMode: may not stand beside vxlanMode",
    ],
    ["IPPool", "v3", "{cidr: 'fd00::/8', ipipMode: Always}", "spec.ipipMode: may not be of IPv6"],
    [
      "HostEndpoint",
      "v3",
      "{node: n, interfaceName: e, ports: [{port: 1}]}",
      "ports[0].name: is required",
    ],
    [
      "HostEndpoint",
      "v3",
      "{node: n, interfaceName: e, ports: [{name: a, port: 1}]}",
      "ports[0].protocol: is required",
    ],
    ["HostEndpoint", "v3", "{node: n, interfaceName: e, profiles: [.a]}", '".a" is no name'],
    ["IPPool", "v9", "{cidr: 10.0.0.0/8}", "IPPool of projectcalico.org/v9 is not read"],
    ["GlobalNetworkSet", "v9", "{nets: [10.0.0.0/8]}", "GlobalNetworkSet of projectcalico.org/v9"],
    ["Tier", "v9", "{order: 5}", "Tier of projectcalico.org/v9 is a policy that is not judged"],
    ["Profile", "v9", "{}", "Profile of projectcalico.org/v9 is a policy that is not judged"],
  ])("refuses a %s of %s with %s", (kind, version, spec, sentence) => {
    const text = `{apiVersion: projectcalico.org/${version}, kind: ${kind}, metadata: {name: a}, spec: ${spec}}`;
    expect(load(text).said).toContainEqual(expect.stringContaining(sentence));
  });

  it("refuses what a network set cannot hold", () => {
    const text =
      "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: g}, spec: {nets: [10.0.0], allowedEgressDomains: [a.b], net: 1}}";
    expect(load(text).said).toEqual([
      "a.yaml:1:126: error: spec.allowedEgressDomains: domain names are not read: which addresses they stand for is known to no manifest [UNSUPPORTED_FEATURE]",
      'a.yaml:1:133: error: spec.net: unknown field "net" (did you mean "nets"?) [UNKNOWN_FIELD]',
      'a.yaml:1:95: error: spec.nets[0]: "10.0.0" is no prefix or address: ADDRESS/BITS or ADDRESS [BAD_PREFIX]',
    ]);
  });

  it("refuses a network set with Calico's own label", () => {
    const labels = "labels: {projectcalico.org/namespace: x}";
    const text = `{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: g, ${labels}}, spec: {}}`;
    expect(load(text).said).toEqual([
      "a.yaml:1:118: error: metadata.labels[projectcalico.org/namespace]: is Calico's own: it gives this label to what is in a namespace [BAD_VALUE]",
    ]);
  });

  it("is the same whatever the order of the objects", () => {
    const objects = [
      pod("b", "status: {podIP: 10.0.0.2}"),
      pod("a", "status: {podIP: 10.0.0.1}", "namespace: z"),
      pod("c", "status: {podIP: 10.0.0.3}", "namespace: a"),
    ];
    const { objects: parsed } = load(documents(...objects));
    const build = (list: typeof parsed): unknown =>
      buildSnapshot(list, { clusterPrefixes: [], endpoints: [] }, () => undefined);
    expect(build(parsed.toReversed())).toEqual(build(parsed));
    expect(shown(load(documents(...objects)))).toEqual([
      "Pod a/c of Pod c: 10.0.0.3",
      "Pod default/b of Pod b: 10.0.0.2",
      "Pod z/a of Pod a: 10.0.0.1",
    ]);
  });
});

describe("knowsNodes", () => {
  const node = (name: string, status: string): string =>
    `{apiVersion: v1, kind: Node, metadata: {name: ${name}}, status: ${status}}`;
  const podOf = (name: string, spec: string): string =>
    `{apiVersion: v1, kind: Pod, metadata: {name: ${name}}, spec: ${spec}}`;
  const N1 = node("n1", "{addresses: [{type: InternalIP, address: 192.0.2.1}]}");

  it.each<[string, boolean, string[]]>([
    ["no node at all", false, []],
    ["one that has an address", true, [N1]],
    ["one without an address", false, [N1, node("n2", "{}")]],
    ["the node of every pod", true, [N1, podOf("a", "{nodeName: n1}"), podOf("b", "{}")]],
    ["not that of every pod", false, [N1, podOf("a", "{nodeName: n2}")]],
    [
      "not that of a host-network pod",
      false,
      [N1, podOf("a", "{nodeName: n2, hostNetwork: true}")],
    ],
  ])("with %s: %s", (_, known, objects) => {
    expect(knowsNodes(load(documents(...objects)).snapshot)).toBe(known);
  });
});
