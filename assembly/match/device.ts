// Conditions on where the packet comes from and goes to, beside its addresses: `-m devgroup`, `-m realm`,
// `-m owner`. Source: Linux, xt_devgroup.c, xt_realm.c, xt_owner.c.
import { inInterfaceFor } from "../arrival";
import { attempt } from "../attempt";
import { outInterfaceFor } from "../departure";
import { ask } from "../fork";
import {
  HOOK_INPUT,
  HOOK_PREROUTING,
  MATCH_HEADER_SIZE,
  NUMBER_UNKNOWN,
  REASON_NO_GROUP,
  REASON_NO_ROUTES,
  REASON_NO_SOCKET,
  REASON_NOT_MODELLED,
  ROUTE_MISSING,
} from "../layout";
import { groupOf, hasGroup } from "../node-interface";
import { routeKind, routeOf, routeRealm, routeRealmIsKnown } from "../route";
import { anyBridgeCalls, callsOf, CALLS_NO } from "../stack";
import { walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const GROUP_SIZE: usize = 12;

/** Groups of the interfaces by which the packet came and goes. */
export function matchDevgroup(match: usize, rule: i32): bool {
  if (load<u8>(match, PAYLOAD) != 0 && !groupHolds(match, 0, inInterfaceFor(rule), rule)) {
    return false;
  }
  if (load<u8>(match, PAYLOAD + GROUP_SIZE) == 0) return true;
  return groupHolds(match, 1, outInterfaceFor(rule), rule);
}

function groupHolds(match: usize, side: u32, number: u32, rule: i32): bool {
  const at = match + PAYLOAD + <usize>side * GROUP_SIZE;
  if (load<u8>(at, 2) == NUMBER_UNKNOWN || !hasGroup(number)) {
    return ask((<u64>match) | side, REASON_NO_GROUP, rule);
  }
  const differing = (groupOf(number) ^ load<u32>(at, 4)) & load<u32>(at, 8);
  return (differing == 0) != (load<u8>(at, 1) != 0);
}

/**
 * The realm of the route that the packet takes: that of its destination in the lower half, that of its
 * source in the upper one. Source: Linux, rt_set_nexthop(), fib_combine_itag(), ip_route_input_slow().
 */
export function matchRealm(match: usize, rule: i32): bool {
  if (load<u8>(match, PAYLOAD + 8) == NUMBER_UNKNOWN) {
    return ask(<u64>match, REASON_NOT_MODELLED, rule);
  }
  const to = attempt.dstRoute;
  const from = walk.generated ? to : routeOf(4, walk.src0, 0, 0, 0);
  if (routeKind(to) == ROUTE_MISSING || routeKind(from) == ROUTE_MISSING) {
    return ask(<u64>match, REASON_NO_ROUTES, rule);
  }
  if (!routeRealmIsKnown(to) || !routeRealmIsKnown(from)) {
    return ask(<u64>match, REASON_NOT_MODELLED, rule);
  }
  let realm = routeRealm(to);
  if (!walk.generated) {
    const incoming = walk.hook == HOOK_INPUT || walk.hook == HOOK_PREROUTING;
    if (incoming) realm = 0;
    if (realm >> 16 == 0) realm |= routeRealm(from) << 16;
  }
  return (realm & load<u32>(match, PAYLOAD + 4)) == load<u32>(match, PAYLOAD);
}

/** > What no bridge handed to the rules has no ports: only what is all negated matches. */
export function matchPhysdev(match: usize, rule: i32): bool {
  const called = !walk.generated && anyBridgeCalls(walk.family);
  if (called && callsOf(inInterfaceFor(rule), walk.family) != CALLS_NO)
    return ask(<u64>match, REASON_NOT_MODELLED, rule);
  return load<u8>(match, PAYLOAD) != 0;
}

/** > Without a socket only what is all negated matches. */
export function matchOwner(match: usize, rule: i32): bool {
  if (walk.generated) return ask(<u64>match, REASON_NO_SOCKET, rule);
  return load<u8>(match, PAYLOAD) != 0;
}
