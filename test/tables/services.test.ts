import { describe, expect, it } from "vitest";
import type { Family } from "../../src/net/address.ts";
import { load } from "../cluster/load.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import { isPrinted } from "../../src/tables/model.ts";
import { compileServices } from "../../src/tables/services.ts";
import { service, snapshot } from "./cluster.ts";
import { SHOP } from "./small-cluster.ts";

const sets = {
  placeSet: (nodes: readonly string[], from: string): string =>
    `${from === "open" ? "" : `${from} `}places ${nodes.join()}`,
};

function natRules(family: Family, cluster = SHOP): string[] {
  const { nat } = compileServices(cluster, family, { node: undefined, sets });
  return nat.chains.flatMap((chain) =>
    chain.rules.map((rule) => renderRule(chain.name, rule, family)),
  );
}

function refusals(family: Family, cluster = SHOP): string[] {
  const { filterChains } = compileServices(cluster, family, { node: undefined, sets });
  return filterChains
    .filter((chain) => chain.name === "KUBE-SERVICES")
    .flatMap((chain) => chain.rules.map((rule) => renderRule(chain.name, rule, family)));
}

describe("compileServices", () => {
  it("translates a ClusterIP as kube-proxy does", () => {
    expect(natRules(4).filter((line) => line.includes("kube-dns"))).toEqual([
      '-A KUBE-SEP-Z6M7ZHWCTBNMPLD7 -s 10.244.1.2/32 -m comment --comment "kube-system/kube-dns:dns" -j KUBE-MARK-MASQ',
      '-A KUBE-SEP-Z6M7ZHWCTBNMPLD7 -p udp -m comment --comment "kube-system/kube-dns:dns" -m udp -j DNAT --to-destination 10.244.1.2:53',
      '-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment "kube-system/kube-dns:dns cluster IP" -m udp --dport 53 -j KUBE-SVC-TCOU7JCQXEZGVUNU',
      '-A KUBE-SVC-TCOU7JCQXEZGVUNU -m comment --comment "kube-system/kube-dns:dns -> 10.244.1.2:53" -j KUBE-SEP-Z6M7ZHWCTBNMPLD7',
    ]);
  });

  it("translates to backends of the same family only", () => {
    expect(natRules(6).filter((line) => line.includes("DNAT"))).toEqual([
      '-A KUBE-SEP-FMSZ6U4LXUCZHYN4 -p udp -m comment --comment "kube-system/kube-dns:dns" -m udp -j DNAT --to-destination [fd00:10:244:1::2]:53',
    ]);
  });

  it("gives every backend the same chance", () => {
    const backends = [1, 2, 3].map((last) => [`10.0.0.${last}`, 80] as const);
    const cluster = snapshot({
      services: [service("a/b", { addresses: ["10.96.0.1"], ports: [{ port: 80, backends }] })],
    });
    const chances = natRules(4, cluster)
      .filter((line) => line.startsWith("-A KUBE-SVC-"))
      .map((line) => /--probability (\S+)/.exec(line)?.[1]);
    expect(chances).toEqual(["0.33333333349", "0.50000000000", undefined]);
  });

  it("refuses a Service without backends in this family", () => {
    expect(refusals(4)).toEqual([
      '-A KUBE-SERVICES -d 10.96.0.11/32 -p tcp -m comment --comment "shop/gone has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable',
    ]);
    const backends = [["10.0.0.1", 80]] as const;
    const cluster = snapshot({
      services: [service("a/b", { addresses: ["fd00::1"], ports: [{ port: 80, backends }] })],
    });
    expect(refusals(6, cluster)).toEqual([
      '-A KUBE-SERVICES -d fd00::1/128 -p tcp -m comment --comment "a/b has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp6-port-unreachable',
    ]);
    expect(natRules(6, cluster).some((line) => line.includes("a/b"))).toBe(false);
  });

  it("has nothing for headless Services", () => {
    const cluster = snapshot({
      services: [service("a/b", { addresses: [], ports: [{ port: 80, backends: [] }] })],
    });
    expect(refusals(4, cluster)).toEqual([]);
  });

  it("says which Service a translation and a refusal stand for", () => {
    const { nat, filterChains } = compileServices(SHOP, 4, { node: undefined, sets });
    const origins = [...nat.chains, ...filterChains]
      .flatMap((chain) => chain.rules)
      .flatMap(({ origin }) => (origin === undefined ? [] : [origin]));
    expect(origins).toMatchObject([
      { kind: "service", service: "shop/web:80" },
      { kind: "service", service: "shop/web:80" },
      { kind: "service", service: "kube-system/kube-dns:53" },
      { kind: "service-refused", service: "shop/gone:80" },
    ]);
  });
});

describe("compileServices for a node", () => {
  const manifest = `
{apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDR: 10.244.0.0/24}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDR: 10.244.1.0/24}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.12
  externalIPs: [198.51.100.1]
  externalTrafficPolicy: Local
  healthCheckNodePort: 31000
  sessionAffinity: ClientIP
  loadBalancerSourceRanges: [192.0.2.0/24]
  ports: [{name: http, port: 80, nodePort: 30080}]
status: {loadBalancer: {ingress: [{ip: 203.0.113.5}, {ip: 203.0.113.6, ipMode: Proxy}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.244.0.5], nodeName: n1}
- {addresses: [10.244.1.5], nodeName: n2}
`;

  function rulesOf(node: string): string[] {
    const { snapshot: loaded, said } = load(manifest);
    expect(said).toEqual([]);
    const { nat, filterChains } = compileServices(loaded, 4, { node, sets });
    const lines = [...nat.chains, ...filterChains].flatMap((chain) =>
      chain.rules.map((rule) => renderRule(chain.name, rule, 4)),
    );
    return lines.filter((line) => /shop|NODEPORTS|KUBE-EXT-/.test(line));
  }

  it("has kube-proxy's chains for every way to reach a Service (KP-3)", () => {
    expect(rulesOf("n1")).toEqual([
      '-A KUBE-EXT-67NZLRHBNDSAWJRO -s 10.244.0.0/23 -m comment --comment "pod traffic for shop/web:http external destinations" -j KUBE-SVC-67NZLRHBNDSAWJRO',
      '-A KUBE-EXT-67NZLRHBNDSAWJRO -m comment --comment "masquerade LOCAL traffic for shop/web:http external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ',
      '-A KUBE-EXT-67NZLRHBNDSAWJRO -m comment --comment "route LOCAL traffic for shop/web:http external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-67NZLRHBNDSAWJRO',
      "-A KUBE-EXT-67NZLRHBNDSAWJRO -j KUBE-SVL-67NZLRHBNDSAWJRO",
      '-A KUBE-FW-67NZLRHBNDSAWJRO -s 192.0.2.0/24 -m comment --comment "shop/web:http loadbalancer IP" -j KUBE-EXT-67NZLRHBNDSAWJRO',
      '-A KUBE-FW-67NZLRHBNDSAWJRO -m comment --comment "other traffic to shop/web:http will be dropped by KUBE-PROXY-FIREWALL"',
      '-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/web:http" -m tcp --dport 30080 -j KUBE-EXT-67NZLRHBNDSAWJRO',
      '-A KUBE-SEP-2QFQVMZDRZXAQWB2 -s 10.244.0.5/32 -m comment --comment "shop/web:http" -j KUBE-MARK-MASQ',
      '-A KUBE-SEP-2QFQVMZDRZXAQWB2 -p tcp -m comment --comment "shop/web:http" -m recent --set --name KUBE-SEP-2QFQVMZDRZXAQWB2 --mask 255.255.255.255 --rsource -m tcp -j DNAT --to-destination 10.244.0.5:8080',
      '-A KUBE-SEP-34ZZ2QFGO32YYXXO -s 10.244.1.5/32 -m comment --comment "shop/web:http" -j KUBE-MARK-MASQ',
      '-A KUBE-SEP-34ZZ2QFGO32YYXXO -p tcp -m comment --comment "shop/web:http" -m recent --set --name KUBE-SEP-34ZZ2QFGO32YYXXO --mask 255.255.255.255 --rsource -m tcp -j DNAT --to-destination 10.244.1.5:8080',
      '-A KUBE-SERVICES -d 10.96.0.12/32 -p tcp -m comment --comment "shop/web:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-67NZLRHBNDSAWJRO',
      '-A KUBE-SERVICES -d 198.51.100.1/32 -p tcp -m comment --comment "shop/web:http external IP" -m tcp --dport 80 -j KUBE-EXT-67NZLRHBNDSAWJRO',
      '-A KUBE-SERVICES -d 203.0.113.5/32 -p tcp -m comment --comment "shop/web:http loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-67NZLRHBNDSAWJRO',
      '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
      '-A KUBE-SVC-67NZLRHBNDSAWJRO ! -s 10.244.0.0/23 -d 10.96.0.12/32 -p tcp -m comment --comment "shop/web:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ',
      '-A KUBE-SVC-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http -> 10.244.0.5:8080" -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-2QFQVMZDRZXAQWB2 --mask 255.255.255.255 --rsource -j KUBE-SEP-2QFQVMZDRZXAQWB2',
      '-A KUBE-SVC-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http -> 10.244.1.5:8080" -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-34ZZ2QFGO32YYXXO --mask 255.255.255.255 --rsource -j KUBE-SEP-34ZZ2QFGO32YYXXO',
      '-A KUBE-SVC-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http -> 10.244.0.5:8080" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-2QFQVMZDRZXAQWB2',
      '-A KUBE-SVC-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http -> 10.244.1.5:8080" -j KUBE-SEP-34ZZ2QFGO32YYXXO',
      '-A KUBE-SVL-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http -> 10.244.0.5:8080" -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-2QFQVMZDRZXAQWB2 --mask 255.255.255.255 --rsource -j KUBE-SEP-2QFQVMZDRZXAQWB2',
      '-A KUBE-SVL-67NZLRHBNDSAWJRO -m comment --comment "shop/web:http -> 10.244.0.5:8080" -j KUBE-SEP-2QFQVMZDRZXAQWB2',
      '-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/web:http health check node port" -m tcp --dport 31000 -j ACCEPT',
      '-A KUBE-PROXY-FIREWALL -d 203.0.113.5/32 -p tcp -m comment --comment "shop/web:http traffic not accepted by KUBE-FW-67NZLRHBNDSAWJRO" -m tcp --dport 80 -j DROP',
    ]);
  });

  it.each([
    [
      "ranges that have nothing else between them",
      "10.50.0.0/16",
      "10.244.0.0/24",
      0,
      "10.0.0.0/8",
    ],
    ["ranges with a node between them", "172.16.0.0/16", "172.24.0.0/24", 2, undefined],
    ["ranges too far apart", "192.168.0.0/16", "10.244.0.0/24", 4, undefined],
    ["a told range that holds nodes, too", "172.16.0.0/12", "172.24.0.0/24", 0, "172.16.0.0/12"],
  ])("tells pods from others by %s", (_, pool, range, open, printed) => {
    const text = [
      manifest
        .replaceAll("10.96.0.12", "198.18.0.12")
        .replaceAll(/podCIDR: [^}]*/g, `podCIDR: ${range}`),
      `{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: p}, spec: {cidr: ${pool}}}`,
    ].join("\n---\n");
    const { nat } = compileServices(load(text).snapshot, 4, { node: "n1", sets });
    const rules = nat.chains.flatMap((chain) => chain.rules);
    const opaque = rules.filter(({ matches }) => matches.some(({ kind }) => kind === "opaque"));
    expect(opaque).toHaveLength(open);
    const lines = nat.chains
      .flatMap((chain) =>
        chain.rules.filter(isPrinted).map((rule) => renderRule(chain.name, rule, 4)),
      )
      .map((line) => /KUBE-EXT-\S+ -s (\S+)/.exec(line)?.[1]);
    expect(lines.find((prefix) => prefix !== undefined)).toBe(printed);
  });

  it("has no backend of its own where the slice names no node (KP-4)", () => {
    const nowhere = manifest.replaceAll(/, nodeName: n\d/g, "");
    const pod = `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: n1}, status: {podIP: 10.244.0.5}}`;
    const { snapshot: loaded } = load(`${nowhere}\n---\n${pod}`);
    for (const node of ["n1", undefined]) {
      const { nat } = compileServices(loaded, 4, { node, sets });
      const names = nat.chains.map(({ name }) => name.slice(0, 9));
      expect(names).toContain("KUBE-SVC-");
      expect(names).not.toContain("KUBE-SVL-");
    }
  });

  it("drops in filter what has no backend on the node and is for it alone (KP-4)", () => {
    expect(rulesOf("n3").filter((line) => line.includes("no local endpoints"))).toEqual([
      '-A KUBE-EXTERNAL-SERVICES -d 198.51.100.1/32 -p tcp -m comment --comment "shop/web:http has no local endpoints" -m tcp --dport 80 -j DROP',
      '-A KUBE-EXTERNAL-SERVICES -d 203.0.113.5/32 -p tcp -m comment --comment "shop/web:http has no local endpoints" -m tcp --dport 80 -j DROP',
      '-A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "shop/web:http has no local endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30080 -j DROP',
    ]);
  });
});
