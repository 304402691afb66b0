/** The selectors of a policy: whom it is about, and whom its rules mean. */
import type { Place } from "../errors.ts";
import type { EndpointSelector, Policy } from "./model.ts";

/** A selector, and where faults in what it chooses are reported. */
export interface PlacedSelector {
  readonly selector: EndpointSelector;
  readonly place: Place;
}

/** All of them, the policy's subject first. */
export function selectorsOf(policy: Policy): PlacedSelector[] {
  const { subject, ref, ingress = [], egress = [] } = policy;
  const peers = [...ingress, ...egress].flatMap((rule): PlacedSelector[] => {
    if (rule.kind === "peers") {
      return (rule.peers ?? []).flatMap((peer) => (peer.kind === "pods" ? [peer] : []));
    }
    return [rule.source, rule.destination]
      .flatMap(({ selector, notSelector }) => [selector, notSelector])
      .flatMap((selector) => (selector === undefined ? [] : [{ selector, place: rule.place }]));
  });
  return [{ selector: subject, place: ref.place }, ...peers];
}
