import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { homeGroup, isCalico, isNamespaced, kindRole } from "../../src/cluster/kinds.ts";
import type { Diagnostic } from "../../src/errors.ts";
import { DIALECTS } from "../../src/policy/dialects.ts";
import { POLICY_KINDS } from "../../src/policy/index.ts";
import type { PolicyKind } from "../../src/policy/kind.ts";
import { SelectorPool } from "../../src/policy/selector-pool.ts";
import { Tiers } from "../../src/policy/tier.ts";
import { load } from "../cluster/load.ts";

const policy = (name: string, namespace: string): string =>
  `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: ${name}, namespace: ${namespace}}, spec: {podSelector: {}}}`;

describe("POLICY_KINDS", () => {
  const kinds = POLICY_KINDS.map((each) => [each.apiVersion, each.kind, each] as const);

  it.each(kinds)("has %s %s in a file of its own, which every other layer knows", (...given) => {
    const [apiVersion, kind, each] = given;
    const words = kind.replace(/(?<=[a-z])(?=[A-Z])/g, "-").toLowerCase();
    const calico = isCalico(apiVersion) ? "calico-" : "";
    const file = join(import.meta.dirname, `../../src/policy/${calico}${words}.ts`);
    expect(readFileSync(file, "utf8")).toMatch(/^export const \w+: (readonly )?PolicyKind\b/m);
    expect(kindRole(apiVersion, kind)).toBe("policy");
    const name = nameOf(each);
    expect(DIALECTS.calico.kinds).toContain(name);
    // An object without a rule or an error is a policy, in a namespace or not as the cluster layer says.
    const spec = SPECS[name] ?? {};
    const namespace = isNamespaced(kind) ? { namespace: "shop" } : {};
    const object = { apiVersion, kind, metadata: { name: "default", ...namespace }, spec };
    const { objects } = load(JSON.stringify(object));
    const said: string[] = [];
    const onDiagnostic = ({ message }: Diagnostic): void => void said.push(message);
    const tiers = new Tiers(objects, "ignore", onDiagnostic);
    const context = { onDiagnostic, tiers, selectors: new SelectorPool() };
    const policies = objects.map((one) => each.lower(one, context));
    expect(said).toEqual([]);
    expect(policies).toMatchObject([{ ref: { name: "default", ...namespace } }]);
  });

  it("has every kind that policies are named by", () => {
    const names = POLICY_KINDS.map(nameOf);
    expect([...new Set(names)].sort()).toEqual([...DIALECTS.calico.kinds].sort());
  });

  function nameOf({ apiVersion, kind }: PolicyKind): string {
    return `${homeGroup(apiVersion, kind)} ${kind}`;
  }

  /** What a spec cannot do without. */
  const SUBJECT = { subject: { namespaces: {} } };
  const SPECS: Readonly<Record<string, object>> = {
    "networking.k8s.io NetworkPolicy": { podSelector: {} },
    "projectcalico.org StagedKubernetesNetworkPolicy": { podSelector: {} },
    "policy.networking.k8s.io AdminNetworkPolicy": { ...SUBJECT, priority: 1 },
    "policy.networking.k8s.io BaselineAdminNetworkPolicy": SUBJECT,
    "policy.networking.k8s.io ClusterNetworkPolicy": { ...SUBJECT, tier: "Admin", priority: 1 },
  };
});

describe("lowerPolicies", () => {
  it("orders policies by namespace and name, not by file", () => {
    const objects = [policy("b", "y"), policy("a", "y"), policy("c", "x"), policy("B", "y")];
    for (const text of [objects.join("\n---\n"), objects.toReversed().join("\n---\n")]) {
      expect(load(text).policies.map(({ ref }) => `${ref.namespace}/${ref.name}`)).toEqual([
        "x/c",
        "y/B",
        "y/a",
        "y/b",
      ]);
    }
  });

  it.each([
    [
      "policy.networking.k8s.io/v1alpha1",
      "ClusterNetworkPolicy",
      " (did you mean apiVersion policy.networking.k8s.io/v1alpha2?)",
    ],
    [
      "policy.networking.k8s.io/v1alpha2",
      "ClusterNetworkPolcy",
      ' (did you mean "ClusterNetworkPolicy"?)',
    ],
    ["cilium.io/v2", "CiliumNetworkPolicy", ""],
    ["cilium.io/v2", "CiliumClusterwideNetworkPolicy", ""],
    [
      "crd.antrea.io/v1beta1",
      "ClusterNetworkPolicy",
      " (did you mean apiVersion policy.networking.k8s.io/v1alpha2?)",
    ],
    ["extensions/v1beta1", "NetworkPolicy", " (did you mean apiVersion networking.k8s.io/v1?)"],
  ])("refuses %s %s, which it cannot judge", (apiVersion, kind, suggestion) => {
    const { policies, said } = load(
      `${policy("a", "x")}\n---\napiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: p}\nspec: {}\n`,
    );
    expect(policies).toHaveLength(1);
    expect(said).toEqual([
      `a.yaml:4:7: error: ${kind} of ${apiVersion} is a policy that is not judged: no verdict would be right without it${suggestion} [UNSUPPORTED_KIND]`,
    ]);
  });

  it.each([
    ["projectcalico.org/v3", "BGPPeer"],
    ["policy/v1", "PodDisruptionBudget"],
  ])("leaves %s %s to the list of what is not read", (apiVersion, kind) => {
    const { said } = load(`{apiVersion: ${apiVersion}, kind: ${kind}, metadata: {name: p}}`);
    expect(said).toEqual([
      `a.yaml:1:1: warning: 1 object of kind ${kind} (${apiVersion}) not read [FOREIGN_KIND]`,
    ]);
  });
});
