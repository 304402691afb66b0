import { describe, expect, it } from "vitest";

import { load } from "../cluster/load.ts";

const policy = (name: string, namespace: string): string =>
  `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: ${name}, namespace: ${namespace}}, spec: {podSelector: {}}}`;

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
