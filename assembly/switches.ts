// The node's own switches, as sysctl tells them: which interfaces forward, which sources they take, how TCP
// connections are followed. Without them: all forward, no source is checked, and the kernel's defaults.
// Source: Linux, fib_validate_source(), ip_route_input_slow(), ip6_forward(); ip-sysctl.rst.
import { inInterfaceFor } from "./arrival";
import { setUpPickUp } from "./conntrack-first";
import { ask } from "./fork";
import {
  REASON_MULTIPATH,
  REASON_NO_ROUTES,
  ROUTE_BLACKHOLE,
  ROUTE_LOCAL,
  ROUTE_MISSING,
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
let fullSourceCheck: bool = false;

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

/** Every source is looked up in the routes, even where `rp_filter` is off. */
export function setFullSourceCheck(full: bool): void {
  fullSourceCheck = full;
}

/** The IPv4 packet may come from where it says it comes from. `out`: where it would leave; 0: nowhere. */
export function isValidSource(out: u32): bool {
  const src = walk.src0;
  const strict = isOn(SWITCH_RP_STRICT);
  const off = !strict && !isOn(SWITCH_RP_LOOSE);
  // > Without routes that say more, only what the interfaces have is no source; what would be redirected is looked up.
  if (off && !fullSourceCheck && !goesBack(out)) {
    if (isOn(SWITCH_ACCEPT_LOCAL) || !isOwnAddress4(src)) return true;
    return isLoopback(inInterfaceFor(RULE_NONE));
  }
  const number = inInterfaceFor(RULE_NONE);
  if (isLoopback(number)) return true;
  const route = routeOf(4, src, 0, 0, 0);
  const kind = routeKind(route);
  if (route == ROUTE_NONE || kind == ROUTE_BLACKHOLE) return off;
  if (off && kind == ROUTE_MISSING) return true;
  if (kind == ROUTE_MISSING) return ask(QUESTION_SOURCE, REASON_NO_ROUTES, RULE_NONE);
  if (kind == ROUTE_LOCAL && !isOn(SWITCH_ACCEPT_LOCAL)) return false;
  if (kind != ROUTE_UNICAST && kind != ROUTE_LOCAL) return false;
  if (off) return true;
  if (routeIsMultipath(route)) return ask(QUESTION_SOURCE, REASON_MULTIPATH, RULE_NONE);
  if (routeInterface(route) == number) return true;
  if (strict) return false;
  // > An interface without an address takes only what it routes.
  if (addressesTold()) return hasAddress(number, 4);
  return ask(QUESTION_SOURCE, REASON_NO_ROUTES, RULE_NONE);
}

function goesBack(out: u32): bool {
  return out != 0 && isOn(SWITCH_REDIRECTS) && out == inInterfaceFor(RULE_NONE);
}
