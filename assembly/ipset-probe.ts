// What a set looks at in a packet: fills `probe` with the fields that a rule's flags pick.
// Source: Linux, ip_set_getport.c, ip_set_hash_*.c, ip_set_bitmap_*.c, the _kadt() functions; kernel lab.
import { inInterfaceFor } from "./arrival";
import { outInterfaceFor } from "./departure";
import { IpSet, probe, SetEntry, setProbe } from "./ipset-records";
import {
  KNOWN_ICMP,
  LINK_ETHERNET,
  PACKET_LATER_FRAGMENT,
  REASON_MASQUERADED,
  REASON_NO_ICMP,
  REASON_NO_MAC,
  REASON_NOT_MODELLED,
  SET_BITMAP,
  SET_FIELD_A,
  SET_FIELD_B,
  SET_FIELD_IFACE,
  SET_FIELD_MAC,
  SET_FIELD_MARK,
  SET_FIELD_PORT,
  SET_NO_ZERO,
  SET_ONLY_TCP_UDP,
  SIDE_SRC,
} from "./layout";
import { hasPorts } from "./protocol";
import { knowsPorts, portReason, Walk, walk } from "./walk";

/** The packet has nothing that the set could hold. */
export const PROBE_NO: u32 = 0;
export const PROBE_FILLED: u32 = 1;
/** A field is not known: `probeReason` says why. */
export const PROBE_UNKNOWN: u32 = 2;

/** REASON_* of the field that is not known. */
export let probeReason: u32 = 0;

const SRC: usize = changetype<usize>(walk) + offsetof<Walk>("src0");
const DST: usize = changetype<usize>(walk) + offsetof<Walk>("dst0");

/** Tells whether a set looks at such packets with so many flags. */
export function isAsked(set: IpSet, flags: usize): bool {
  // > Fewer flags than the set has dimensions, or another family: not in the set.
  if (load<u8>(flags) < <u8>set.dimensions) return false;
  return set.family == 0 || set.family == walk.family;
}

/**
 * Fills `probe`, with full addresses.
 *
 * @param flags address of how many, then of the side of each, u8 each
 * @returns one of PROBE_*
 */
export function fillProbe(set: IpSet, flags: usize, rule: i32): u32 {
  setProbe();
  const whole: u8 = walk.family == 4 ? 32 : 128;
  let dimension: usize = 1;
  if ((set.fields & SET_FIELD_A) != 0) {
    const src = load<u8>(flags + dimension) == SIDE_SRC;
    if (src && walk.srcHidden) return unknown(REASON_MASQUERADED);
    const at = src ? SRC : DST;
    dimension++;
    probe.a0 = load<u32>(at) & set.mask0;
    probe.a1 = load<u32>(at, 4) & set.mask1;
    probe.a2 = load<u32>(at, 8) & set.mask2;
    probe.a3 = load<u32>(at, 12) & set.mask3;
    probe.bitsA = whole;
    const zero = (probe.a0 | probe.a1 | probe.a2 | probe.a3) == 0;
    if (zero && (set.flags & SET_NO_ZERO) != 0) return PROBE_NO;
    const bitmap = (set.flags & SET_BITMAP) != 0;
    if (bitmap && (load<u32>(at) < set.low || load<u32>(at) > set.high)) return PROBE_NO;
  }
  if ((set.fields & SET_FIELD_PORT) != 0) {
    const src = load<u8>(flags + dimension) == SIDE_SRC;
    dimension++;
    const outcome = fillPort(set, src);
    if (outcome != PROBE_FILLED) return outcome;
  }
  if ((set.fields & SET_FIELD_B) != 0) {
    memory.copy(
      changetype<usize>(probe) + offsetof<SetEntry>("b0"),
      load<u8>(flags + dimension) == SIDE_SRC ? SRC : DST,
      16,
    );
    probe.bitsB = whole;
    dimension++;
  }
  if ((set.fields & SET_FIELD_MARK) != 0) {
    if ((walk.markUnknown & set.markMask) != 0) return unknown(REASON_NOT_MODELLED);
    probe.word = walk.mark & set.markMask;
  }
  if ((set.fields & SET_FIELD_MAC) != 0) return fillMac(load<u8>(flags + dimension) == SIDE_SRC);
  if ((set.fields & SET_FIELD_IFACE) != 0) {
    const src = load<u8>(flags + dimension) == SIDE_SRC;
    probe.word = src ? inInterfaceFor(rule) : outInterfaceFor(rule);
    if (probe.word == 0) return PROBE_NO;
  }
  return PROBE_FILLED;
}

function unknown(reason: u32): u32 {
  probeReason = reason;
  return PROBE_UNKNOWN;
}

function fillPort(set: IpSet, src: bool): u32 {
  const protocol = walk.protocol;
  const icmp = walk.family == 4 ? protocol == 1 : protocol == 58;
  const numbered = hasPorts(protocol);
  const bitmap = (set.flags & SET_ONLY_TCP_UDP) != 0;
  if (bitmap && protocol != 6 && protocol != 17) return PROBE_NO;
  if ((numbered || icmp) && (walk.flags & PACKET_LATER_FRAGMENT) != 0) return PROBE_NO;
  if (!bitmap) probe.protocol = <u8>protocol;
  if (numbered) {
    if (walk.transportLength < headerSize(protocol)) return PROBE_NO;
    if (!knowsPorts(!src)) return unknown(portReason());
    probe.port = <u16>(src ? walk.sport : walk.dport);
  } else if (icmp) {
    if (walk.transportLength < 8) return PROBE_NO;
    if ((walk.known & KNOWN_ICMP) == 0) return unknown(REASON_NO_ICMP);
    probe.port = <u16>((walk.icmpType << 8) | walk.icmpCode);
  }
  const outside = <u32>probe.port < set.low || <u32>probe.port > set.high;
  return bitmap && outside ? PROBE_NO : PROBE_FILLED;
}

function headerSize(protocol: u32): u32 {
  return protocol == 6 ? 20 : protocol == 132 ? 12 : 8;
}

function fillMac(src: bool): u32 {
  if (walk.generated) return PROBE_NO;
  if (walk.packet.linkType != LINK_ETHERNET) return unknown(REASON_NO_MAC);
  const packet = walk.packet;
  probe.word = src
    ? (<u64>packet.srcMac) | ((<u64>packet.srcMacTail) << 32)
    : (<u64>packet.dstMac) | ((<u64>packet.dstMacTail) << 32);
  return probe.word == 0 ? PROBE_NO : PROBE_FILLED;
}
