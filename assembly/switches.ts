// The node's own switches, as sysctl tells them: which interfaces forward, which sources they take, how TCP
// connections are followed. Without them: all forward, no source is checked, and the kernel's defaults.
// Source: Linux, fib_validate_source(), ip_route_input_slow(), ip6_forward(); ip-sysctl.rst.
import { inInterfaceFor } from "./arrival";
import { setUpPickUp } from "./conntrack-first";
import { ask } from "./fork";
import {
  REASON_MULTIPATH,
  REASON_NO_ROUTES,
  ROUTE_LOCAL,
  ROUTE_MISSING,
  ROUTE_NONE,
  ROUTE_UNICAST,
  RULE_NONE,
  SWITCH_ACCEPT_LOCAL,
  SWITCH_FORWARDING,
  SWITCH_FORWARDING6,
  SWITCH_ROUTE_LOCALNET,
  SWITCH_RP_LOOSE,
  SWITCH_RP_STRICT,
} from "./layout";
import { addressesTold, hasAddress, isLoopback } from "./node-interface";
import { localRouteOf, routeInterface, routeIsMultipath, routeKind, routeOf } from "./route";
import { setUpTcp } from "./tcp-track";
import { setUpWindows } from "./tcp-window";
import { walk } from "./walk";

const QUESTION_SOURCE: u64 = 1 << 47;
const ASSUMED: u32 = SWITCH_FORWARDING | SWITCH_FORWARDING6;

// u8[]: SWITCH_* bits by interface number; 0 until they are told.
let interfaces: usize = 0;
// All interfaces have the same.
let alike: bool = true;

/** Sets how TCP connections are followed (net.netfilter.nf_conntrack_tcp_*). */
export function setTcpSwitches(
  liberal: bool,
  loose: bool,
  ignoreInvalidResets: bool,
  retransmissionsMax: u32,
): void {
  setUpWindows(liberal);
  setUpPickUp(loose);
  setUpTcp(ignoreInvalidResets, retransmissionsMax);
}

/** Sets the SWITCH_* bits by interface number. */
export function setInterfaceSwitches(bytes: usize, count: u32): void {
  interfaces = bytes;
  for (let number: u32 = 1; number < count; number++) {
    if (load<u8>(bytes + <usize>number) != load<u8>(bytes)) alike = false;
  }
}

function isOn(bits: u32): bool {
  return (switched() & bits) != 0;
}

function switched(): u32 {
  if (interfaces == 0) return ASSUMED;
  return load<u8>(interfaces + <usize>(alike ? 0 : inInterfaceFor(RULE_NONE)));
}

/** What arrives there may be forwarded. */
export function forwards(): bool {
  return isOn(walk.family == 4 ? SWITCH_FORWARDING : SWITCH_FORWARDING6);
}

/** 127.0.0.0/8 is an address like others. */
export function routesLocalnet(): bool {
  return isOn(SWITCH_ROUTE_LOCALNET);
}

/** The IPv4 packet may come from where it says it comes from. */
export function isValidSource(): bool {
  const src = walk.src0;
  const strict = isOn(SWITCH_RP_STRICT);
  if (!strict && !isOn(SWITCH_RP_LOOSE)) {
    const own = localRouteOf(src);
    if (own == ROUTE_NONE) return true;
    // > Of the local table only the node's own addresses may be accepted, not those to all of a subnet.
    if (routeKind(own) == ROUTE_LOCAL && isOn(SWITCH_ACCEPT_LOCAL)) return true;
    return isLoopback(inInterfaceFor(RULE_NONE));
  }
  const number = inInterfaceFor(RULE_NONE);
  if (isLoopback(number)) return true;
  const route = routeOf(4, src, 0, 0, 0);
  const kind = routeKind(route);
  if (route == ROUTE_NONE) return false;
  if (kind == ROUTE_MISSING) return ask(QUESTION_SOURCE, REASON_NO_ROUTES, RULE_NONE);
  if (kind == ROUTE_LOCAL && !isOn(SWITCH_ACCEPT_LOCAL)) return false;
  if (kind != ROUTE_UNICAST && kind != ROUTE_LOCAL) return false;
  if (routeIsMultipath(route)) return ask(QUESTION_SOURCE, REASON_MULTIPATH, RULE_NONE);
  if (routeInterface(route) == number) return true;
  if (strict) return false;
  // > An interface without an address takes only what it routes.
  if (addressesTold()) return hasAddress(number, 4);
  return ask(QUESTION_SOURCE, REASON_NO_ROUTES, RULE_NONE);
}
