/** Labels that Calico adds, in Kubernetes' selectors. */
import { describe, expect, it } from "vitest";
import { refuseAddedLabels } from "../../src/policy/added-labels.ts";
import { lowerPolicies } from "../../src/policy/index.ts";
import { parseManifests } from "../../src/cluster/manifest.ts";

function refusals(spec: string, version = "networking.k8s.io/v1"): string[] {
  const text = `{apiVersion: ${version}, kind: NetworkPolicy, metadata: {name: p, namespace: a}, spec: {${spec}}}`;
  const said: string[] = [];
  const policies = lowerPolicies(
    parseManifests([{ file: "p.yaml", text }], () => {}),
    ({ message }) => said.push(message),
  );
  refuseAddedLabels(policies, ({ code, message }) => said.push(`${code} ${message}`));
  return said;
}

const from = (selector: string): string => `podSelector: {}, ingress: [{from: [{${selector}}]}]`;

describe("a NetworkPolicy that chooses by a label which Calico adds", () => {
  it("is refused, and the other way to say it is named", () => {
    expect(refusals(from("namespaceSelector: {matchLabels: {projectcalico.org/name: b}}"))).toEqual(
      [
        "UNSUPPORTED_FEATURE NetworkPolicy a/p chooses by the label projectcalico.org/name, which Calico itself adds: not modelled in Kubernetes' selectors (a namespaceSelector with kubernetes.io/metadata.name means the same)",
      ],
    );
    for (const key of ["serviceaccount", "namespace", "orchestrator"]) {
      const label = `podSelector: {matchLabels: {projectcalico.org/${key}: x}}`;
      expect(refusals(label)).toHaveLength(1);
      expect(refusals(from(label))).toHaveLength(1);
    }
    expect(refusals(from("podSelector: {matchLabels: {pcns.team: x}}"))).toHaveLength(1);
  });

  it("is none where the label is somebody else's", () => {
    expect(refusals(from("namespaceSelector: {matchLabels: {team: b}}"))).toEqual([]);
    expect(refusals("podSelector: {matchLabels: {projectcalico.org/name: b}}")).toEqual([]);
    const own = "selector: \"projectcalico.org/serviceaccount == 'x'\", ingress: [{action: Allow}]";
    expect(refusals(own, "projectcalico.org/v3")).toEqual([]);
  });
});
