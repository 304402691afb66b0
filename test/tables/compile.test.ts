import { describe, expect, it } from "vitest";
import type { Snapshot } from "../../src/cluster/snapshot.ts";
import type { Diagnostic } from "../../src/errors.ts";
import type { Policy } from "../../src/policy/model.ts";
import { compileCluster } from "../../src/tables/compile.ts";
import type { CompiledCluster } from "../../src/tables/compile.ts";
import { renderIpsets } from "../../src/tables/ipset.ts";
import { renderIptables } from "../../src/tables/iptables.ts";
import { RuleList } from "../../src/engine/rule-list.ts";
import { isPrinted, type Chain } from "../../src/tables/model.ts";
import { endpointChainName, vethName } from "../../src/tables/names.ts";
import { namespace, pod, policy, snapshot } from "./cluster.ts";
import { SHOP, SHOP_POLICIES } from "./small-cluster.ts";

function compile(
  cluster: Snapshot,
  policies: readonly Policy[],
  node?: string,
): CompiledCluster & { readonly diagnostics: readonly Diagnostic[] } {
  const diagnostics: Diagnostic[] = [];
  const compiled = compileCluster(cluster, policies, { node }, (one) => diagnostics.push(one));
  return { ...compiled, diagnostics };
}

/** The chain's rules, without the words that are the same on every line. */
function chainText(compiled: CompiledCluster, chain: string): string[] {
  return renderIptables(compiled.rulesets[0])
    .split("\n")
    .filter((line) => line.startsWith(`-A ${chain} `))
    .map((line) => line.replace(`-A ${chain} `, "").replace(/-m comment --comment "[^"]*" /, ""));
}

const toWorkload = (name: string): string => endpointChainName("ingress", vethName("shop", name));
const fromWorkload = (name: string): string => endpointChainName("egress", vethName("shop", name));

describe("compileCluster", () => {
  it("asks the policies of an isolated endpoint by name, and drops what none allows", () => {
    expect(chainText(compile(SHOP, SHOP_POLICIES), toWorkload("web-0"))).toEqual([
      "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      "-m conntrack --ctstate INVALID -j DROP",
      "-j MARK --set-xmark 0x0/0x30000",
      "-j MARK --set-xmark 0x0/0x20000",
      "-m mark --mark 0x0/0x20000 -j cali-pi-_qBmoA25_YxJ3antHvtt",
      "-m mark --mark 0x10000/0x10000 -j RETURN",
      "-m mark --mark 0x0/0x20000 -j cali-pi-knp/shop/web-ingress",
      "-m mark --mark 0x10000/0x10000 -j RETURN",
      "-m mark --mark 0x0/0x20000 -j DROP",
      "-j cali-pri-kns.shop",
      "-m mark --mark 0x10000/0x10000 -j RETURN",
      "-j cali-pri-ksa.shop.default",
      "-m mark --mark 0x10000/0x10000 -j RETURN",
      "-j DROP",
    ]);
  });

  it("asks tier after tier, and drops at the end of those whose default is to deny", () => {
    const first = SHOP_POLICIES.find(({ ref }) => ref.name === "default-deny");
    const others = SHOP_POLICIES.filter((one) => one !== first);
    const tier = (name: string, order: number, defaultAction: "deny" | "pass"): Policy => {
      return { ...first!, ref: { ...first!.ref, name }, tier: { name, order, defaultAction } };
    };
    const policies = [
      ...others,
      tier("late", Infinity, "deny"),
      tier("b", 5, "pass"),
      tier("a", 5, "deny"),
    ];
    const rules = chainText(compile(SHOP, policies), toWorkload("web-0"));
    const tierOf = (chain: string): string[] => [
      "-j MARK --set-xmark 0x0/0x20000",
      `-m mark --mark 0x0/0x20000 -j cali-pi-knp/shop/${chain}`,
      "-m mark --mark 0x10000/0x10000 -j RETURN",
    ];
    const drop = "-m mark --mark 0x0/0x20000 -j DROP";
    expect(rules.slice(3, -5)).toEqual([
      ...tierOf("a"),
      drop,
      ...tierOf("b"),
      ...tierOf("web-ingress"),
      drop,
      ...tierOf("late"),
      drop,
    ]);
  });

  it("tries other orders where the API has none, by rules that no text has", () => {
    const tier = { name: "t", order: 1, defaultAction: "pass", tiesUndefined: true } as const;
    const named = (name: string, action: "allow" | "deny"): Policy => {
      const one = policy(`shop/${name}`, { ingress: [{ action }] });
      return { ...one, tier, order: 5 };
    };
    const chainOf = (policies: readonly Policy[]): Chain =>
      compile(SHOP, policies)
        .rulesets[0].tables.flatMap(({ chains }) => chains)
        .find(({ name }) => name === toWorkload("web-0"))!;
    const agreeing = [named("a", "deny"), named("b", "deny")];
    expect(chainOf(agreeing).rules.every(isPrinted)).toBe(true);
    const tied = [named("a", "deny"), named("b", "allow")];
    const chain = chainOf(tied);
    expect(chain.rules.filter((rule) => !isPrinted(rule))).toHaveLength(6);
    expect(chainText(compile(SHOP, tied), toWorkload("web-0"))).toEqual(
      chainText(compile(SHOP, agreeing), toWorkload("web-0")),
    );
    const list = new RuleList(compile(SHOP, tied).rulesets);
    const { chains, firsts } = list.tables.find(({ name }) => name === "filter")!;
    const first = firsts[chains.findIndex(({ name }) => name === chain.name)]!;
    const numbers = chain.rules.flatMap((rule, index) =>
      isPrinted(rule) ? [list.find(first + index)!.number] : [],
    );
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  });

  it("leaves an endpoint that no policy isolates to its namespace's profile", () => {
    const compiled = compile(SHOP, []);
    expect(chainText(compiled, fromWorkload("web-0"))).toEqual([
      "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
      "-m conntrack --ctstate INVALID -j DROP",
      "-j MARK --set-xmark 0x0/0x30000",
      "-p udp -m multiport --dports 4789 -j DROP",
      "-p ipencap -j DROP",
      "-j cali-pro-kns.shop",
      "-m mark --mark 0x10000/0x10000 -j RETURN",
      "-j cali-pro-ksa.shop.default",
      "-m mark --mark 0x10000/0x10000 -j RETURN",
      "-j DROP",
    ]);
    expect(chainText(compiled, "cali-pro-kns.shop")).toEqual([
      "-j MARK --set-xmark 0x10000/0x10000",
    ]);
  });

  it("accepts what both ends' chains accepted behind kube-proxy's rules", () => {
    expect(chainText(compile(SHOP, SHOP_POLICIES), "FORWARD")).toEqual([
      "-j cali-FORWARD",
      "-m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL",
      "-j KUBE-FORWARD",
      "-m conntrack --ctstate NEW -j KUBE-SERVICES",
      "-m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES",
      "-m mark --mark 0x10000/0x10000 -j ACCEPT",
      "-j MARK --set-xmark 0x10000/0x10000",
    ]);
  });

  it("names the policies that isolate an endpoint at the drop", () => {
    const [{ tables }] = compile(SHOP, SHOP_POLICIES).rulesets;
    const chain = tables
      .flatMap((table) => table.chains)
      .find(({ name }) => name === toWorkload("web-0"));
    const drop = chain?.rules.find((rule) => rule.origin?.kind === "isolation");
    expect(drop?.target).toEqual({ kind: "DROP" });
    expect(chain?.owner).toBe("shop/web-0");
    expect(drop?.origin).toMatchObject({
      direction: "ingress",
      policies: [{ policy: { name: "default-deny" } }, { policy: { name: "web-ingress" } }],
    });
  });

  it("does not depend on the order of its input", () => {
    const reversed: Snapshot = {
      ...SHOP,
      namespaceByName: new Map([...SHOP.namespaceByName].toReversed()),
      nodeByName: new Map([...SHOP.nodeByName].toReversed()),
      endpoints: SHOP.endpoints.toReversed(),
      services: SHOP.services.toReversed(),
    };
    const forwards = compile(SHOP, SHOP_POLICIES);
    const backwards = compile(reversed, SHOP_POLICIES.toReversed());
    expect(backwards).toEqual(forwards);
  });

  it("has chains for the endpoints of the judged node only", () => {
    const compiled = compile(SHOP, SHOP_POLICIES, "n1");
    expect(chainText(compiled, toWorkload("web-0"))).not.toEqual([]);
    expect(chainText(compiled, toWorkload("web-1"))).toEqual([]);
    // The database is on the other node: its policy selects nothing here.
    expect(chainText(compiled, "cali-pi-knp/shop/db")).toEqual([]);
    expect(compiled.diagnostics).toEqual([]);
  });

  it("has members of other nodes in its sets", () => {
    const text = renderIpsets(compile(SHOP, SHOP_POLICIES, "n1").rulesets);
    expect(text).toContain(",tcp:6379");
    expect(text).toContain("10.244.2.3");
  });

  it("refuses a node that nothing names", () => {
    expect(compile(SHOP, [], "n3").diagnostics).toMatchObject([
      { severity: "error", code: "BAD_VALUE", message: expect.stringContaining("n1, n2") },
    ]);
  });

  it("warns of pods that may or may not be on the judged node", () => {
    const cluster = snapshot({
      namespaces: [namespace("a")],
      endpoints: [
        pod("a/here", { node: "n1" }),
        pod("a/somewhere"),
        pod("a/nowhere", { kind: "Job" }),
      ],
    });
    expect(compile(cluster, [], "n1").diagnostics).toMatchObject([
      { severity: "warning", message: expect.stringContaining("a/somewhere") },
    ]);
    expect(compile(cluster, []).diagnostics).toEqual([]);
  });

  it("leaves out policies that select nothing, and their sets", () => {
    const compiled = compile(SHOP, [policy("other/x", { pods: "no=one", ingress: [] })]);
    expect(renderIptables(compiled.rulesets[0])).not.toContain("other/x");
    expect(renderIpsets(compiled.rulesets)).toBe("");
  });

  it("keeps built-in chains in front and user chains sorted, as the kernel does", () => {
    const [{ tables }] = compile(SHOP, SHOP_POLICIES).rulesets;
    for (const { chains } of tables) {
      const user = chains.filter((chain) => chain.policy === undefined).map(({ name }) => name);
      expect(chains.slice(-user.length).map(({ name }) => name)).toEqual(user.toSorted());
      expect(new Set(user).size).toBe(user.length);
    }
  });
});
