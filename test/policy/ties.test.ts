import { describe, expect, it } from "vitest";

import type { Policy } from "../../src/policy/model.ts";
import { groupByOrder } from "../../src/policy/ties.ts";
import { block, pods, policy, port, type RuleText } from "../tables/cluster.ts";

const TIER = { name: "t", order: 1, defaultAction: "pass", tiesUndefined: true } as const;

function tied(name: string, order: number, ...ingress: RuleText[]): Policy {
  return { ...policy(`a/${name}`, { ingress }), tier: TIER, order };
}

const show = (policies: readonly Policy[]): string =>
  groupByOrder(policies, "ingress")
    .map((group) => {
      const names = (list: readonly Policy[]): string => list.map(({ ref }) => ref.name).join("+");
      return `${names(group.policies)}(${names(group.rivals)})`;
    })
    .join(" ");

describe("groupByOrder", () => {
  it("finds rivals among policies of equal order only", () => {
    const allow = tied("a", 1, { action: "allow" });
    expect(show([allow, tied("b", 2, { action: "deny" })])).toBe("a() b()");
    expect(show([allow, tied("b", 1, { action: "deny" })])).toBe("a+b(b)");
    expect(show([allow, tied("b", 1, {}), tied("c", 1, { action: "pass" })])).toBe("a+b+c(c)");
  });

  it("leaves policies alone whose order means something", () => {
    const ordered = [tied("a", 1, { action: "allow" }), tied("b", 1, { action: "deny" })];
    const tier = { name: "default", order: 1, defaultAction: "deny" } as const;
    expect(show(ordered.map((one) => ({ ...one, tier })))).toBe("a() b()");
  });

  it.each<[string, RuleText, RuleText]>([
    ["the same action", {}, {}],
    ["other ports", { ports: [port("tcp:80-81")] }, { action: "deny", ports: [port("tcp:82")] }],
    ["other protocols", { ports: [port("tcp:80")] }, { action: "deny", ports: [port("udp:80")] }],
  ])("sees no rivals in %s", (_, one, other) => {
    expect(show([tied("a", 1, one), tied("b", 1, other)])).toBe("a+b()");
  });

  it.each<[string, RuleText, RuleText]>([
    ["a port in common", { ports: [port("tcp:80-81")] }, { ports: [port("tcp:81-82")] }],
    ["a name that may be the port", { ports: [port("tcp:80")] }, { ports: [port("tcp:http")] }],
    ["addresses that pods may have", { peers: [block("10.0.0.0/8")] }, { peers: [pods("", "")] }],
  ])("sees rivals in %s", (_, one, other) => {
    expect(show([tied("a", 1, one), tied("b", 1, { ...other, action: "deny" })])).toBe("a+b(b)");
  });
});
