/**
 * Policies that choose pods by labels of which the manifests do not tell the value: those that controllers give the
 * pods of a workload that has none here. Whether they choose them is not known, and they are refused.
 */
import type { SelectorExpression } from "../cluster/selector-expression.ts";
import { endpointName, type Endpoint, type OpenLabel, type Snapshot } from "../cluster/snapshot.ts";
import { formatPlace, type OnDiagnostic } from "../errors.ts";
import { formatPolicyRef, type EndpointSelector, type Policy } from "./model.ts";
import { selectorsOf } from "./policy-selectors.ts";
import { selectsEndpoint } from "./selects.ts";

/** Reports UNKNOWN_LABEL, an error, for each selector that chooses pods by what is not known of them. */
export function refuseOpenLabels(
  policies: readonly Policy[],
  snapshot: Snapshot,
  onDiagnostic: OnDiagnostic,
): void {
  if (policies.length === 0) return;
  const workloads = snapshot.endpoints.filter(({ openLabels }) => openLabels !== undefined);
  if (workloads.length === 0) return;
  const keys = new Set(workloads.flatMap(({ openLabels = NONE }) => [...openLabels.keys()]));
  for (const policy of policies) {
    for (const { selector, place } of selectorsOf(policy)) {
      const asked = labelsAsked(selector).filter(({ key }) => keys.has(key));
      if (asked.length === 0) continue;
      for (const workload of workloads) {
        const key = openKey(selector, workload, { asked, snapshot });
        if (key === undefined) continue;
        const { kind, place: where } = workload;
        onDiagnostic({
          severity: "error",
          code: "UNKNOWN_LABEL",
          message: `${formatPolicyRef(policy.ref)} chooses pods by the label ${key}, which their controller gives the pods of ${kind} ${endpointName(workload)} (${formatPlace(where)}), and the value is not known: give the pods, too`,
          place,
        });
        break;
      }
    }
  }
}

const NONE: ReadonlyMap<string, OpenLabel> = new Map();

/** A label that a selector asks for, and with which value; without: whether it is there. */
interface AskedLabel {
  readonly key: string;
  readonly values: readonly string[];
  /** Parts of values are asked for, too. */
  readonly parts: boolean;
}

/** The first label on whose value it hangs whether a workload's pods are chosen. */
function openKey(
  selector: EndpointSelector,
  workload: Endpoint,
  { asked, snapshot }: { readonly asked: readonly AskedLabel[]; readonly snapshot: Snapshot },
): string | undefined {
  const { openLabels = NONE, labels } = workload;
  const own = [...new Set(asked.map(({ key }) => key))].filter((key) => openLabels.has(key));
  let worlds: ReadonlyMap<string, string>[] = [labels];
  for (const key of own) {
    const label = openLabels.get(key) ?? {};
    const wanted = asked.filter((one) => one.key === key);
    // Several parts may go together in a value that none of them names.
    if (label.values === undefined && wanted.filter(({ parts }) => parts).length > 1) return key;
    const values = valuesOf(label, wanted);
    worlds = worlds.flatMap((world) => values.map((value) => new Map(world).set(key, value)));
    // So many values that nobody asks for them.
    if (worlds.length > WORLDS_MAX) return key;
  }
  const chosen = worlds.map((world) =>
    selectsEndpoint(selector, { ...workload, labels: world }, snapshot),
  );
  return chosen.includes(true) && chosen.includes(false) ? own[0] : undefined;
}

const WORLDS_MAX = 10_000;

/** Values that a label may have, as far as the selector tells them apart: one stands for all that it does not name. */
function valuesOf({ values, form }: OpenLabel, asked: readonly AskedLabel[]): readonly string[] {
  if (values !== undefined) return values;
  const named = asked.flatMap((one) =>
    one.values.filter((value) => one.parts || form === undefined || form.test(value)),
  );
  return [...new Set(named), OTHER];
}

/** No label has it. */
const OTHER = "\u0000";

function labelsAsked(selector: EndpointSelector): AskedLabel[] {
  if (selector.kind === "expression") return labelsExpressed(selector.expression);
  const { requirements = [] } = selector.podSelector ?? {};
  return requirements.map(({ key, values }) => ({ key, values, parts: false }));
}

function labelsExpressed(expression: SelectorExpression): AskedLabel[] {
  switch (expression.kind) {
    case "all":
    case "global":
      return [];
    case "has":
      return [{ key: expression.label, values: [], parts: false }];
    case "compare": {
      const { label, operator, value } = expression;
      return [{ key: label, values: [value], parts: operator !== "==" && operator !== "!=" }];
    }
    case "in":
      return [{ key: expression.label, values: [...expression.values], parts: false }];
    case "not":
      return labelsExpressed(expression.operand);
    case "and":
    case "or":
      return expression.operands.flatMap(labelsExpressed);
  }
}
