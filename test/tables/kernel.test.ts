/** A real iptables-restore takes our text, and iptables-save gives back exactly it. */
import { describe, expect, it } from "vitest";
import type { Match } from "../../src/match/index.ts";
import type { Family } from "../../src/net/address.ts";
import { compileCluster } from "../../src/tables/compile.ts";
import { renderIpsets } from "../../src/tables/ipset.ts";
import { renderIptables } from "../../src/tables/iptables.ts";
import type { IpSet, Rule, Ruleset } from "../../src/tables/model.ts";
import type { Target } from "../../src/target/index.ts";
import { NAT_NOTHING, natTo } from "../../src/target/nat-range.ts";
import { address, prefix } from "./cluster.ts";
import { compileObjects } from "../judge.ts";
import { makeRandom } from "../random.ts";
import { randomWorld, worldObjects } from "../random-cluster.ts";
import { canonicalSets, canonicalTables, labMissing, loadIntoKernel } from "./lab.ts";
import type { Backend } from "./lab.ts";
import { SHOP, SHOP_POLICIES } from "./small-cluster.ts";

const BACKENDS: readonly Backend[] = ["legacy", "nft"];

if (labMissing !== undefined) process.stderr.write(`the kernel is not asked: ${labMissing}\n`);

function expectRoundTrip(rulesets: readonly [Ruleset, Ruleset], backend: Backend): void {
  const given = {
    iptables: renderIptables(rulesets[0]),
    ip6tables: renderIptables(rulesets[1]),
    ipset: renderIpsets(rulesets),
  };
  const loaded = loadIntoKernel(given, backend);
  expect(loaded.iptables).toBe(canonicalTables(given.iptables));
  expect(loaded.ip6tables).toBe(canonicalTables(given.ip6tables));
  expect(canonicalSets(loaded.ipset)).toEqual(canonicalSets(given.ipset));
}

describe.skipIf(labMissing !== undefined)("the kernel's tables", () => {
  it.each(BACKENDS)("are those we compile, with %s", (backend) => {
    const { rulesets } = compileCluster(SHOP, SHOP_POLICIES, { node: undefined }, (diagnostic) =>
      expect.fail(diagnostic.message),
    );
    expectRoundTrip(rulesets, backend);
  });

  it.each(BACKENDS)(
    "are those of random clusters with policies of every kind, with %s",
    (backend) => {
      for (let seed = 1; seed <= 5; seed++) {
        const drawn = { pods: 12, policies: 6, clusterPolicies: 8, ties: true, domains: true };
        const size = seed % 2 === 0 ? { ...drawn, policies: 24, grouped: true } : drawn;
        const { rulesets } = compileObjects(worldObjects(randomWorld(makeRandom(seed), size)));
        expectRoundTrip(rulesets, backend);
      }
    },
  );

  it.each(BACKENDS)("are those of nodes with host endpoints, with %s", (backend) => {
    for (let seed = 1; seed <= 4; seed++) {
      const size = { pods: 8, policies: 4, calico: 12, hostsOn: "node-1", grouped: seed % 2 === 0 };
      const objects = worldObjects(randomWorld(makeRandom(seed), size));
      expectRoundTrip(compileObjects(objects, "node-1").rulesets, backend);
    }
  });

  it.each(BACKENDS)("have every kind of match and target as we write it, with %s", (backend) => {
    expectRoundTrip([everything(4), everything(6)], backend);
  });
});

const IPV4 = { address: "10.1.2.3", prefix: "10.0.0.0/8", host: "10.0.0.1/32" };
const IPV6 = { address: "2001:db8::5", prefix: "2001:db8::/32", host: "2001:db8::1/128" };

/** Every match, plain and negated, and every target. */
function everything(family: Family): Ruleset {
  const texts = family === 4 ? IPV4 : IPV6;
  const tcp: Match = { kind: "protocol", protocol: 6, invert: false };
  const icmp: Match = { kind: "protocol", protocol: family === 4 ? 1 : 58, invert: false };
  const both = (make: (invert: boolean) => readonly Match[]): Rule[] =>
    [false, true].map((invert) => ({ matches: make(invert), target: { kind: "ACCEPT" } }));
  const rules: Rule[] = [
    ...both((invert) => [{ kind: "address", side: "src", prefix: prefix(texts.prefix), invert }]),
    ...both((invert) => [{ kind: "address", side: "dst", prefix: prefix(texts.host), invert }]),
    ...both((invert) => [{ kind: "interface", side: "in", name: "cali", wildcard: true, invert }]),
    ...both((invert) => [
      { kind: "interface", side: "out", name: "eth0", wildcard: false, invert },
    ]),
    ...[4, 6, 17, 33, 50, 132, 136, 253].flatMap((protocol) =>
      both((invert) => [{ kind: "protocol", protocol, invert }]),
    ),
    ...both((invert) => [
      { kind: "address", side: "src", prefix: prefix(texts.prefix), invert },
      { kind: "address", side: "dst", prefix: prefix(texts.host), invert: !invert },
      { kind: "interface", side: "in", name: "eth0", wildcard: false, invert },
      { kind: "interface", side: "out", name: "cali", wildcard: true, invert },
      tcp,
      { kind: "comment", text: 'it\'s "quoted" \\ and [bracketed], a -> b' },
      {
        kind: "port",
        protocol: "tcp",
        sport: { first: 5, last: 5, invert },
        dport: { first: 1, last: 0xffff, invert: false },
      },
      { kind: "multiport", side: "src", ports: [{ first: 1, last: 1 }], invert },
    ]),
    ...both((invert) => [
      { kind: "conntrack", states: ["DNAT", "UNTRACKED", "NEW", "INVALID"], invert },
      { kind: "comment", text: "single" },
    ]),
    ...both((invert) => [
      tcp,
      {
        kind: "multiport",
        side: "dst",
        ports: [
          { first: 80, last: 80 },
          { first: 8000, last: 9000 },
        ],
        invert,
      },
    ]),
    ...both((invert) => [
      tcp,
      { kind: "multiport", side: "either", ports: [{ first: 0, last: 0xffff }], invert },
    ]),
    ...both((invert) => [{ kind: "mark", value: 0x10000, mask: 0x30000, invert }]),
    ...both((invert) => [{ kind: "mark", value: 0x80000001, mask: 0xffffffff, invert }]),
    ...both((invert) => [{ kind: "set", set: `nets${family}`, flags: ["src"], invert }]),
    ...both((invert) => [{ kind: "set", set: `ports${family}`, flags: ["dst", "dst"], invert }]),
    ...both((invert) => [icmp, { kind: "icmp", family, type: 8, code: undefined, invert }]),
    ...both((invert) => [icmp, { kind: "icmp", family, type: 3, code: 4, invert }]),
    ...both((invert) => [
      {
        kind: "addrtype",
        source: undefined,
        destination: { types: ["LOCAL"], invert },
        limit: undefined,
      },
    ]),
    ...both((invert) => [
      {
        kind: "addrtype",
        source: { types: ["LOCAL"], invert },
        destination: undefined,
        limit: undefined,
      },
    ]),
    ...[1, 0.5, 0.3333333333, 0.25, 0.0001].flatMap((probability) =>
      both((invert) => [{ kind: "random", probability, invert }]),
    ),
    { matches: [], target: undefined },
  ];
  const targets: Target[] = [
    { kind: "DROP" },
    { kind: "RETURN" },
    { kind: "REJECT", with: family === 4 ? "icmp-host-prohibited" : "icmp6-adm-prohibited" },
    { kind: "MARK", value: 0x4000, mask: 0 },
    { kind: "MARK", value: 0x80000000, mask: 0xffffffff },
    { kind: "JUMP", chain: "user" },
    { kind: "GOTO", chain: "user" },
  ];
  const natTargets: Target[] = [
    { kind: "DNAT", range: natTo(address(texts.address), 8080) },
    { kind: "DNAT", range: natTo(address(texts.address), undefined) },
  ];
  const on = (chain: string, given: readonly Rule[]) =>
    ({ name: chain, policy: "ACCEPT", rules: given }) as const;
  const toRules = (given: readonly Target[]): Rule[] =>
    given.map((target) => ({ matches: [tcp], target }));
  return {
    family,
    backend: "legacy",
    tables: [
      { name: "raw", chains: [on("PREROUTING", []), on("OUTPUT", [])] },
      {
        name: "nat",
        chains: [
          on("PREROUTING", toRules(natTargets)),
          on("INPUT", []),
          on("OUTPUT", []),
          on(
            "POSTROUTING",
            toRules([
              { kind: "MASQUERADE", range: { ...NAT_NOTHING, random: "fully" } },
              { kind: "MASQUERADE", range: NAT_NOTHING },
            ]),
          ),
        ],
      },
      {
        name: "filter",
        chains: [
          on("INPUT", []),
          on("FORWARD", [...rules, ...toRules(targets)]),
          on("OUTPUT", toRules([{ kind: "REJECT", with: "tcp-reset" }])),
          { name: "user", policy: undefined, rules: [] },
        ],
      },
    ],
    sets: setsOf(family),
  };
}

function setsOf(family: Family): IpSet[] {
  const texts = family === 4 ? IPV4 : IPV6;
  return [
    {
      kind: "hash:net",
      name: `nets${family}`,
      family,
      members: [prefix(texts.prefix), prefix(texts.host)],
    },
    {
      kind: "hash:ip,port",
      name: `ports${family}`,
      family,
      members: [6, 17, 132].map((protocol) => ({
        address: address(texts.address),
        protocol,
        port: 53,
      })),
    },
    {
      kind: "hash:net",
      name: `all${family}`,
      family,
      members: [prefix(family === 4 ? "0.0.0.0/0" : "::/0")],
    },
  ];
}
