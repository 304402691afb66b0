// DNAT and MASQUERADE: what a connection's addresses become.
import { NAT_PORTS, NAT_RANGE_FIRST, NAT_RANGE_FLAGS, NAT_RANGE_PORT_FIRST } from "../layout";
import { EFFECT_ACCEPT } from "../target";
import { walk } from "../walk";

/** Gives the packet a new destination. */
export function translateDestination(range: usize): u32 {
  walk.dst0 = load<u32>(range, NAT_RANGE_FIRST);
  walk.dst1 = load<u32>(range, NAT_RANGE_FIRST + 4);
  walk.dst2 = load<u32>(range, NAT_RANGE_FIRST + 8);
  walk.dst3 = load<u32>(range, NAT_RANGE_FIRST + 12);
  if ((load<u8>(range, NAT_RANGE_FLAGS) & NAT_PORTS) != 0) {
    walk.dport = load<u16>(range, NAT_RANGE_PORT_FIRST);
  }
  walk.translated = true;
  return EFFECT_ACCEPT;
}

/** Says that the packet's source becomes an address of the out-interface. */
export function masquerade(): u32 {
  walk.masqueraded = true;
  return EFFECT_ACCEPT;
}
