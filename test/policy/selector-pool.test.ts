import { describe, expect, it } from "vitest";
import type { LabelSelector, Requirement } from "../../src/cluster/selector.ts";
import type { LabelledPods } from "../../src/policy/model.ts";
import { SelectorPool } from "../../src/policy/selector-pool.ts";

function selector(...requirements: readonly Requirement[]): LabelSelector {
  return { requirements };
}

describe("SelectorPool", () => {
  const app = (...values: readonly string[]): Requirement => ({
    key: "app",
    operator: "In",
    values,
  });
  const noTier: Requirement = { key: "tier", operator: "DoesNotExist", values: [] };

  it("gives selectors that say the same one object", () => {
    const pool = new SelectorPool();
    const first = pool.labels(selector(app("web"), noTier));
    expect(pool.labels(selector(app("web"), noTier))).toBe(first);
    const pods = { kind: "labels", namespace: undefined, namespaceSelector: first } as const;
    const once = pool.pods({ ...pods, podSelector: first });
    expect(pool.pods({ ...pods, podSelector: first })).toBe(once);
  });

  it("keeps those apart that differ in a word", () => {
    const pool = new SelectorPool();
    const all = [
      selector(),
      selector(app("web")),
      selector(app("web", "db")),
      selector({ ...app("web"), operator: "NotIn" }),
      selector(app("web"), app("db")),
      selector(app("web"), noTier),
      selector(app("web", "tier", "DoesNotExist")),
    ];
    expect(all.map((one) => pool.labels(one))).toEqual(all);
    const [nobody, web] = all;
    const pods = { kind: "labels", namespaceSelector: nobody, podSelector: web } as const;
    const inShop = pool.pods({ ...pods, namespace: "shop" });
    const others: readonly LabelledPods[] = [
      { ...pods, namespace: undefined },
      { ...pods, namespace: "shop", namespaceSelector: web },
      { ...pods, namespace: "shop", namespaceSelector: undefined },
      { ...pods, namespace: "shop", podSelector: nobody },
    ];
    for (const other of others) expect(pool.pods(other)).toBe(other);
    expect(pool.pods({ ...pods, namespace: "shop" })).toBe(inShop);
  });
});
