import { describe, expect, it } from "vitest";
import type { Snapshot } from "../../src/cluster/snapshot.ts";
import { formatPrefix } from "../../src/net/address.ts";
import { assignInterfaces } from "../../src/tables/endpoint-interface.ts";
import { compileTopology } from "../../src/tables/topology.ts";
import { load } from "../cluster/load.ts";
import { pod, service, snapshot } from "./cluster.ts";
import { SHOP } from "./small-cluster.ts";

function routes(cluster: Snapshot, node?: string): string[] {
  const { routes } = compileTopology(cluster, assignInterfaces(cluster.endpoints), { node });
  return routes.map(
    ({ prefix, kind, interface: name, node, owner }) =>
      `${formatPrefix(prefix)} ${kind} ${name || "-"} ${node ?? "-"} ${owner ?? "-"}`,
  );
}

describe("compileTopology", () => {
  it("sees the whole cluster as one node that has every pod", () => {
    expect(routes(SHOP).filter((line) => !line.includes(":"))).toEqual([
      "0.0.0.0/0 outside eth0 - -",
      "10.96.0.0/16 missing eth0 - -",
      "10.96.0.10/32 unicast eth0 - service kube-system/kube-dns",
      "10.96.0.11/32 unicast eth0 - service shop/gone",
      "10.96.0.12/32 unicast eth0 - service shop/web",
      "10.244.0.0/16 missing eth0 - -",
      "10.244.1.2/32 unicast cali8b8bfc5f42f n1 kube-system/dns-0",
      "10.244.1.4/32 unicast calia4fc3c48bd8 n1 shop/web-0",
      "10.244.2.3/32 unicast cali43878a68a0a n2 shop/db-0",
      "10.244.2.4/32 unicast cali751425ce827 n2 shop/web-1",
      "127.0.0.0/8 local - - -",
      "172.18.0.2/32 local - n1 node n1",
      "172.18.0.3/32 local - n2 node n2",
    ]);
  });

  it("has other nodes and their pods behind the uplink when one node is judged", () => {
    expect(routes(SHOP, "n1").filter((line) => /shop\/(web|db)-|node n/.test(line))).toEqual([
      "10.244.1.4/32 unicast calia4fc3c48bd8 n1 shop/web-0",
      "10.244.2.3/32 unicast eth0 n2 shop/db-0",
      "10.244.2.4/32 unicast eth0 n2 shop/web-1",
      "172.18.0.2/32 local - n1 node n1",
      "172.18.0.3/32 unicast eth0 n2 node n2",
      "fd00:10:244:1::4/128 unicast calia4fc3c48bd8 n1 shop/web-0",
      "fd00:10:244:2::3/128 unicast eth0 n2 shop/db-0",
      "fd00:10:244:2::4/128 unicast eth0 n2 shop/web-1",
      "fd00:172::2/128 local - n1 node n1",
      "fd00:172::3/128 unicast eth0 n2 node n2",
    ]);
  });

  it("infers a range only around addresses outside of the ranges given", () => {
    const cluster = snapshot({
      endpoints: [
        pod("a/in", { addresses: ["10.244.1.2", "fd00:1::2"] }),
        pod("a/out", { addresses: ["192.168.7.7"] }),
      ],
      services: [service("a/s", { addresses: ["10.96.0.1"], ports: [] })],
      clusterPrefixes: ["10.244.1.0/24"],
    });
    expect(routes(cluster).filter((line) => line.includes("missing"))).toEqual([
      "10.96.0.0/16 missing eth0 - -",
      "10.244.1.0/24 missing eth0 - -",
      "192.168.0.0/16 missing eth0 - -",
      "fd00:1::/64 missing eth0 - -",
    ]);
  });

  it("does not know whether a node has its external addresses itself", () => {
    const { snapshot: cluster } = load(
      [
        "{type: InternalIP, address: 192.0.2.1}, {type: ExternalIP, address: 192.0.2.1}",
        "{type: InternalIP, address: 192.0.2.2}, {type: ExternalIP, address: 198.51.100.2}",
        "{type: ExternalIP, address: 198.51.100.3}",
      ]
        .map(
          (addresses, index) =>
            `{apiVersion: v1, kind: Node, metadata: {name: n${index + 1}}, status: {addresses: [${addresses}]}}`,
        )
        .join("\n---\n"),
    );
    const ofNodes = (node?: string): string[] =>
      routes(cluster, node).filter((line) => line.includes("node n"));
    expect(ofNodes()).toEqual([
      "192.0.2.1/32 local - n1 node n1",
      "192.0.2.2/32 local - n2 node n2",
      "198.51.100.2/32 missing eth0 - node n2",
      "198.51.100.3/32 local - n3 node n3",
    ]);
    expect(ofNodes("n2")).toContain("198.51.100.2/32 missing eth0 - node n2");
    expect(ofNodes("n1")).toContain("198.51.100.2/32 unicast eth0 n2 node n2");
  });

  it("takes everything for outside when nothing is known", () => {
    expect(routes(snapshot({}))).toEqual([
      "0.0.0.0/0 outside eth0 - -",
      "127.0.0.0/8 local - - -",
      "::/0 outside eth0 - -",
      "::1/128 local - - -",
    ]);
  });
});

describe("assignInterfaces", () => {
  it("gives no interface twice, and a pod its real one, in whatever order they come", () => {
    const endpoints = [
      pod("a/web", { kind: "Deployment" }),
      pod("a/web", { kind: "CronJob" }),
      pod("a/web"),
    ];
    const names = (given: readonly ReturnType<typeof pod>[]): string[] => {
      const interfaces = assignInterfaces(given);
      return endpoints.map((endpoint) => interfaces.get(endpoint) ?? "none");
    };
    expect(new Set(names(endpoints)).size).toBe(3);
    expect(names(endpoints.toReversed())).toEqual(names(endpoints));
    expect(names(endpoints)[2]).toBe(names([endpoints[2]!])[2]);
  });
});
