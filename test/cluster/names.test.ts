import { describe, expect, it } from "vitest";

import { resolveClusterName } from "../../src/cluster/names.ts";
import { formatAddress } from "../../src/net/address.ts";
import { load } from "./load.ts";

const service = (name: string, spec: string): string =>
  `{apiVersion: v1, kind: Service, metadata: {name: ${name}, namespace: shop}, spec: {${spec}}}`;
const pod = (name: string, addresses: string, app: string): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, labels: {app: ${app}}}, status: {podIPs: [${addresses}]}}`;

const { snapshot } = load(
  [
    service("web", "clusterIP: 10.96.0.1"),
    service("dual", 'clusterIPs: [10.96.0.2, "fd00:96::2"]'),
    service(
      "db",
      "clusterIP: None, selector: {app: db}, ports: [{port: 1, name: a}, {port: 2, name: b}]",
    ),
    service("pair", "clusterIP: None, selector: {app: pair}, ports: [{port: 1}]"),
    pod("db-0", "{ip: 10.0.0.1}", "db"),
    pod("pair-0", "{ip: 10.0.0.2}", "pair"),
    pod("pair-1", "{ip: 10.0.0.3}", "pair"),
  ].join("\n---\n"),
);
const resolve = resolveClusterName(snapshot);

describe("resolveClusterName", () => {
  it.each([
    ["web.shop", "10.96.0.1"],
    ["web.shop.svc", "10.96.0.1"],
    ["web.shop.svc.cluster.local", "10.96.0.1"],
    ["WEB.shop.svc.cluster.local.", "10.96.0.1"],
    ["db.shop.svc", "10.0.0.1"],
    ["db-0.db.shop.svc.cluster.local", "10.0.0.1"],
    ["pair-1.pair.shop.svc", "10.0.0.3"],
    ["10-0-0-7.shop.pod.cluster.local", "10.0.0.7"],
    ["10-0-0-7.web.shop.svc.cluster.local", "10.0.0.7"],
    ["fd00--7.shop.pod", "fd00::7"],
  ])("knows %s as %s", (name, expected) => {
    const found = resolve(name);
    expect(found && formatAddress(found)).toBe(expected);
  });

  it.each([
    ["several pods behind a headless Service", "pair.shop.svc"],
    ["two families", "dual.shop.svc"],
    ["another namespace", "web.default"],
    ["a name outside", "web.shop.svc.example.com"],
    ["a host outside", "www.example.com"],
    ["a bare name", "web"],
    ["nothing", ""],
    ["an unknown pod", "db-9.db.shop.svc"],
    ["a pod name that is no address", "db-0.shop.pod"],
    ["too many labels", "a.b.c.shop.svc"],
  ])("does not guess: %s", (_, name) => {
    expect(resolve(name)).toBeUndefined();
  });

  it("chooses by family when the packet's is known", () => {
    const found = [resolve("dual.shop", 4), resolve("dual.shop", 6), resolve("web.shop", 6)];
    expect(found.map((one) => one && formatAddress(one))).toEqual([
      "10.96.0.2",
      "fd00:96::2",
      undefined,
    ]);
  });
});
