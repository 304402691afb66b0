/** Felix's own expectations for single rules, where a Kubernetes policy can say the same. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { renderMatch } from "../../src/match/index.ts";
import type { Match } from "../../src/match/index.ts";
import type { Family } from "../../src/net/address.ts";
import { orderMatches } from "../../src/match/index.ts";
import { compilePolicyChain } from "../../src/tables/policy-chain.ts";
import { PeerMeanings, SetCollector } from "../../src/tables/sets.ts";
import { block, policy, port, snapshot } from "./cluster.ts";
import type { RuleText } from "./cluster.ts";

const VECTORS = new URL(
  "../../../shared/corpus/oracles/calico-felix-rule-render/vectors.json",
  import.meta.url,
);
const present = existsSync(VECTORS);
if (!present) process.stderr.write("Felix's vectors are not here: skipped\n");

interface Vector {
  readonly name: string;
  readonly ipVersion: Family;
  readonly rule: {
    readonly SrcNet?: readonly string[];
    readonly DstNet?: readonly string[];
    readonly DstPorts?: readonly { readonly First: number; readonly Last: number }[];
  };
  readonly expectedMatch: string;
}

/** Felix writes long options; iptables-save prints the short ones. */
function asSaved(text: string): string {
  return text
    .replace("--source ", "-s ")
    .replace("--destination ", "-d ")
    .replace("--source-ports ", "--sports ")
    .replace("--destination-ports ", "--dports ");
}

/** The policy rule that says what Felix's rule says; undefined when Kubernetes has no words for it. */
function policyRule(rule: Vector["rule"]): ["ingress" | "egress", RuleText] | undefined {
  const keys = Object.keys(rule).toSorted().join(",");
  if (keys === "") return ["ingress", {}];
  if (keys === "SrcNet") return ["ingress", { peers: rule.SrcNet!.map((net) => block(net)) }];
  if (keys === "DstNet") return ["egress", { peers: rule.DstNet!.map((net) => block(net)) }];
  if (keys === "DstPorts") {
    return [
      "ingress",
      { ports: rule.DstPorts!.map(({ First, Last }) => port(`tcp:${First}-${Last}`)) },
    ];
  }
  return undefined;
}

function vectors(): Vector[] {
  if (!present) return [];
  const document = JSON.parse(readFileSync(VECTORS, "utf8")) as { readonly cases: Vector[] };
  return document.cases.filter(({ rule }) => policyRule(rule) !== undefined);
}

describe.skipIf(!present)("compilePolicyChain", () => {
  it("finds cases that Kubernetes has words for", () => {
    expect(vectors().length).toBeGreaterThanOrEqual(5);
  });

  it.each(vectors())(
    "writes $expectedMatch as Felix does",
    ({ ipVersion, rule, expectedMatch }) => {
      const [direction, text] = policyRule(rule)!;
      const given = policy("a/p", { [direction]: [text] });
      const sets = new SetCollector(ipVersion, new PeerMeanings(snapshot({})));
      const chain = compilePolicyChain(given, direction, { family: ipVersion, sets });
      const matches: readonly Match[] = orderMatches(chain.rules[0]!.matches).filter(
        // Kubernetes ports always have a protocol; Felix's case leaves it out.
        ({ kind }) => kind !== "comment" && kind !== "protocol",
      );
      const words = matches.map((match) => renderMatch(match, ipVersion)).join(" ");
      expect(words).toBe(asSaved(expectedMatch));
    },
  );
});
