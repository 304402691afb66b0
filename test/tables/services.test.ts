import { describe, expect, it } from "vitest";
import type { Family } from "../../src/net/address.ts";
import { renderRule } from "../../src/tables/iptables.ts";
import { compileServices } from "../../src/tables/services.ts";
import { service, snapshot } from "./cluster.ts";
import { SHOP } from "./small-cluster.ts";

function natRules(family: Family, cluster = SHOP): string[] {
  const { nat } = compileServices(cluster, family);
  return nat.chains.flatMap((chain) =>
    chain.rules.map((rule) => renderRule(chain.name, rule, family)),
  );
}

function refusals(family: Family, cluster = SHOP): string[] {
  const { filterChains } = compileServices(cluster, family);
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
    const { nat, filterChains } = compileServices(SHOP, 4);
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
