// `-m addrtype`: what the local routing table says of an address. Source: Linux, xt_addrtype.c; kernel lab.
import { inInterfaceFor } from "../arrival";
import { attempt } from "../attempt";
import { isHere } from "../entry-node";
import {
  ADDRTYPE_ANYCAST,
  ADDRTYPE_BROADCAST,
  ADDRTYPE_INVERT_DST,
  ADDRTYPE_INVERT_SRC,
  ADDRTYPE_LIMIT_IN,
  ADDRTYPE_LIMIT_OUT,
  ADDRTYPE_LOCAL,
  ADDRTYPE_MULTICAST,
  ADDRTYPE_UNICAST,
  ADDRTYPE_UNREACHABLE,
  ADDRTYPE_UNSPEC,
  MATCH_HEADER_SIZE,
  ROUTE_ANYCAST,
  ROUTE_BLACKHOLE,
  ROUTE_BROADCAST,
  ROUTE_LOCAL,
  ROUTE_NONE,
} from "../layout";
import { isRealNode, localRouteOf, routeInterface, routeKind, routeOf } from "../route";
import { Walk, walk } from "../walk";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const SRC: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const DST: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");

/** Both ends are of the kinds asked for. */
export function matchAddrtype(match: usize, rule: i32): bool {
  const source: u32 = load<u16>(match, PAYLOAD);
  const destination: u32 = load<u16>(match, PAYLOAD + 2);
  const flags: u32 = load<u8>(match, PAYLOAD + 4);
  let device: u32 = 0;
  if ((flags & ADDRTYPE_LIMIT_IN) != 0) device = inInterfaceFor(rule);
  if ((flags & ADDRTYPE_LIMIT_OUT) != 0) device = walk.outInterface;
  if (source != 0 && isOf(SRC, source, device) == ((flags & ADDRTYPE_INVERT_SRC) != 0))
    return false;
  if (destination == 0) return true;
  return isOf(DST, destination, device) != ((flags & ADDRTYPE_INVERT_DST) != 0);
}

function isOf(address: usize, types: u32, device: u32): bool {
  if (!isRealNode()) {
    const source = address == SRC;
    const route = source ? attempt.srcRoute : attempt.dstRoute;
    const local = (source ? walk.srcLocal : walk.dstLocal) && isHere(route);
    return (types & (local ? ADDRTYPE_LOCAL : ADDRTYPE_UNICAST)) != 0;
  }
  return walk.family == 4
    ? isOf4(load<u32>(address), types, device)
    : isOf6(address, types, device);
}

// Source: Linux, inet_dev_addr_type().
function isOf4(word: u32, types: u32, device: u32): bool {
  if (word == 0 || word == 0xffffffff) return (types & ADDRTYPE_BROADCAST) != 0;
  if (word >> 28 == 0xe) return (types & ADDRTYPE_MULTICAST) != 0;
  const route = localRouteOf(word);
  const kind = routeKind(route);
  if (route == ROUTE_NONE || (device != 0 && routeInterface(route) != device)) {
    return (types & ADDRTYPE_UNICAST) != 0;
  }
  if (kind == ROUTE_LOCAL) return (types & ADDRTYPE_LOCAL) != 0;
  return (types & (kind == ROUTE_BROADCAST ? ADDRTYPE_BROADCAST : ADDRTYPE_UNICAST)) != 0;
}

// > The kinds that the address itself shows must all hold, then those that routes show.
function isOf6(address: usize, types: u32, device: u32): bool {
  const word0 = load<u32>(address);
  const multicast = word0 >> 24 == 0xff;
  const unspecified =
    (word0 | load<u32>(address, 4) | load<u32>(address, 8) | load<u32>(address, 12)) == 0;
  if ((types & ADDRTYPE_MULTICAST) != 0 && !multicast) return false;
  if ((types & ADDRTYPE_UNICAST) != 0 && (multicast || unspecified)) return false;
  if ((types & ADDRTYPE_UNSPEC) != 0 && !unspecified) return false;
  const routed = types & (ADDRTYPE_LOCAL | ADDRTYPE_ANYCAST | ADDRTYPE_UNREACHABLE);
  if (routed == 0) return true;
  const found = routeOf(
    6,
    word0,
    load<u32>(address, 4),
    load<u32>(address, 8),
    load<u32>(address, 12),
  );
  const kind = routeKind(found);
  let type: u32 = 0;
  if (found == ROUTE_NONE || kind == ROUTE_BLACKHOLE) type = ADDRTYPE_UNREACHABLE;
  else if (kind == ROUTE_ANYCAST) type = ADDRTYPE_ANYCAST;
  else if (kind == ROUTE_LOCAL && (device == 0 || routeInterface(found) == device))
    type = ADDRTYPE_LOCAL;
  return (routed & type) != 0;
}
