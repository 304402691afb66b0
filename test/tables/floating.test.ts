/** Floating addresses of pods: the rules of their node, and what these make of packets. */
import { describe, expect, it } from "vitest";

import { renderRule } from "../../src/tables/iptables.ts";
import { buildFrame, buildPcap, timed } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";

const pod = (name: string, podIP: string, node?: string, floating?: unknown): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name,
    namespace: "shop",
    labels: { app: name },
    ...(floating === undefined
      ? {}
      : {
          annotations: {
            "cni.projectcalico.org/floatingIPs":
              typeof floating === "string" ? floating : JSON.stringify(floating),
          },
        }),
  },
  spec: node === undefined ? {} : { nodeName: node },
  status: { podIP },
});
const felix = (name: string, floatingIPs: string): object => ({
  apiVersion: "projectcalico.org/v3",
  kind: "FelixConfiguration",
  metadata: { name },
  spec: { floatingIPs },
});
const ENABLED = felix("default", "Enabled");
const NODES = [1, 2].map((number) => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: `n${number}` },
  status: { addresses: [{ type: "InternalIP", address: `192.168.7.${number}` }] },
}));
/** Who comes from there may talk to web by its port 80. */
const POLICY = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "web", namespace: "shop" },
  spec: {
    podSelector: { matchLabels: { app: "web" } },
    ingress: [{ from: [{ ipBlock: { cidr: "198.51.100.0/24" } }], ports: [{ port: 80 }] }],
  },
};
const WEB = pod("web", "10.65.1.5", "n1", ["203.0.113.9", "203.0.113.10", "2001:db8::9"]);

function rules(objects: readonly object[], node?: string): string[] {
  const [four] = compileObjects([...NODES, ...objects], node).rulesets;
  return (four.tables.find(({ name }) => name === "nat")?.chains ?? [])
    .filter(({ name }) => name.startsWith("cali-fip-"))
    .flatMap(({ name, rules: all }) => all.map((rule) => renderRule(name, rule, 4)));
}

describe("floating addresses", () => {
  it("are translated to the pod's on its own node, and by the first of them to itself", () => {
    expect(rules([WEB, ENABLED], "n1")).toEqual([
      "-A cali-fip-dnat -d 203.0.113.10/32 -j DNAT --to-destination 10.65.1.5",
      "-A cali-fip-dnat -d 203.0.113.9/32 -j DNAT --to-destination 10.65.1.5",
      "-A cali-fip-snat -s 10.65.1.5/32 -d 10.65.1.5/32 -j SNAT --to-source 203.0.113.10",
    ]);
    expect(rules([WEB, ENABLED], "n2")).toEqual([]);
  });

  it("that several pods have are those of the alphabetically first", () => {
    const both = [pod("a", "10.65.1.7", "n1", ["203.0.113.9"]), WEB, ENABLED];
    expect(rules(both, "n1")).toContain(
      "-A cali-fip-dnat -d 203.0.113.9/32 -j DNAT --to-destination 10.65.1.5",
    );
    expect(rules(both, "n1").filter((line) => line.includes("10.65.1.7"))).toEqual([]);
  });

  it("are nothing where FelixConfiguration does not say so, of all nodes or of this", () => {
    expect(rules([WEB], "n1")).toEqual([]);
    expect(rules([WEB, ENABLED, felix("node.n1", "Disabled")], "n1")).toEqual([]);
    expect(rules([WEB])).toEqual([]);
  });

  it.each([
    ["of all nodes", ENABLED],
    ["of one", felix("node.n1", "Enabled")],
  ])("are refused where all nodes are seen as one: said %s", (_, enabled) => {
    expect(() => rules([WEB, enabled])).toThrow(
      "shop/web has a floating address, which only its own node translates: name one with --node",
    );
    expect(rules([pod("web", "10.65.1.5", "n1"), enabled])).toEqual([]);
  });

  it("are refused where nothing tells whether the node asked for is the pod's", () => {
    const unplaced = pod("web", "10.65.1.5", undefined, ["203.0.113.9"]);
    expect(() => rules([unplaced, ENABLED], "n1")).toThrow(
      /^cluster.json:1:\d+: error: pod shop\/web has a floating address and no nodeName: only its own node translates it, and nothing tells whether that is n1 /,
    );
    expect(rules([unplaced], "n1")).toEqual([]);
    expect(rules([unplaced, ENABLED, felix("node.n1", "Disabled")], "n1")).toEqual([]);
  });

  it.each([
    ["203.0.113.9", "is no list of addresses in JSON"],
    ['["here"]', '"here" is no IPv4 or IPv6 address'],
    ["[7]", "7 is no IPv4 or IPv6 address"],
  ])("are refused as %s", (annotation, message) => {
    expect(() => rules([pod("web", "10.65.1.5", "n1", annotation)], "n1")).toThrow(message);
  });

  it("are none by an empty list, nor of pods that have their node's addresses", () => {
    const web = (annotation: string, spec: object): object => ({
      ...pod("web", "10.65.1.5", "n1", annotation),
      spec: { nodeName: "n1", ...spec },
    });
    expect(rules([web("null", {}), ENABLED], "n1")).toEqual([]);
    expect(rules([web("[]", {}), ENABLED], "n1")).toEqual([]);
    expect(rules([web("no list", { hostNetwork: true }), ENABLED], "n1")).toEqual([]);
  });

  it("lead to the pod, whose policies decide", async () => {
    const packets = [
      ["198.51.100.7", "203.0.113.9", 80],
      ["198.51.100.7", "203.0.113.10", 81],
      ["198.51.99.7", "203.0.113.9", 80],
      ["198.51.100.7", "203.0.113.9", 80],
    ] as const;
    const frames = packets.map(([source, destination, destinationPort], index) =>
      buildFrame({ source, destination, destinationPort, protocol: 6, sourcePort: 4000 + index }),
    );
    const compiled = compileObjects([...NODES, WEB, POLICY, ENABLED], "n1");
    const verdicts = await judgeCapture({ compiled, capture: buildPcap(timed(frames)) });
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["allow", "drop", "drop", "allow"]);
  });
});
