/** What policyTypes and empty lists do that their author may not have meant. */
import { isRecord } from "../cluster/fields.ts";
import type { ManifestObject } from "../cluster/manifest-object.ts";
import type { FieldPath } from "../cluster/manifest-object.ts";
import { formatPolicyRef, groupWord } from "../policy/model.ts";
import type { Direction, Policy } from "../policy/model.ts";
import { DIRECTIONS, valueAt } from "./context.ts";
import type { LintContext } from "./context.ts";
import type { Finding } from "./finding.ts";
import { endpointsCover } from "./inclusion.ts";

const TYPE: Readonly<Record<Direction, string>> = { ingress: "Ingress", egress: "Egress" };

/** Finds TYPES_OMITTED, RULES_IGNORED and EGRESS_CLOSED. */
export function* lintPolicyTypes(context: LintContext): Generator<Finding> {
  for (const policy of context.policies) {
    const object = context.objectOf(policy.ref);
    if (object === undefined) continue;
    const calico = groupWord(policy.ref) === "projectcalico.org";
    const key = calico ? "types" : "policyTypes";
    const types = valueAt(object, ["spec", key]);
    const listed = Array.isArray(types) && types.length > 0 ? types : undefined;
    if (listed === undefined) {
      if (!calico) yield* typesOmitted(policy, object);
      continue;
    }
    for (const direction of DIRECTIONS) {
      if (listed.includes(TYPE[direction]) || listOf(object, direction).length === 0) continue;
      yield {
        code: "RULES_IGNORED",
        severity: "warning",
        message: `${formatPolicyRef(policy.ref)}: its ${direction} rules are ignored, as ${key} does not name ${TYPE[direction]}`,
        place: object.placeOf(["spec", direction], "key"),
        suggestion: `add ${TYPE[direction]} to ${key}`,
      };
    }
    yield* egressClosed(policy, object, context);
  }
}

/** > If no policyTypes are specified on a NetworkPolicy then by default Ingress will always be set. */
function* typesOmitted(policy: Policy, object: ManifestObject): Generator<Finding> {
  if (policy.egress === undefined || policy.egress.length === 0) return;
  if (policy.ingress === undefined || policy.ingress.length > 0) return;
  // An empty list of rules says that nothing may come in.
  if (valueAt(object, ["spec", "ingress"]) !== undefined) return;
  yield {
    code: "TYPES_OMITTED",
    severity: "warning",
    message: `${formatPolicyRef(policy.ref)} has rules for egress only, and closes ingress, too: without policyTypes it is for both`,
    place: object.placeOf(["spec", "egress"], "key"),
    suggestion: "write policyTypes: [Egress]",
  };
}

/** Nothing may go out that was not asked for, unless another policy lets it. */
function* egressClosed(
  policy: Policy,
  object: ManifestObject,
  { policies, index }: LintContext,
): Generator<Finding> {
  if (policy.egress?.length !== 0 || (policy.ingress ?? []).length === 0) return;
  if (valueAt(object, ["spec", "egress"]) !== undefined) return;
  const opening = policies.filter(({ egress = [] }) =>
    egress.some(({ action }) => action === "allow"),
  );
  if (opening.some(({ subject }) => endpointsCover(subject, policy.subject))) return;
  const chosen = index.chosenBy(policy.subject);
  const opened = new Set(opening.flatMap(({ subject }) => index.chosenBy(subject)));
  if (chosen.length > 0 && chosen.every((endpoint) => opened.has(endpoint))) return;
  yield {
    code: "EGRESS_CLOSED",
    severity: "note",
    message: `${formatPolicyRef(policy.ref)} names Egress without a rule: its pods can open no connection, not even ask DNS`,
    place: policy.egressPlace,
    suggestion: "leave Egress out of policyTypes, or write egress: [] to say so",
  };
}

/** Finds EMPTY_LIST_OPENS. */
export function* lintEmptyLists(context: LintContext): Generator<Finding> {
  for (const policy of context.policies) {
    const object = context.objectOf(policy.ref);
    if (object === undefined || policy.subject.kind === "expression") continue;
    for (const direction of DIRECTIONS) {
      if (policy[direction] === undefined) continue;
      for (const [index, rule] of listOf(object, direction).entries()) {
        if (!isRecord(rule)) continue;
        const peers = direction === "ingress" ? "from" : "to";
        for (const key of [peers, "ports"]) {
          const list = rule[key];
          if (!Array.isArray(list) || list.length > 0) continue;
          const path: FieldPath = ["spec", direction, index, key];
          const means = key === "ports" ? "every port" : "everybody, inside and outside";
          yield {
            code: "EMPTY_LIST_OPENS",
            severity: "note",
            message: `${formatPolicyRef(policy.ref)} ${direction}[${index}]: the empty list ${key} means ${means}`,
            place: object.placeOf(path, "key"),
            suggestion: `leave ${key} out to say so`,
          };
        }
      }
    }
  }
}

function listOf(object: ManifestObject, direction: Direction): readonly unknown[] {
  const list = valueAt(object, ["spec", direction]);
  return Array.isArray(list) ? list : [];
}
