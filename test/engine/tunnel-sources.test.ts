import { describe, expect, it } from "vitest";
import { tunnelSources } from "../../src/engine/tunnel-sources.ts";
import { formatAddress, parsePrefix } from "../../src/net/address.ts";
import type { Prefix } from "../../src/net/address.ts";
import type { IpSet, Ruleset, Topology } from "../../src/tables/model.ts";

const prefix = (text: string): Prefix => {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`bad prefix ${text}`);
  return parsed.prefix;
};

const entries = (...nets: string[]): IpSet => ({
  ...{ kind: "entries", name: "s", type: "hash:net", family: 4 },
  entries: nets.map((net, index) => ({
    first: prefix(net),
    ...(index > 0 ? { nomatch: true } : {}),
  })),
});

const nets = (...members: string[]): IpSet => ({
  ...{ kind: "hash:net", name: "s", family: 4 },
  members: members.map(prefix),
});

describe("addresses of tunnels that no object tells", () => {
  it.each([
    ["no set", [], ["10.0.0.0"]],
    ["a set of nets", [nets("10.0.128.0/17")], ["10.0.0.0", "10.0.128.0"]],
    ["a set of entries", [entries("10.0.128.0/17")], ["10.0.0.0", "10.0.128.0"]],
    [
      "entries that are exceptions",
      [entries("10.0.0.0/16", "10.0.64.0/18")],
      ["10.0.0.0", "10.0.64.0"],
    ],
  ] as const)("are one for each part that %s tells apart", (_, sets, expected) => {
    const ruleset: Ruleset = { family: 4, backend: "legacy", tables: [], sets };
    const topology = { tunnelRanges: [prefix("10.0.0.0/16")], routes: [] } as unknown as Topology;
    const found = tunnelSources([ruleset], topology, 4).map(formatAddress);
    expect(found.sort()).toEqual([...expected]);
  });
});
