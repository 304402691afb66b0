/** Which policies select which of the endpoints that are compiled for. */
import type { Endpoint } from "../cluster/snapshot.ts";
import type { Direction, Policy } from "../policy/model.ts";
import type { RouterPod } from "./kube-router.ts";

/** An endpoint that has chains, and its interface. */
export interface LocalEndpoint {
  readonly endpoint: Endpoint;
  readonly interfaceName: string;
}

/** The policies that select an endpoint in a direction, in their order. */
export interface Selection extends LocalEndpoint {
  readonly direction: Direction;
  readonly policies: readonly Policy[];
}

/** The policies that select each endpoint and apply to this direction. */
export function selectionsOf(
  local: readonly LocalEndpoint[],
  selected: ReadonlyMap<Policy, readonly Endpoint[]>,
  direction: Direction,
): Selection[] {
  const selections = new Map(
    local.map(({ endpoint, interfaceName }) => {
      const policies: Policy[] = [];
      return [endpoint, { endpoint, interfaceName, direction, policies }];
    }),
  );
  for (const [policy, endpoints] of selected) {
    if (!appliesTo(policy, direction)) continue;
    for (const endpoint of endpoints) selections.get(endpoint)?.policies.push(policy);
  }
  return [...selections.values()];
}

/** The policies that select each pod, by name. */
export function routerPods(
  local: readonly LocalEndpoint[],
  selected: ReadonlyMap<Policy, readonly Endpoint[]>,
): RouterPod[] {
  const pods = new Map(
    local.map(({ endpoint }) => {
      const policies: Policy[] = [];
      return [endpoint, { endpoint, policies }];
    }),
  );
  for (const [policy, endpoints] of selected) {
    for (const endpoint of endpoints) pods.get(endpoint)?.policies.push(policy);
  }
  return [...pods.values()];
}

/** Tells whether a policy is asked about what endpoints send or get. */
export function appliesTo(policy: Policy, direction: Direction): boolean {
  return policy[direction] !== undefined && !isForHostsOnly(policy);
}

/** Before translation, and without following connections, Felix asks host endpoints' policies only. */
function isForHostsOnly({ host }: Policy): boolean {
  return host === "pre-dnat" || host === "untracked";
}
