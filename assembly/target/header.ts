// TTL, HL, TOS and DSCP: fields of the IP header that later rules see changed.
// Source: Linux, xt_HL.c, xt_DSCP.c.
import { KNOWN_TOS, KNOWN_TTL, TTL_DECREMENT, TTL_SET } from "../layout";
import { walk } from "../walk";

/** Sets, lowers or raises the TTL; it stays within 0 and 255. */
export function applyTtl(payload: usize): void {
  const how: u32 = load<u8>(payload);
  const value: u32 = load<u8>(payload, 1);
  if (how == TTL_SET) walk.known |= KNOWN_TTL;
  if (how == TTL_SET) walk.ttl = value;
  else if (how == TTL_DECREMENT) walk.ttl = walk.ttl > value ? walk.ttl - value : 0;
  else walk.ttl = walk.ttl + value > 255 ? 255 : walk.ttl + value;
}

/** tos = (tos & ~mask) ^ value. */
export function applyTos(payload: usize): void {
  const mask: u32 = load<u8>(payload, 1);
  if (mask == 0xff) walk.known |= KNOWN_TOS;
  walk.tos = (walk.tos & ~mask) ^ load<u8>(payload);
}
