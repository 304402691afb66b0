import { describe, expect, it } from "vitest";
import type { TraceStep } from "../../src/engine/verdict.ts";
import type { Match } from "../../src/match/index.ts";
import { explainPacket, explanationJson } from "../../src/report/trace.ts";
import { explanationText } from "../../src/report/trace-text.ts";
import type { Rule } from "../../src/tables/model.ts";
import {
  DEFAULT_DENY,
  POLICIES,
  contextOf,
  droppedPacket,
  isolationBy,
  ruleRef,
} from "./verdicts.ts";

const isUdp: Match = { kind: "protocol", invert: false, protocol: 17 };
const fromPod: Match = {
  kind: "interface",
  invert: false,
  side: "in",
  name: "cali",
  wildcard: true,
};
const says: Match = { kind: "comment", text: "from pods" };

function step(chain: string, number: number, rule: Rule, failed?: readonly number[]): TraceStep {
  return {
    kind: "rule",
    hook: "FORWARD",
    rule: { family: 4, table: "filter", chain, owner: undefined, number, rule },
    outcome: failed === undefined ? "matched" : "not-matched",
    failed: failed ?? [],
    mark: 0,
  };
}

const open = {
  matches: [],
  target: { kind: "RETURN" },
  origin: { kind: "not-isolated", direction: "egress", namespace: "shop" },
} as const;
const drop: TraceStep = {
  kind: "rule",
  hook: "FORWARD",
  rule: ruleRef(isolationBy(DEFAULT_DENY)),
  outcome: "matched",
  failed: [],
  mark: 0x10000,
};
const misses = Array.from({ length: 20 }, (_, index) =>
  step("cali-FORWARD", 2 + index, { matches: [isUdp], target: { kind: "DROP" } }, [0]),
);
const toPods: Rule = { matches: [says, fromPod], target: { kind: "JUMP", chain: "cali-x" } };
const walk: TraceStep[] = [
  {
    kind: "table",
    hook: "FORWARD",
    table: "filter",
    chain: "FORWARD",
    mark: 0,
    ctState: "NEW",
    assumed: false,
  },
  step("FORWARD", 1, { matches: [], target: { kind: "JUMP", chain: "cali-FORWARD" } }),
  step("cali-FORWARD", 1, { ...toPods, matches: [says, fromPod, isUdp] }, [2]),
  ...misses,
  step("cali-FORWARD", 22, toPods),
  step("cali-x", 1, open),
  drop,
];
const context = { ...contextOf(POLICIES), nature: "frames" } as const;
const explanation = explainPacket(droppedPacket(), walk, context);

describe("explainPacket", () => {
  it("asks egress at the source and ingress at the destination", () => {
    expect(explanation.directions).toMatchObject([
      { direction: "egress", endpoint: "shop/checkout-6d4", outcome: "allow", points: [] },
      {
        direction: "ingress",
        endpoint: "payments/api-0",
        outcome: "drop",
        points: [{ policy: { name: "default-deny" }, rule: undefined }],
      },
    ]);
  });

  it("tells which rules passed the packet on before one decided", () => {
    const passing = {
      matches: [],
      target: { kind: "MARK", value: 0x20000, mask: 0x20000 },
      origin: {
        kind: "policy-rule",
        effect: "pass",
        policy: { ...DEFAULT_DENY, namespace: undefined, name: "guard" },
        direction: "egress",
        rule: 1,
        place: DEFAULT_DENY.place,
      },
    } as const;
    const passed = [
      ...walk.slice(0, -2),
      step("cali-po-kcnp/guard", 1, passing),
      ...walk.slice(-2),
    ];
    expect(explainPacket(droppedPacket(), passed, context).directions[0]).toMatchObject({
      outcome: "allow",
      sentence: "guard egress[1] passes it to the next tier; no policy isolates it for egress",
      points: [{ policy: { name: "guard" }, rule: 1 }],
    });
  });

  it("says what is not known where the verdict does not hang on it", () => {
    const ask = { ...step("cali-x", 1, open), outcome: "unknown" } as const;
    const asked = [...walk.slice(0, -2), ask, ...walk.slice(-1)];
    const { directions } = explainPacket(droppedPacket(), asked, context);
    expect(directions.map(({ outcome }) => outcome)).toEqual(["unknown", "drop"]);
  });

  it("leaves out the rules that try other orders", () => {
    const tie = { kind: "tie", direction: "egress", policies: [] } as const;
    const trying = step("cali-x", 1, { matches: [], target: undefined, origin: tie });
    expect(explainPacket(droppedPacket(), [...walk, trying], context).steps).toEqual(walk);
  });

  it("says of an end that the walk did not reach that it was not asked", () => {
    const cut = explainPacket(droppedPacket(), walk.slice(0, 5), context);
    expect(cut.directions.map(({ outcome }) => outcome)).toEqual(["not-asked", "not-asked"]);
  });
});

describe("explanationText", () => {
  const lines = explanationText(explanation).split("\n");

  it("opens with both ends and the verdict", () => {
    expect(lines[0]).toBe(
      "shop/checkout-6d4 (10.65.0.1) -> payments/api-0 (10.65.0.3) 8443/tcp: drop",
    );
  });

  it("indents the rules of a chain below the jump to it, with their comment behind", () => {
    const from = lines.findIndex((line) => line.startsWith("FORWARD filter"));
    expect(lines.slice(from, from + 3)).toEqual([
      "FORWARD filter, state NEW, mark 0x0",
      "  + filter:FORWARD:rule:1 -j cali-FORWARD",
      "    - filter:cali-FORWARD:rule:1 -i cali+ -p udp -j cali-x (not: -p udp) # from pods",
    ]);
  });

  it("counts the rest of a long run of rules that do not match", () => {
    expect(lines.filter((line) => line.includes("-p udp -j DROP"))).toHaveLength(5);
    expect(lines).toContain("    - 15 more that do not match");
  });
});

describe("explanationJson", () => {
  it("has every step, with what did not hold", () => {
    const data = JSON.parse(explanationJson(explanation)) as { walk: object[] };
    expect(data.walk).toHaveLength(walk.length);
    expect(data.walk[2]).toMatchObject({
      rule: '-i cali+ -p udp -m comment --comment "from pods" -j cali-x',
      outcome: "not-matched",
      failed: ["-p udp"],
    });
  });
});
