// The node's own switches, as sysctl tells them: which interfaces forward, which sources they take, how TCP
// connections are followed. Without them: all forward, no source is checked, and the kernel's defaults.
// Source: Linux, fib_validate_source(), ip_route_input_slow(), ip6_forward(); ip-sysctl.rst.
import { inInterfaceFor } from "./arrival";
import { setUpPickUp } from "./conntrack-first";
import { ask } from "./fork";
import {
  REASON_MULTIPATH,
  REASON_NO_ROUTES,
  ROUTE_ANYCAST,
  ROUTE_BLACKHOLE,
  ROUTE_BROADCAST,
  ROUTE_LOCAL,
  ROUTE_MISSING,
  ROUTE_MULTICAST,
  ROUTE_NONE,
  ROUTE_UNICAST,
  RULE_NONE,
  SWITCH_ACCEPT_LOCAL,
  SWITCH_FORWARDING,
  SWITCH_FORWARDING6,
  SWITCH_REDIRECTS,
  SWITCH_ROUTE_LOCALNET,
  SWITCH_RP_LOOSE,
  SWITCH_RP_STRICT,
  SWITCH_SOURCE_ROUTE,
} from "./layout";
import { addressesTold, hasAddress, isLoopback, isOwnAddress4 } from "./node-interface";
import { routeInterface, routeIsMultipath, routeKind, routeOf } from "./route";
import { setUpTcp } from "./tcp-track";
import { setUpWindows } from "./tcp-window";
import { walk } from "./walk";

const QUESTION_SOURCE: u64 = 1 << 47;
const ASSUMED: u32 = SWITCH_FORWARDING | SWITCH_FORWARDING6 | SWITCH_REDIRECTS;

// u8[]: SWITCH_* bits by interface number; 0 until they are told.
let interfaces: usize = 0;
// All interfaces have the same.
let alike: bool = true;
let looksUpAlways: bool = false;
let looksUpUnlessOn: bool = false;

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

/** Source routes are taken. Source: Linux, IN_DEV_SOURCE_ROUTE(). */
export function takesSourceRoutes(): bool {
  return isOn(SWITCH_SOURCE_ROUTE);
}

/**
 * Says where sources are looked up in the routes even if `rp_filter` is off.
 *
 * @param always   wherever a packet goes, as routes have realms
 * @param unlessOn where `accept_local` is not on, as routes make local what no interface has
 */
export function setSourceLookUp(always: bool, unlessOn: bool): void {
  looksUpAlways = always;
  looksUpUnlessOn = unlessOn;
}

/** The IPv4 packet may come from where it says it comes from. `out`: where it would leave; 0: nowhere. */
export function isValidSource(out: u32): bool {
  const strict = isOn(SWITCH_RP_STRICT);
  if (!strict && !isOn(SWITCH_RP_LOOSE)) return isUnfilteredSource(out);
  const number = inInterfaceFor(RULE_NONE);
  if (isLoopback(number)) return true;
  const route = routeOf(4, walk.src0, 0, 0, 0);
  const kind = routeKind(route);
  if (route == ROUTE_NONE || kind == ROUTE_BLACKHOLE) return false;
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

// With `rp_filter` off: what an interface has is no source, nor is by the routes what no host has.
function isUnfilteredSource(out: u32): bool {
  const kind = routeKind(routeOf(4, walk.src0, 0, 0, 0));
  const accepts = isOn(SWITCH_ACCEPT_LOCAL);
  if (kind == ROUTE_LOCAL && accepts) return true;
  const odd = kind == ROUTE_LOCAL || kind == ROUTE_BROADCAST || isSentOnly(kind);
  if (!odd) return true;
  const lookedUp = looksUpAlways || (looksUpUnlessOn && !accepts) || goesBack(out);
  if (!lookedUp && !isOwnAddress4(walk.src0)) return true;
  return isLoopback(inInterfaceFor(RULE_NONE));
}

/** A kind of IPv4 route that is for what is sent only. */
export function isSentOnly(kind: u32): bool {
  return kind == ROUTE_ANYCAST || kind == ROUTE_MULTICAST;
}

function goesBack(out: u32): bool {
  return out != 0 && isOn(SWITCH_REDIRECTS) && out == inInterfaceFor(RULE_NONE);
}
