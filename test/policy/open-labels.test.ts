/** Labels that controllers give the pods of workloads that have none in the manifests. */
import { describe, expect, it } from "vitest";

import { formatDiagnostic } from "../../src/errors.ts";
import { lowerPolicies } from "../../src/policy/index.ts";
import { refuseOpenLabels } from "../../src/policy/open-labels.ts";
import { parseManifests } from "../../src/cluster/manifest.ts";
import { load } from "../cluster/load.ts";

const workload = (kind: string, spec: string, labels = "{app: x}"): string => {
  const template = `template: {metadata: {labels: ${labels}}, spec: {containers: []}}`;
  const inner = kind === "CronJob" ? `jobTemplate: {spec: {${spec}${template}}}` : spec + template;
  const group = kind.endsWith("Job") ? "batch/v1" : "apps/v1";
  return `{apiVersion: ${group}, kind: ${kind}, metadata: {name: db, namespace: a}, spec: {${inner}}}`;
};

/** The labels of the workload's pods: exact ones, and keys of which the value is open. */
function labelsOf(yaml: string): string[] {
  const [endpoint] = load(yaml).snapshot.endpoints;
  return [
    ...[...(endpoint?.labels ?? [])].map(([key, value]) => `${key}=${value}`),
    ...(endpoint?.openLabels?.keys() ?? []),
  ];
}

/** Whether a policy that chooses pods so is refused, as subject and as peer. */
function refused(yaml: string, selector: string, calico = false): boolean {
  const spec = calico
    ? [`selector: "${selector}", ingress: [{action: Allow}]`]
    : [
        `podSelector: {${selector}}`,
        `podSelector: {}, ingress: [{from: [{podSelector: {${selector}}}]}]`,
      ];
  const version = calico ? "projectcalico.org/v3" : "networking.k8s.io/v1";
  const answers = spec.map((each) => {
    const text = `{apiVersion: ${version}, kind: NetworkPolicy, metadata: {name: p, namespace: a}, spec: {${each}}}`;
    const said: string[] = [];
    const policies = lowerPolicies(
      parseManifests([{ file: "p.yaml", text }], () => {}),
      (one) => said.push(one.message),
    );
    expect(said).toEqual([]);
    refuseOpenLabels(policies, load(yaml).snapshot, (one) => said.push(formatDiagnostic(one)));
    return said.length > 0;
  });
  expect(new Set(answers).size).toBe(1);
  return answers[0] === true;
}

describe("labels of workloads without pods", () => {
  it("are there where their values follow", () => {
    expect(labelsOf(workload("Job", ""))).toEqual([
      "app=x",
      "job-name=db",
      "batch.kubernetes.io/job-name=db",
      "controller-uid",
      "batch.kubernetes.io/controller-uid",
    ]);
    expect(labelsOf(workload("StatefulSet", "replicas: 1, ordinals: {start: 3}, "))).toEqual([
      "app=x",
      "statefulset.kubernetes.io/pod-name=db-3",
      "apps.kubernetes.io/pod-index=3",
      "controller-revision-hash",
    ]);
    expect(labelsOf(workload("Deployment", "", "{pod-template-hash: old}"))).toEqual([
      "pod-template-hash",
    ]);
    expect(labelsOf(workload("ReplicaSet", "", "{pod-template-hash: mine}"))).toEqual([
      "pod-template-hash=mine",
    ]);
    expect(labelsOf(workload("DaemonSet", ""))).toEqual([
      "app=x",
      "controller-revision-hash",
      "pod-template-generation",
    ]);
    // As an API server has it.
    expect(labelsOf(workload("Job", "", "{job-name: db, controller-uid: u}"))).toEqual([
      "job-name=db",
      "controller-uid=u",
      "batch.kubernetes.io/job-name=db",
      "batch.kubernetes.io/controller-uid",
    ]);
  });

  it("make a policy refused that hangs on a value", () => {
    const deployment = workload("Deployment", "");
    const hash = "matchLabels: {pod-template-hash: abc}";
    expect(refused(deployment, hash)).toBe(true);
    expect(refused(deployment, "matchLabels: {app: y, pod-template-hash: abc}")).toBe(false);
    expect(
      refused(deployment, "matchExpressions: [{key: pod-template-hash, operator: Exists}]"),
    ).toBe(false);
    expect(refused(workload("ReplicaSet", ""), hash)).toBe(false);
    const name = (...names: string[]): string =>
      `matchExpressions: [{key: statefulset.kubernetes.io/pod-name, operator: In, values: [${names.join()}]}]`;
    const three = workload("StatefulSet", "replicas: 3, ");
    expect(refused(three, name("db-0"))).toBe(true);
    expect(refused(three, name("db-0", "db-1", "db-2"))).toBe(false);
    expect(refused(three, name("db-3"))).toBe(false);
    expect(refused(workload("StatefulSet", ""), name("db-3"))).toBe(true);
    expect(refused(workload("StatefulSet", ""), name("web-3"))).toBe(false);
    expect(refused(workload("StatefulSet", "replicas: 1, "), name("db-0"))).toBe(false);
    expect(refused(workload("Job", ""), "matchLabels: {job-name: db}")).toBe(false);
    expect(refused(workload("CronJob", ""), "matchLabels: {job-name: db-28}")).toBe(true);
    expect(refused(workload("CronJob", ""), "matchLabels: {job-name: db}")).toBe(false);
    const indexed = workload("Job", "completionMode: Indexed, completions: 2, ");
    const index = "batch.kubernetes.io/job-completion-index";
    expect(refused(indexed, `matchLabels: {${index}: "1"}`)).toBe(true);
    expect(refused(indexed, `matchLabels: {${index}: "2"}`)).toBe(false);
  });

  it("are asked for in Calico's words, too", () => {
    const deployment = workload("Deployment", "");
    expect(refused(deployment, "pod-template-hash contains 'a'", true)).toBe(true);
    expect(refused(deployment, "has(pod-template-hash)", true)).toBe(false);
    expect(refused(deployment, "app == 'x' || pod-template-hash == 'a'", true)).toBe(false);
  });
});
