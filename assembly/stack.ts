// Interfaces that lie on each other: a bridge or a bond takes the frames of its ports, a VLAN those with its tag.
// What the IP stack and its rules see is the interface on top.
// Source: Linux, __netif_receive_skb_core(), vlan_do_receive(), br_handle_frame().
import { captureInterfaceNumber } from "./interface";
import {
  INTERFACE_LINK_ASTRAY,
  INTERFACE_LINK_BRIDGE,
  INTERFACE_LINK_CALLS4,
  INTERFACE_LINK_CALLS4_UNKNOWN,
  INTERFACE_LINK_CALLS6,
  INTERFACE_LINK_CALLS6_UNKNOWN,
  INTERFACE_LINK_STACKED,
  INTERFACE_LINK_VLANS_UNKNOWN,
  VLAN_OTHER,
} from "./layout";
import {
  hasMac,
  interfaceNumbers,
  isDestinationMac,
  isSourceMac,
  linkFlags,
  lowerInterface,
  upperInterface,
  vlanOf,
} from "./node-interface";
import { Packet } from "./records";

/** No interface takes the frame. */
export const TOP_NOBODY: u32 = 0xffffffff;
/** What takes it is not modelled, or was not told. */
export const TOP_ASTRAY: u32 = 0xfffffffe;

// > As many may lie on each other.
const LEVELS_MAX: u32 = 8;

/**
 * The interface on top of one, for frames that are seen there; TOP_NOBODY or TOP_ASTRAY.
 *
 * @param tag the frame's VLAN identifier plus one; 0: it has no tag
 */
export function topOf(number: u32, tag: u32): u32 {
  // > A tag without an identifier is none.
  let left: u32 = tag <= 1 ? 0 : tag;
  if (left == VLAN_OTHER) return TOP_ASTRAY;
  let at = number;
  for (let level: u32 = 0; level < LEVELS_MAX; level++) {
    const flags = linkFlags(at);
    if ((flags & INTERFACE_LINK_ASTRAY) != 0) return TOP_ASTRAY;
    const vlan: u32 = left == 0 ? 0 : vlanAbove(at, left);
    if (vlan != 0) {
      at = vlan;
      left = 0;
      continue;
    }
    if (left != 0 && (flags & INTERFACE_LINK_VLANS_UNKNOWN) != 0) return TOP_ASTRAY;
    const upper = upperInterface(at);
    if (upper == 0) return left == 0 ? at : TOP_NOBODY;
    at = upper;
  }
  return TOP_ASTRAY;
}

/** VLANs lie above it, or perhaps. */
export function isBelowVlans(number: u32): bool {
  if ((linkFlags(number) & INTERFACE_LINK_VLANS_UNKNOWN) != 0) return true;
  for (let other: u32 = 1; other < interfaceNumbers(); other++) {
    if (vlanOf(other) != 0 && lowerInterface(other) == number) return true;
  }
  return false;
}

function vlanAbove(lower: u32, tag: u32): u32 {
  for (let number: u32 = 1; number < interfaceNumbers(); number++) {
    if (vlanOf(number) == tag && lowerInterface(number) == lower) return number;
  }
  return 0;
}

/** Tells whether a frame that was seen at one interface without a tag, or with that of a VLAN, is then seen on top. */
export function isBelow(number: u32, top: u32): bool {
  if (topOf(number, 0) == top) return true;
  const lower = top < TOP_ASTRAY ? lowerInterface(top) : 0;
  return lower != 0 && topOf(number, 0) == topOf(lower, 0);
}

/** Another interface's frames come by this one, too. */
export function isStacked(number: u32): bool {
  return (linkFlags(number) & INTERFACE_LINK_STACKED) != 0;
}

export function isBridge(number: u32): bool {
  return number < TOP_ASTRAY && (linkFlags(number) & INTERFACE_LINK_BRIDGE) != 0;
}

/** Rules see what a bridge hands from port to port: not, perhaps, or they do. */
export const CALLS_NO: u32 = 0;
export const CALLS_UNKNOWN: u32 = 1;
export const CALLS_YES: u32 = 2;

/** One of CALLS_*, for packets of a family at a bridge; CALLS_NO where there is none. */
export function callsOf(bridge: u32, family: u32): u32 {
  if (!isBridge(bridge)) return CALLS_NO;
  const flags = linkFlags(bridge);
  const called: u32 = family == 4 ? INTERFACE_LINK_CALLS4 : INTERFACE_LINK_CALLS6;
  if ((flags & called) != 0) return CALLS_YES;
  const perhaps: u32 = family == 4 ? INTERFACE_LINK_CALLS4_UNKNOWN : INTERFACE_LINK_CALLS6_UNKNOWN;
  return (flags & perhaps) != 0 ? CALLS_UNKNOWN : CALLS_NO;
}

/** Of some bridge it is not CALLS_NO. */
export function anyBridgeCalls(family: u32): bool {
  for (let number: u32 = 1; number < interfaceNumbers(); number++) {
    if (callsOf(number, family) != CALLS_NO) return true;
  }
  return false;
}

/** The same at the bridge where a packet was seen. */
export function bridgeCalls(packet: Packet): u32 {
  const number = captureInterfaceNumber(packet.captureInterface);
  return callsOf(topOf(number, packet.vlan), packet.family);
}

/** The frame's source is an interface of the stack: the node sends it. */
export function isFromStack(number: u32, top: u32, packet: Packet): bool {
  return isSourceMac(number, packet) || (top < TOP_ASTRAY && isSourceMac(top, packet));
}

/** The frame is for the interface where it was seen, or for that on top. */
export function isForStack(number: u32, top: u32, packet: Packet): bool {
  return isDestinationMac(number, packet) || (top < TOP_ASTRAY && isDestinationMac(top, packet));
}

/** The frame is for some interface of the node. */
export function isOfNode(packet: Packet): bool {
  for (let number: u32 = 1; number < interfaceNumbers(); number++) {
    if (isDestinationMac(number, packet)) return true;
  }
  return false;
}

/** The frame is for one of the bridge's ports itself. */
export function isForPort(top: u32, packet: Packet): bool {
  for (let number: u32 = 1; number < interfaceNumbers(); number++) {
    if (!hasMac(number) || !isDestinationMac(number, packet)) continue;
    if (topOf(number, 0) == top) return true;
  }
  return false;
}
