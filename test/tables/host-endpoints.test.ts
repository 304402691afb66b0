/** Host endpoints of a node: what becomes of its packets, by which policy, and which tables say so. */
import { describe, expect, it } from "vitest";

import { formatAddress } from "../../src/net/address.ts";
import { explainReason } from "../../src/report/reason.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import type { TableName } from "../../src/tables/model.ts";
import { load } from "../cluster/load.ts";
import { buildFrame, buildPcap, buildPcapng, timed, UDP, type PacketSpec } from "../frames.ts";
import { compileManifests, judgeCapture } from "../judge.ts";

const CLUSTER = `
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.168.7.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 192.168.7.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {nodeName: n1}, status: {podIP: 10.65.0.5}}
---
{apiVersion: v1, kind: Pod, metadata: {name: far, namespace: shop}, spec: {nodeName: n2}, status: {podIP: 10.65.1.5}}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: far, namespace: shop, labels: {kubernetes.io/service-name: far}}
addressType: IPv4
endpoints: [{addresses: [10.65.1.5]}]
ports: [{port: 8080, name: "", protocol: TCP}]
`;

const host = (spec: string): string => `
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: n1-host, labels: {role: node}}
spec: {node: n1, ${spec}}
`;
const NAMED = host("interfaceName: ens3, expectedIPs: [192.168.7.1]");
const EVERYWHERE = host('interfaceName: "*"');

const global = (name: string, spec: string): string => `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: ${name}}
spec: {selector: role == 'node', ${spec}}
`;

const INTO = { source: "8.8.8.8", destination: "192.168.7.1" };
const OUT = { source: "192.168.7.1", destination: "8.8.8.8" };
const THROUGH = { source: "8.8.8.8", destination: "10.65.0.5" };
const AWAY = { source: "10.65.0.5", destination: "8.8.8.8" };

function compiled(documents: readonly string[]): ReturnType<typeof compileManifests> {
  return compileManifests([{ file: "a.yaml", text: [CLUSTER, ...documents].join("---") }], "n1");
}

async function judge(
  documents: readonly string[],
  packets: readonly Partial<PacketSpec>[],
): Promise<{ verdict: string; why: string }[]> {
  const frames = packets.map((packet, index) =>
    buildFrame({
      ...INTO,
      protocol: 6,
      sourcePort: 40_000 + index,
      destinationPort: 80,
      ...packet,
    }),
  );
  const capture = buildPcap(timed(frames));
  const verdicts = await judgeCapture({ compiled: compiled(documents), capture });
  return verdicts.map((one) => ({ verdict: one.verdict, why: explainReason(one) }));
}

function rulesOf(documents: readonly string[], table: TableName, chain: string): string[] {
  const [ruleset] = compiled(documents).rulesets;
  const found = ruleset.tables
    .find(({ name }) => name === table)
    ?.chains.find(({ name }) => name === chain);
  if (found === undefined) throw new Error(`no chain ${chain} in ${table}`);
  return found.rules.map((rule) =>
    renderRule(chain, rule, 4)
      .replace(`-A ${chain} `, "")
      .replace(/-m comment --comment "[^"]*" /, ""),
  );
}

describe("host endpoints", () => {
  it.each<[string, string[], Partial<PacketSpec>, string, RegExp]>([
    [
      "drop what nothing allows",
      [NAMED],
      INTO,
      "drop",
      /^nothing allows ingress of host endpoint n1-host.*a\.yaml/,
    ],
    ["drop what the node sends, too", [NAMED], OUT, "drop", /^nothing allows egress/],
    [
      "leave failsafe ports open",
      [NAMED],
      { ...INTO, destinationPort: 22 },
      "allow",
      /^a failsafe port/,
    ],
    [
      "leave failsafe ports of the node's own connections open",
      [NAMED],
      { ...OUT, protocol: UDP, destinationPort: 53 },
      "allow",
      /^a failsafe port/,
    ],
    [
      "let through what they forward",
      [NAMED],
      THROUGH,
      "allow",
      /^no policy isolates it for ingress/,
    ],
    [
      "say nothing of what a node sends to its pods",
      [NAMED],
      { source: "192.168.7.1", destination: "10.65.0.5" },
      "allow",
      /^traffic between a node and its own pods/,
    ],
    [
      "say nothing of what a pod sends to its node",
      [NAMED],
      { source: "10.65.0.5", destination: "192.168.7.1" },
      "allow",
      /^no policy isolates it for egress/,
    ],
    [
      "let through what a policy allows",
      [
        NAMED,
        global("web", "ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]"),
      ],
      INTO,
      "allow",
      /^web ingress\[0\] allows it$/,
    ],
    [
      "drop what no rule of the policies matches",
      [
        NAMED,
        global("web", "ingress: [{action: Allow, protocol: TCP, destination: {ports: [443]}}]"),
      ],
      INTO,
      "drop",
      /^no ingress rule of the policies selecting host endpoint n1-host matches$/,
    ],
    [
      "do not apply a policy to what is forwarded unless it says so",
      [NAMED, global("none", "types: [Ingress, Egress]")],
      THROUGH,
      "allow",
      /^no policy isolates it/,
    ],
    [
      "apply it where it does, to what comes",
      [NAMED, global("none", "types: [Ingress], applyOnForward: true")],
      THROUGH,
      "drop",
      /^no ingress rule of the policies selecting host endpoint n1-host matches$/,
    ],
    [
      "apply it to what goes",
      [
        NAMED,
        global(
          "none",
          "types: [Egress], applyOnForward: true, egress: [{action: Deny, protocol: TCP}]",
        ),
      ],
      AWAY,
      "drop",
      /^none egress\[0\] denies it$/,
    ],
    [
      "judge what the node sends to a Service by the backend",
      [
        NAMED,
        global(
          "far",
          "egress: [{action: Allow, protocol: TCP, destination: {nets: [10.65.1.5/32], ports: [8080]}}]",
        ),
      ],
      { source: "192.168.7.1", destination: "10.96.0.10" },
      "allow",
      /^far egress\[0\] allows it$/,
    ],
    [
      "judge what comes to a Service before translation by the Service's address",
      [
        NAMED,
        global(
          "pre",
          "applyOnForward: true, preDNAT: true, ingress: [{action: Deny, protocol: TCP, destination: {nets: [10.96.0.10/32], ports: [80]}}]",
        ),
      ],
      { source: "8.8.8.8", destination: "10.96.0.10" },
      "drop",
      /^pre ingress\[0\] denies it$/,
    ],
    [
      "accept at INPUT what a policy before translation allows",
      [
        NAMED,
        global(
          "pre",
          "applyOnForward: true, preDNAT: true, ingress: [{action: Allow, protocol: TCP}]",
        ),
      ],
      INTO,
      "allow",
      /^pre ingress\[0\] allows it$/,
    ],
    [
      "accept at INPUT what is allowed without being tracked",
      [
        NAMED,
        global(
          "raw",
          "applyOnForward: true, doNotTrack: true, ingress: [{action: Allow, protocol: TCP}]",
        ),
      ],
      INTO,
      "allow",
      /^raw ingress\[0\] allows it$/,
    ],
    [
      "go on where no policy that does not track matches",
      [
        NAMED,
        global(
          "raw",
          "applyOnForward: true, doNotTrack: true, ingress: [{action: Deny, protocol: UDP}]",
        ),
      ],
      INTO,
      "drop",
      /^nothing allows ingress/,
    ],
    [
      "bind every interface, the pods' for what is forwarded",
      [
        EVERYWHERE,
        global(
          "none",
          "types: [Ingress], applyOnForward: true, ingress: [{action: Deny, protocol: TCP}]",
        ),
      ],
      AWAY,
      "drop",
      /^none ingress\[0\] denies it$/,
    ],
    [
      "bind the loopback interface where they bind every one",
      [EVERYWHERE],
      { source: "127.0.0.1", destination: "127.0.0.1" },
      "drop",
      /^nothing allows egress/,
    ],
    [
      "leave the loopback interface alone where they bind another",
      [NAMED],
      { source: "127.0.0.1", destination: "127.0.0.1" },
      "allow",
      /^no rule stops it$/,
    ],
    [
      "let everything through by the profile that allows everything",
      [host('interfaceName: "*", profiles: [projectcalico-default-allow]')],
      INTO,
      "allow",
      /^profile projectcalico-default-allow lets everything through$/,
    ],
    [
      "ask a profile's rules",
      [
        host("interfaceName: ens3, expectedIPs: [192.168.7.1], profiles: [own]"),
        `\n{apiVersion: projectcalico.org/v3, kind: Profile, metadata: {name: own}, spec: {ingress: [{action: Allow, protocol: TCP}]}}\n`,
      ],
      INTO,
      "allow",
      /^profile own ingress\[0\] allows it \(a\.yaml/,
    ],
    [
      "deny by a profile that is not there",
      [host("interfaceName: ens3, expectedIPs: [192.168.7.1], profiles: [gone]")],
      INTO,
      "drop",
      /^there is no profile gone/,
    ],
    [
      "are found by their addresses",
      [host("expectedIPs: [192.168.7.1]")],
      INTO,
      "drop",
      /^nothing allows ingress/,
    ],
    [
      "drop a pod's packet with another's address",
      [NAMED],
      { source: "10.65.0.5", destination: "192.168.7.2" },
      "allow",
      /^no policy isolates it/,
    ],
  ])("%s", async (_, documents, packet, verdict, why) => {
    const [judged] = await judge(documents, [packet]);
    expect(judged?.verdict).toBe(verdict);
    expect(judged?.why).toMatch(why);
  });

  it("never ask again about a connection that they let through", async () => {
    const policy = global(
      "web",
      "ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]",
    );
    const judged = await judge(
      [NAMED, policy],
      [
        { ...INTO, sourcePort: 5000, seq: 1 },
        { ...OUT, sourcePort: 80, destinationPort: 5000, flags: "S.", seq: 9, ack: 2 },
        { ...INTO, sourcePort: 5000, flags: ".", seq: 2, ack: 10 },
      ],
    );
    expect(judged.map(({ verdict }) => verdict)).toEqual(["allow", "allow", "allow"]);
  });

  it("ask about each direction of what is not tracked", async () => {
    const raw = (spec: string): string =>
      global("raw", `applyOnForward: true, doNotTrack: true, ${spec}`);
    const packets = [
      { ...INTO, sourcePort: 5000, seq: 1 },
      { ...OUT, sourcePort: 80, destinationPort: 5000, flags: "S.", seq: 9, ack: 2 },
    ];
    const ingress = "ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]";
    const egress = "egress: [{action: Allow, protocol: TCP, source: {ports: [80]}}]";
    const one = await judge([NAMED, raw(ingress)], packets);
    expect(one.map(({ verdict }) => verdict)).toEqual(["allow", "drop"]);
    const both = await judge([NAMED, raw(`${ingress}, ${egress}`)], packets);
    expect(both.map(({ verdict }) => verdict)).toEqual(["allow", "allow"]);
  });

  it("take failsafe ports, and what pods may send to their node, from FelixConfiguration", async () => {
    const felix = `
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec:
  failsafeInboundHostPorts: [{protocol: tcp, port: 8022, net: 8.8.0.0/16}]
  defaultEndpointToHostAction: Drop
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: node.n1}
spec: {failsafeOutboundHostPorts: []}
`;
    const judged = await judge(
      [NAMED, felix],
      [
        { ...INTO, destinationPort: 22 },
        { ...INTO, destinationPort: 8022 },
        { ...INTO, source: "9.9.9.9", destinationPort: 8022 },
        { ...OUT, protocol: UDP, destinationPort: 53 },
        { source: "10.65.0.5", destination: "192.168.7.1" },
      ],
    );
    expect(judged.map(({ verdict }) => verdict)).toEqual(["drop", "allow", "drop", "drop", "drop"]);
    expect(judged[1]?.why).toMatch(/^a failsafe port.*\(a\.yaml:\d+:\d+\)$/);
    expect(judged[4]?.why).toMatch(/^Felix's DefaultEndpointToHostAction.*drop$/);
  });

  it("let wrapped packets of nodes pass, and drop those of others", async () => {
    const pool = (mode: string): string => `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pool}
spec: {cidr: 10.65.0.0/16, ${mode}: CrossSubnet}
`;
    const second = `
{apiVersion: v1, kind: Node, metadata: {name: n3, annotations: {projectcalico.org/IPv4Address: 192.168.7.3/24, projectcalico.org/IPv4VXLANTunnelAddr: 10.65.3.0}}}
`;
    const wrapped = (protocol: number, source: string, destination: string) => ({
      source,
      destination,
      protocol,
      destinationPort: 4789,
    });
    const closed = [NAMED, global("closed", "types: [Ingress, Egress]"), second];
    const verdictsOf = async (documents: readonly string[], protocol: number) => {
      const packets = [
        wrapped(protocol, "192.168.7.3", "192.168.7.1"),
        wrapped(protocol, "192.168.7.1", "192.168.7.3"),
        wrapped(protocol, "8.8.8.8", "192.168.7.1"),
      ];
      return (await judge([...documents], packets)).map(({ verdict }) => verdict);
    };
    expect(await verdictsOf(closed, UDP)).toEqual(["drop", "drop", "drop"]);
    expect(await verdictsOf([...closed, pool("vxlanMode")], UDP)).toEqual([
      "allow",
      "allow",
      "drop",
    ]);
    expect(await verdictsOf([...closed, pool("ipipMode")], 4)).toEqual(["allow", "allow", "drop"]);
    expect(await verdictsOf([second, pool("ipipMode")], 4)).toEqual(["allow", "allow", "drop"]);
    const wireguard = `
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {wireguardEnabled: true, wireguardListeningPort: 4789}
`;
    expect(await verdictsOf([...closed, wireguard], UDP)).toEqual(["allow", "allow", "allow"]);
  });

  it("take them from the environment of calico-node, which wins", async () => {
    const felix = `
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: node.n1}
spec: {failsafeInboundHostPorts: [], failsafeOutboundHostPorts: [], defaultEndpointToHostAction: Drop}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec:
  template:
    spec:
      containers:
      - name: calico-node
        env:
        - {name: FELIX_DEFAULTENDPOINTTOHOSTACTION, value: ACCEPT}
        - {name: FELIX_FAILSAFEINBOUNDHOSTPORTS, value: "tcp:8.8.0.0/16:8022, 8080,udp:[fd00::/64]:53"}
        - {name: FELIX_IPINIPMTU, valueFrom: {configMapKeyRef: {name: calico-config, key: veth_mtu}}}
        - {name: FELIX_HEALTHENABLED, value: "true"}
---
apiVersion: v1
kind: Pod
metadata: {name: calico-node-x, namespace: kube-system, labels: {k8s-app: calico-node}}
spec:
  hostNetwork: true
  nodeName: n1
  containers:
  - name: calico-node
    env:
    - {name: FELIX_DEFAULTENDPOINTTOHOSTACTION, value: ACCEPT}
    - {name: FELIX_FAILSAFEINBOUNDHOSTPORTS, value: "tcp:8.8.0.0/16:8022, 8080,udp:[fd00::/64]:53"}
    - {name: FELIX_FAILSAFEOUTBOUNDHOSTPORTS, value: "udp:53"}
`;
    const judged = await judge(
      [NAMED, felix],
      [
        { ...INTO, destinationPort: 22 },
        { ...INTO, destinationPort: 8022 },
        { ...INTO, source: "9.9.9.9", destinationPort: 8022 },
        { ...INTO, destinationPort: 8080 },
        { ...OUT, protocol: UDP, destinationPort: 53 },
        { source: "10.65.0.5", destination: "192.168.7.1" },
      ],
    );
    expect(judged.map(({ verdict }) => verdict)).toEqual([
      "drop",
      "allow",
      "drop",
      "allow",
      "allow",
      "allow",
    ]);
  });

  it("are unknown where it is not known by which of several interfaces a packet comes", async () => {
    const two = [
      host("interfaceName: ens3, expectedIPs: [192.168.7.1]"),
      `
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: public, labels: {role: public}}
spec: {node: n1, interfaceName: ens4}
`,
      global("web", "ingress: [{action: Allow, protocol: TCP}]"),
    ];
    const [outside, node] = await judge(two, [INTO, { ...INTO, source: "192.168.7.2" }]);
    expect(outside).toMatchObject({
      verdict: "unknown",
      why: expect.stringMatching(
        /^by which of the node's interfaces it comes or goes is not known/,
      ) as string,
    });
    expect(node).toMatchObject({ verdict: "allow", why: "web ingress[0] allows it" });
    // A capture that names the interface tells, of what comes and of what goes.
    for (const [name, verdicts] of [
      ["ens3", ["allow", "allow"]],
      ["ens4", ["drop", "allow"]],
    ] as const) {
      const frames = [INTO, AWAY].map((ends, index) =>
        buildFrame({ ...ends, protocol: 6, sourcePort: 40_000 + index, destinationPort: 80 }),
      );
      const capture = buildPcapng(timed(frames), [name]);
      const judged = await judgeCapture({ compiled: compiled(two), capture });
      expect(judged.map(({ verdict }) => verdict)).toEqual(verdicts);
      expect(judged.map((one) => one.inInterface ?? one.outInterface)[0]).toBe(name);
      expect(judged[1]?.outInterface).toBe(name);
    }
  });

  it("have the chains that Felix gives them", () => {
    const documents = [NAMED, global("p", "types: [Ingress], applyOnForward: true")];
    expect(rulesOf(documents, "filter", "cali-from-host-endpoint")).toEqual([
      "-i ens3 -g cali-fh-ens3",
    ]);
    expect(rulesOf(documents, "filter", "cali-fh-ens3")).toEqual([
      "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      "-m conntrack --ctstate INVALID -j DROP",
      "-j cali-failsafe-in",
      "-j MARK --set-xmark 0x0/0x30000",
      "-j MARK --set-xmark 0x0/0x20000",
      "-m mark --mark 0x0/0x20000 -j cali-pi-gnp/p",
      "-m mark --mark 0x10000/0x10000 -j RETURN",
      "-m mark --mark 0x0/0x20000 -j DROP",
      "-j DROP",
    ]);
    // Tiers are there, in the other direction: nothing is let through by itself.
    expect(rulesOf(documents, "filter", "cali-thfw-ens3")).toEqual([
      "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      "-m conntrack --ctstate INVALID -j DROP",
      "-j MARK --set-xmark 0x0/0x30000",
    ]);
    expect(rulesOf(documents, "mangle", "cali-th-ens3").slice(0, 2)).toEqual([
      "-m conntrack --ctstate RELATED,ESTABLISHED -j MARK --set-xmark 0x10000/0x10000",
      "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
    ]);
    expect(rulesOf([EVERYWHERE], "filter", "cali-to-host-endpoint")).toEqual([
      "-o cali+ -j RETURN",
      "-g cali-th-any-interface-at-all",
    ]);
  });

  it.each([
    [
      "interfaceName: ens3",
      /whether ens3 is the interface by which everything but its pods reaches n1 is not known: no expectedIPs is 192\.168\.7\.1/,
    ],
    ["interfaceName: ens3, expectedIPs: [10.9.9.9]", /^$/],
    ["expectedIPs: [10.9.9.9]", /which interface HostEndpoint n1-host binds is not known/],
    [
      "interfaceName: ens3, profiles: [gone], expectedIPs: [192.168.7.1]",
      /there is no Profile "gone"/,
    ],
  ])("say what is not known of %s", (spec, said) => {
    const { diagnostics } = compiled([host(spec)]);
    expect(diagnostics.map(({ message }) => message).join("\n")).toMatch(said);
  });

  it("are judged where all nodes are seen as one, but for what only one of them tells", () => {
    const together = (...documents: string[]): (() => unknown) => {
      const text = [CLUSTER, ...documents].join("---");
      return () => compileManifests([{ file: "a.yaml", text }]);
    };
    const policy = global("p", "types: [Ingress]");
    expect(together(NAMED, policy)).not.toThrow();
    expect(together(EVERYWHERE, policy)).not.toThrow();
    const untracked = global("raw", "doNotTrack: true, applyOnForward: true, types: [Ingress]");
    expect(together(NAMED, untracked)).toThrow(/does not track .*--node n1/);
    const second = host("interfaceName: ens4").replace("n1-host", "n1-second");
    expect(together(NAMED, second)).toThrow(/several interfaces of n1.*--node n1/);
    const felix = `
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: node.n1}
spec: {failsafeInboundHostPorts: []}
`;
    expect(together(NAMED, felix)).toThrow(/settings of its own.*--node n1/);
    const lost = `
apiVersion: v1
kind: Pod
metadata: {name: lost, namespace: shop}
status: {phase: Running, podIP: 10.65.0.99}
`;
    const forwarded = global("forward", "applyOnForward: true, types: [Egress]");
    expect(together(EVERYWHERE, policy, lost)).not.toThrow();
    expect(together(NAMED, forwarded, lost)).not.toThrow();
    expect(together(EVERYWHERE, forwarded, lost)).toThrow(/on which node shop\/lost is.*--node n1/);
  });

  it("tell nodes apart whose names are longer than an interface's may be", async () => {
    const open = host(
      "interfaceName: ens3, expectedIPs: [192.168.7.2], profiles: [projectcalico-default-allow]",
    )
      .replace("n1-host, labels: {role: node}", "n2-host")
      .replace("node: n1", "node: n2");
    const closed = global("closed", "applyOnForward: true, ingress: [{action: Deny}]");
    const text = [CLUSTER, NAMED, open, closed]
      .join("---")
      .replace(/\bn(?=[12]\b)/g, "ip-10-0-7-12.eu-west-1.compute.internal-");
    const cluster = compileManifests([{ file: "a.yaml", text }]);
    const frames = ["10.65.0.5", "10.65.1.5"].map((destination) =>
      buildFrame({ source: "8.8.8.8", destination, protocol: 6, destinationPort: 80 }),
    );
    const verdicts = await judgeCapture({ compiled: cluster, capture: buildPcap(timed(frames)) });
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["drop", "allow"]);
  });

  it.each([
    ["nodeName: n1, ", "allow"],
    ["nodeName: n2, ", "drop"],
    ["", "unknown"],
  ])("leave open whether a pod without a node is behind them: {%s}", async (node, verdict) => {
    const closed = global("closed", "applyOnForward: true, types: [Egress]");
    const cluster = CLUSTER.replace("{nodeName: n2}", `{${node}containers: []}`);
    const text = [cluster, NAMED, closed].join("---");
    const compiledTogether = compileManifests([{ file: "a.yaml", text }]);
    const frames = ["192.168.7.1", "10.65.0.5"].map((source) =>
      buildFrame({ source, destination: "10.65.1.5", protocol: 6, destinationPort: 80 }),
    );
    const capture = buildPcap(timed(frames));
    const verdicts = await judgeCapture({ compiled: compiledTogether, capture });
    expect(verdicts.map((each) => each.verdict)).toEqual([verdict, verdict]);
  });

  it("leave open what hangs on the node by which a connection comes", async () => {
    const service = `
apiVersion: v1
kind: Service
metadata: {name: far, namespace: shop}
spec: {clusterIP: 10.96.0.10, externalIPs: [198.51.100.1], ports: [{port: 80, targetPort: 8080}]}
`;
    const closed = global(
      "closed",
      "preDNAT: true, applyOnForward: true, ingress: [{action: Deny}]",
    );
    const text = [
      CLUSTER.replace(/apiVersion: v1\nkind: Service[^]*?---/, service + "---"),
      NAMED,
      closed,
    ];
    const cluster = compileManifests([{ file: "a.yaml", text: text.join("---") }]);
    const flows = [
      { source: "8.8.8.8", destination: "198.51.100.1" },
      { source: "8.8.8.8", destination: "10.65.0.5" },
      { source: "8.8.8.8", destination: "10.65.1.5" },
    ];
    const frames = flows.map((ends, index) =>
      buildFrame({ ...ends, protocol: 6, sourcePort: 40_000 + index, destinationPort: 80 }),
    );
    const verdicts = await judgeCapture({ compiled: cluster, capture: buildPcap(timed(frames)) });
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["unknown", "drop", "allow"]);
  });
});

describe("readHostEndpoint and readFelixConfiguration", () => {
  it.each([
    [
      "{kind: HostEndpoint, metadata: {name: a}, spec: {node: n}}",
      /neither interfaceName nor expectedIPs/,
    ],
    [
      "{kind: HostEndpoint, metadata: {name: a}, spec: {node: n, interface: eth0}}",
      /unknown field "interface" \(did you mean "interfaceName"\?\)/,
    ],
    [
      "{kind: HostEndpoint, metadata: {name: a}, spec: {node: n, interfaceName: a/b}}",
      /"a\/b" is no interface name/,
    ],
    [
      "{kind: HostEndpoint, metadata: {name: a}, spec: {interfaceName: eth0}}",
      /warning: spec\.node: the host endpoint is on no node/,
    ],
    [
      "{kind: FelixConfiguration, metadata: {name: default}, spec: {chainInsertMode: Append}}",
      /error: spec\.chainInsertMode: the tables are those of Insert/,
    ],
    [
      "{kind: FelixConfiguration, metadata: {name: default}, spec: {bpfEnabled: true}}",
      /error: spec\.bpfEnabled/,
    ],
    [
      "{kind: FelixConfiguration, metadata: {name: default}, spec: {logSeverityScreen: Info, kubeNodePortRanges: [1]}}",
      /warning: spec: not read: kubeNodePortRanges \[/,
    ],
    [
      "{kind: FelixConfiguration, metadata: {name: default}, spec: {defaultEndpointToHostAction: Drop}}",
      /warning: spec\.defaultEndpointToHostAction: taken as it is/,
    ],
    [
      "{kind: FelixConfiguration, metadata: {name: default}, spec: {failsafeInboundHostPort: []}}",
      /did you mean "failsafeInboundHostPorts"/,
    ],
    [
      "{kind: FelixConfiguration, metadata: {name: default}, spec: {failsafeInboundHostPorts: [{protocol: icmp, port: 1}]}}",
      /"icmp" is no protocol of a failsafe port/,
    ],
  ])("says what is wrong with %s", (text, said) => {
    const loaded = load(text.replace("{kind", "{apiVersion: projectcalico.org/v3, kind"));
    expect(loaded.said.join("\n")).toMatch(said);
  });

  it.each([
    ["{name: FELIX_BPFENABLED, value: 'true'}", /error: .*value: the tables are those of false/],
    ["{name: FELIX_BPFENABLED, value: 'No'}", /^$/],
    ["{name: FELIX_CHAININSERTMODE, value: INSERT}", /^$/],
    ["{name: FELIX_IPTABLESMARKMASK, value: '0xff000000'}", /tables are those of 4294901760/],
    ["{name: FELIX_VXLANPORT, value: many}", /must be a whole number, not "many"/],
    ["{name: FELIX_FAILSAFEINBOUNDHOSTPORTS, value: 'icmp:1'}", /"icmp" is no protocol of a fail/],
    ["{name: FELIX_FAILSAFEINBOUNDHOSTPORTS, value: none}", /^$/],
    [
      "{name: FELIX_VXLANPORT, valueFrom: {configMapKeyRef: {name: a, key: b}}}",
      /stands elsewhere/,
    ],
  ])("says what is wrong with calico-node's %s", (variable, said) => {
    const loaded = load(`
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: canal, namespace: kube-system}
spec: {template: {spec: {hostNetwork: true, containers: [{name: calico-node, env: [${variable}]}]}}}
`);
    expect(loaded.said.join("\n")).toMatch(said);
  });

  it("refuses pods of a family that Felix does not police", () => {
    const felix = `
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {ipv6Support: false}
`;
    const six =
      '\n{apiVersion: v1, kind: Pod, metadata: {name: six, namespace: shop}, spec: {nodeName: n1}, status: {podIP: "fd00::1"}}';
    expect(() => compiled([felix])).not.toThrow();
    expect(() => compiled([felix, six])).toThrow(/shop\/six has an IPv6 address/);
  });

  it("makes endpoints of nodes where Calico does", () => {
    const { snapshot } = load(`
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {zone: a}}, status: {addresses: [{type: InternalIP, address: 192.168.7.1}, {type: ExternalIP, address: 192.0.2.1}]}}
---
apiVersion: projectcalico.org/v3
kind: KubeControllersConfiguration
metadata: {name: default}
spec: {controllers: {node: {hostEndpoint: {autoCreate: Enabled}}}}
`);
    expect(snapshot.hostEndpoints).toMatchObject([
      {
        name: "n1-auto-hep",
        node: "n1",
        interfaceName: "*",
        profiles: [{ name: "projectcalico-default-allow" }],
      },
    ]);
    expect(snapshot.hostEndpoints[0]?.labels.get("zone")).toBe("a");
    expect(snapshot.hostEndpoints[0]?.addresses.map(formatAddress)).toEqual(["192.168.7.1"]);
  });

  it.each([
    ["{type: InternalIP, address: 192.0.2.1}, {type: ExternalIP, address: 192.0.2.1}", "192.0.2.1"],
    ["{type: ExternalIP, address: 192.0.2.1}", ""],
  ])("gives endpoints of nodes no address that is only external: %s", (addresses, expected) => {
    const { snapshot } = load(`
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [${addresses}]}}
---
apiVersion: projectcalico.org/v3
kind: KubeControllersConfiguration
metadata: {name: default}
spec: {controllers: {node: {hostEndpoint: {autoCreate: Enabled}}}}
`);
    const [endpoint] = snapshot.hostEndpoints;
    expect(endpoint?.addresses.map(formatAddress).join(" ")).toBe(expected);
  });
});
