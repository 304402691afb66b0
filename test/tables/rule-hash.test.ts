/** The hashes that a real node's rules have, which ours have where they are the same. */
import { describe, expect, it } from "vitest";

import { renderIptables } from "../../src/tables/iptables.ts";
import { renderHashedTables } from "../../src/tables/rule-hash.ts";
import { makeRule, ACCEPT } from "../../src/tables/rule.ts";
import type { Ruleset } from "../../src/tables/model.ts";
import { dumpText, haveDumps } from "../dump/corpus.ts";
import type { CalicoVersion } from "../../src/policy/model.ts";
import { compileObjects } from "../judge.ts";

/** Hash by table, chain and position, of the rules that have one. */
function hashesOf(text: string, chains: RegExp): string[] {
  let table = "";
  return text.split("\n").flatMap((line) => {
    if (line.startsWith("*")) table = line.slice(1);
    const [, chain = "", hash = ""] = /^-A (\S+) .*?"cali:([\w-]{16})"/.exec(line) ?? [];
    return hash !== "" && chains.test(`${table}:${chain}`) ? [`${table}:${chain} ${hash}`] : [];
  });
}

/** A node with the tunnel that the dump's node has, and what both have rules for. */
const CLUSTER = [
  {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: "a",
      annotations: {
        "projectcalico.org/IPv4VXLANTunnelAddr": "10.65.0.0",
        "projectcalico.org/IPv4IPIPTunnelAddr": "10.65.0.1",
      },
    },
    status: { addresses: [{ type: "InternalIP", address: "192.168.7.1" }] },
  },
];

function pool(spec: object): object {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "IPPool",
    metadata: { name: "pool" },
    spec: { cidr: "10.65.0.0/16", ...spec },
  };
}

/** Sets are none of the dump's: it leaves out the rules that ask for them. */
function ofOurs(objects: readonly object[], calicoVersion?: CalicoVersion): string {
  const [four] = compileObjects(objects, undefined, calicoVersion).rulesets;
  return renderHashedTables(four);
}

describe("renderHashedTables", () => {
  it.skipIf(!haveDumps())("gives the hashes of a real node's rules", () => {
    const text = ofOurs([...CLUSTER, pool({ vxlanMode: "Always" })]);
    const lines = text.split("\n").filter((line) => !line.includes("--match-set"));
    const real = hashesOf(dumpText("calico/felix/fv/cali-iptables-dump.txt"), /./);
    expect(hashesOf(lines.join("\n"), /./).toSorted()).toEqual(real.toSorted());
    expect(real).toHaveLength(57);
  });

  // Seen at a node of release 3.22.
  it.each([
    ["cali-nat-outgoing", "flqWnvo8yq4ULQLa"],
    ["cali-POSTROUTING", "SXWvdsbh4Mw7wOln"],
    ["cali-INPUT", "PajejrV4aFdkZojI _wjq-Yrma8Ly1Svo 8TZGxLWh_Eiz66wc 6McIeIDvPdL6PE1T"],
    ["cali-OUTPUT", "Mq1_rAdXXH3YkrzW 69FkRTJDvD5Vu6Vl AnEsmO6bDZbQntWW 9e9Uf3GU5tX--Lxy"],
  ])("gives those of %s with IPIP and outgoing NAT, by an older release", (chain, hashes) => {
    const spec = { ipipMode: "Always", natOutgoing: true };
    const text = ofOurs([...CLUSTER, pool(spec)], { minor: 22 });
    const ours = hashesOf(text, new RegExp(`:${chain}$`)).map((line) => line.split(" ")[1]);
    expect(ours).toEqual(expect.arrayContaining(hashes.split(" ")));
  });

  it("leaves the rules of others alone", () => {
    const rules = [makeRule({ target: ACCEPT })];
    const ruleset: Ruleset = {
      family: 4,
      backend: "legacy",
      tables: [{ name: "filter", chains: [{ name: "KUBE-FORWARD", policy: undefined, rules }] }],
      sets: [],
    };
    expect(renderHashedTables(ruleset)).toBe(renderIptables(ruleset));
  });
});
