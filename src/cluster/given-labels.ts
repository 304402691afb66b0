/**
 * The labels that controllers give the pods of a workload that has none in the manifests: those whose values follow
 * from the workload, and of the others what is known of them.
 * Source: kubernetes pkg/controller: deployment, daemon, statefulset, job, cronjob.
 */
import { fieldOf, readInteger, readText, recordOf, type Field } from "./fields.ts";
import type { Labels, OpenLabel } from "./snapshot.ts";

/** Labels of the pods that a workload makes. */
export interface PodLabels {
  readonly labels: Labels;
  /** Whose values are not known; absent: none. */
  readonly openLabels?: ReadonlyMap<string, OpenLabel>;
}

/** Of more pods their labels are not listed. */
const LISTED_MAX = 100;

const POD_NAME = "statefulset.kubernetes.io/pod-name";
const POD_INDEX = "apps.kubernetes.io/pod-index";
const REVISION = "controller-revision-hash";
const JOB_NAMES = ["job-name", "batch.kubernetes.io/job-name"];
const JOB_IDENTITIES = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index";

/** Adds to the labels of a workload's template those that its controller gives. */
export function givenLabels(root: Field, written: Labels): PodLabels {
  const { kind, metadata } = root.object;
  const given = labelsOfKind(kind, root, metadata.name);
  const labels = new Map(written);
  const openLabels = new Map<string, OpenLabel>();
  for (const [key, label] of given) {
    // > A Job's are in its template once it is made.
    if (kind === "Job" && written.has(key)) continue;
    const [only, ...others] = label.values ?? [];
    labels.delete(key);
    if (only !== undefined && others.length === 0) labels.set(key, only);
    else openLabels.set(key, label);
  }
  return openLabels.size === 0 ? { labels } : { labels, openLabels };
}

/** Labels that are others for every pod, or follow from what no manifest tells. */
function labelsOfKind(kind: string, root: Field, name: string): (readonly [string, OpenLabel])[] {
  const any = {};
  const spec = recordOf(root, "spec");
  switch (kind) {
    case "Deployment":
      return [["pod-template-hash", any]];
    case "DaemonSet":
      return [
        [REVISION, any],
        ["pod-template-generation", { form: /^\d+$/ }],
      ];
    case "StatefulSet":
      return [[REVISION, { form: beginning(`${name}-`, ".") }], ...ordinalLabels(spec, name)];
    case "Job": {
      // > Who chooses the pods by hand labels them, too.
      if (fieldOf(spec, "manualSelector").value === true) return completionLabels(spec);
      const uid = readText(fieldOf(fieldOf(root, "metadata"), "uid"));
      const identity = uid === undefined ? any : { values: [uid] };
      return [
        ...JOB_NAMES.map((key) => [key, { values: [name] }] as const),
        ...JOB_IDENTITIES.map((key) => [key, identity] as const),
        ...completionLabels(spec),
      ];
    }
    case "CronJob":
      return [
        ...JOB_NAMES.map((key) => [key, { form: beginning(`${name}-`, "\\d") }] as const),
        ...JOB_IDENTITIES.map((key) => [key, any] as const),
        ...completionLabels(recordOf(recordOf(spec, "jobTemplate"), "spec")),
      ];
    default:
      // > A ReplicaSet gives none of its own.
      return [];
  }
}

function ordinalLabels(spec: Field, name: string): (readonly [string, OpenLabel])[] {
  const start = readInteger(fieldOf(recordOf(spec, "ordinals"), "start")) ?? 0;
  const count = readInteger(fieldOf(spec, "replicas"));
  // Without a number another controller may give one.
  if (count === undefined || count < 1 || count > LISTED_MAX) {
    return [
      [POD_NAME, { form: beginning(`${name}-`, "\\d") }],
      [POD_INDEX, { form: /^\d+$/ }],
    ];
  }
  const ordinals = Array.from({ length: count }, (_, index) => `${start + index}`);
  return [
    [POD_NAME, { values: ordinals.map((ordinal) => `${name}-${ordinal}`) }],
    [POD_INDEX, { values: ordinals }],
  ];
}

function completionLabels(spec: Field): (readonly [string, OpenLabel])[] {
  if (fieldOf(spec, "completionMode").value !== "Indexed") return [];
  const count = readInteger(fieldOf(spec, "completions"));
  if (count === undefined || count < 1 || count > LISTED_MAX) {
    return [[COMPLETION_INDEX, { form: /^\d+$/ }]];
  }
  return [[COMPLETION_INDEX, { values: Array.from({ length: count }, (_, index) => `${index}`) }]];
}

function beginning(text: string, then: string): RegExp {
  return new RegExp(`^${text.replace(/[^\w-]/g, "\\$&")}${then}+$`);
}
