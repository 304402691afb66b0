/** Ports of nodes that containers ask for: the rules of the plugin portmap, and what these make of packets. */
import { describe, expect, it } from "vitest";

import { DIALECTS } from "../../src/policy/dialects.ts";
import type { DialectName } from "../../src/policy/dialect.ts";
import { explainReason } from "../../src/report/reason.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import { buildPacket, buildPcap, timed, type PacketSpec } from "../frames.ts";
import { compileObjects, judgeCapture } from "../judge.ts";

interface Port {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly hostIP?: string;
  readonly protocol?: string;
}

const node = (name: string, ...addresses: string[]): object => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name },
  status: { addresses: addresses.map((address) => ({ type: "InternalIP", address })) },
});
const pod = (
  name: string,
  given: {
    readonly at?: string;
    readonly ips?: readonly string[];
    readonly ports?: readonly Port[];
    readonly sidecar?: readonly Port[];
    readonly phase?: string;
  },
): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "a", labels: { app: name } },
  spec: {
    ...(given.at === undefined ? {} : { nodeName: given.at }),
    containers: [{ name: "c", ports: given.ports ?? [] }],
    initContainers: [{ name: "s", restartPolicy: "Always", ports: given.sidecar ?? [] }],
  },
  status: { phase: given.phase ?? "Running", podIPs: (given.ips ?? []).map((ip) => ({ ip })) },
});
const policy = (app: string, cidr: string): object => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: `to-${app}`, namespace: "a" },
  spec: {
    podSelector: { matchLabels: { app } },
    policyTypes: ["Ingress"],
    ingress: [{ from: [{ ipBlock: { cidr } }] }],
  },
});

const N1 = node("n1", "192.168.7.1", "fd00:7::1");
const N2 = node("n2", "192.168.7.2", "fd00:7::2");
const WEB = pod("web", {
  at: "n1",
  ips: ["10.244.0.5", "fd00:244::5"],
  ports: [{ hostPort: 8080, containerPort: 80 }],
});
const CLIENT = pod("cli", { at: "n2", ips: ["10.244.1.5", "fd00:244::1:5"] });

function natRules(objects: readonly object[], at: string | undefined, family: 4 | 6): string[] {
  const ruleset = compileObjects(objects, at).rulesets[family === 4 ? 0 : 1];
  const nat = ruleset?.tables.find(({ name }) => name === "nat");
  return (nat?.chains ?? []).flatMap((chain) =>
    chain.rules
      .map((rule) => renderRule(chain.name, rule, family))
      .filter((line) => line.includes("CNI-")),
  );
}

/** Verdict and, where it is not known, why; else where it is translated to. */
async function judge(
  objects: readonly object[],
  spec: Pick<PacketSpec, "source" | "destination"> & { readonly port: number },
  { at, dialect }: { readonly at?: string; readonly dialect?: DialectName } = {},
): Promise<string> {
  const compiled = compileObjects(
    objects,
    at,
    undefined,
    dialect === undefined ? undefined : DIALECTS[dialect],
  );
  const { port, ...ends } = spec;
  const packet = buildPacket({ ...ends, protocol: 6, sourcePort: 40_000, destinationPort: port });
  const [verdict] = await judgeCapture({ compiled, capture: buildPcap(timed([packet]), 101) });
  if (verdict === undefined) return "";
  if (verdict.verdict === "unknown") return `unknown: ${explainReason(verdict)}`;
  const { translated } = verdict;
  return `${verdict.verdict}${translated === undefined ? "" : ` to ${translated.port}`}`;
}

const to = (
  destination: string,
  port: number,
  source = "192.0.2.9",
): { readonly source: string; readonly destination: string; readonly port: number } => ({
  source,
  destination,
  port,
});

describe("compileHostPorts", () => {
  it("writes the plugin's rules", () => {
    expect(natRules([N1, N2, WEB], "n1", 4)).toEqual([
      "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
      "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
      '-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
      "-A CNI-DN-3c8b8fa412f9e089ea623 -s 10.244.0.5/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
      "-A CNI-DN-3c8b8fa412f9e089ea623 -s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
      "-A CNI-DN-3c8b8fa412f9e089ea623 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.244.0.5:80",
      '-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat a/web" -m multiport --dports 8080 -j CNI-DN-3c8b8fa412f9e089ea623',
      "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
      '-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000',
    ]);
    expect(natRules([N1, N2, WEB], "n1", 6).filter((line) => line.includes("-DN-"))).toEqual([
      "-A CNI-DN-3c8b8fa412f9e089ea623 -s fd00:244::5/128 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
      "-A CNI-DN-3c8b8fa412f9e089ea623 -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:244::5]:80",
      '-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat a/web" -m multiport --dports 8080 -j CNI-DN-3c8b8fa412f9e089ea623',
    ]);
  });

  it("has none on other nodes, and tells nodes apart by their addresses where all are seen as one", () => {
    expect(natRules([N1, N2, WEB], "n2", 4)).toEqual([]);
    expect(
      natRules([N1, N2, WEB], undefined, 4).filter((line) => line.includes("-j CNI-DN-")),
    ).toEqual([
      '-A CNI-HOSTPORT-DNAT -d 192.168.7.1/32 -p tcp -m comment --comment "dnat a/web" -m multiport --dports 8080 -j CNI-DN-3c8b8fa412f9e089ea623',
    ]);
  });

  it("looks at the address of the node that the pod asks for", () => {
    const ports = [
      { hostPort: 1, containerPort: 1, hostIP: "192.168.7.1" },
      { hostPort: 2, containerPort: 2, hostIP: "0.0.0.0" },
      { hostPort: 3, containerPort: 3, hostIP: "::", protocol: "UDP" },
    ];
    const objects = [N1, pod("p", { at: "n1", ips: ["10.244.0.6", "fd00:244::6"], ports })];
    const rules = (family: 4 | 6): string[] =>
      natRules(objects, "n1", family).flatMap(
        (line) => /(?:-d .*)?-p.* -j DNAT.*/.exec(line) ?? [],
      );
    expect(rules(4)).toEqual([
      "-d 192.168.7.1/32 -p tcp -m tcp --dport 1 -j DNAT --to-destination 10.244.0.6:1",
      "-p tcp -m tcp --dport 2 -j DNAT --to-destination 10.244.0.6:2",
    ]);
    expect(rules(6)).toEqual(["-p udp -m udp --dport 3 -j DNAT --to-destination [fd00:244::6]:3"]);
  });
});

describe("a port of the node", () => {
  const objects = [N1, N2, WEB, CLIENT, policy("web", "192.0.2.0/24")];

  it("leads to the pod, whose policies see the client", async () => {
    for (const at of ["n1", undefined]) {
      const options = at === undefined ? {} : { at };
      expect(await judge(objects, to("192.168.7.1", 8080), options)).toBe("allow to 80");
      expect(await judge(objects, to("192.168.7.1", 8080, "198.51.100.1"), options)).toBe(
        "drop to 80",
      );
      expect(await judge(objects, to("192.168.7.1", 8081, "198.51.100.1"), options)).toBe("allow");
      expect(await judge(objects, to("192.168.7.1", 8080, "192.168.7.1"), options)).toBe(
        "allow to 80",
      );
    }
  });

  it("is another node's own where the pod is not there", async () => {
    expect(await judge(objects, to("192.168.7.2", 8080, "198.51.100.1"))).toBe("allow");
  });

  it("leads to the pod for pods of other nodes, too", async () => {
    expect(await judge(objects, to("192.168.7.1", 8080, "10.244.1.5"))).toBe("drop to 80");
  });

  it("comes behind Services", async () => {
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "s", namespace: "a" },
      spec: {
        type: "NodePort",
        clusterIPs: ["10.96.0.1"],
        selector: { app: "cli" },
        ports: [{ port: 1, targetPort: 7, nodePort: 8080 }],
      },
    };
    expect(await judge([...objects, service], to("192.168.7.1", 8080))).toBe("allow to 7");
  });

  it("is not known where nothing tells where it leads", async () => {
    const ports = [{ hostPort: 8080, containerPort: 80 }];
    const told = { at: "n1", ips: ["10.244.0.9"], ports };
    const given: Readonly<Record<string, readonly object[]>> = {
      "nothing tells on which node the pod is": [pod("p", { ips: ["10.244.0.9"], ports })],
      "nothing tells the pod's address": [pod("p", { at: "n1", ports, phase: "Pending" })],
      "nothing tells whether the kubelet gives it to a sidecar": [
        pod("p", { at: "n1", ips: ["10.244.0.9"], sidecar: ports }),
      ],
      "nothing tells which of a/p, a/q has it": [
        pod("p", told),
        pod("q", { ...told, ips: ["10.244.0.10"] }),
      ],
    };
    for (const [why, pods] of Object.entries(given)) {
      for (const options of [{}, { at: "n1" }]) {
        expect(await judge([N1, N2, ...pods], to("192.168.7.1", 8080), options)).toMatch(
          `unknown: hostPort 8080/TCP of Pod a/p (cluster.json:1:`,
        );
        expect(await judge([N1, N2, ...pods], to("192.168.7.1", 8080), options)).toContain(why);
        expect(await judge([N1, N2, ...pods], to("192.168.7.1", 8081), options)).toBe("allow");
      }
    }
  });

  it("is not known of a workload without pods, at every node", async () => {
    const workload = {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: "d", namespace: "a" },
      spec: {
        template: {
          metadata: { labels: { app: "d" } },
          spec: { containers: [{ ports: [{ hostPort: 9100, containerPort: 9100 }] }] },
        },
      },
    };
    for (const address of ["192.168.7.1", "fd00:7::2"]) {
      const source = address.includes(":") ? "2001:db8::1" : "192.0.2.1";
      expect(await judge([N1, N2, workload], to(address, 9100, source))).toMatch(
        /^unknown: hostPort 9100\/TCP of DaemonSet a\/d \(cluster.json:1:\d+\): nothing tells which pods it has/,
      );
    }
  });

  it("is gone with a pod that has finished, or whose address another pod has", async () => {
    const ports = [{ hostPort: 8080, containerPort: 80 }];
    const gone = pod("gone", { at: "n1", ips: ["10.244.0.9"], ports, phase: "Succeeded" });
    const going = pod("going", { at: "n1", ips: ["10.244.0.8"], ports }) as {
      readonly metadata: object;
    };
    const other = pod("other", { at: "n1", ips: ["10.244.0.8"] });
    const metadata = { ...going.metadata, deletionTimestamp: "2026-11-29T00:00:00Z" };
    const all = [N1, N2, gone, { ...going, metadata }, other];
    expect(await judge(all, to("192.168.7.1", 8080))).toBe("allow");
  });

  it("is not known of implementations that have nothing to do with portmap", async () => {
    for (const dialect of ["cilium", "generic", "kube-network-policies"] as const) {
      expect(await judge([N1, N2, WEB], to("192.168.7.1", 8080), { dialect })).toContain(
        "nothing tells what serves it beside",
      );
    }
    expect(await judge(objects, to("192.168.7.1", 8080), { dialect: "kube-router" })).toBe(
      "allow to 80",
    );
  });
});
