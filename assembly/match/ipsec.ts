// `-m esp`, `ah` and `ipcomp`. Source: Linux, xt_esp.c, ipt_ah.c, ip6t_ah.c, xt_ipcomp.c: a later fragment
// never matches, negated or not; a header that is too short drops the packet.
import { ask } from "../fork";
import {
  AH_INVERT_LENGTH,
  AH_RESERVED,
  MATCH_HEADER_SIZE,
  PACKET_LATER_FRAGMENT,
  REASON_NO_PAYLOAD,
} from "../layout";
import { transportBytes } from "../payload";
import { walk } from "../walk";
import { extensionHeader, headerAbsence, HEADER_AUTHENTICATION, isWhole } from "./extension-header";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

const ESP_SIZE: u32 = 8;
const SPI_SIZE: u32 = 4;
const AH_SIZE: u32 = 12;
const AH_SPI: u32 = 4;
const IPCOMP_SIZE: u32 = 4;
const IPCOMP_INDEX: u32 = 2;

export function matchEsp(match: usize, rule: i32, invert: bool): bool {
  if (!isReadable(ESP_SIZE)) return false;
  const bytes = transportBytes(SPI_SIZE);
  if (bytes == 0) return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  return isWithin(match, bswap<u32>(load<u32>(bytes))) != invert;
}

/** > Of IPv6 it is looked for among the extension headers, whatever `-p` says. */
export function matchAh(match: usize, rule: i32, invert: bool): bool {
  if (walk.family == 4) {
    if (!isReadable(AH_SIZE)) return false;
    const bytes = transportBytes(AH_SIZE);
    if (bytes == 0) return ask(<u64>match, REASON_NO_PAYLOAD, rule);
    return isWithin(match, bswap<u32>(load<u32>(bytes, AH_SPI))) != invert;
  }
  const header = extensionHeader(HEADER_AUTHENTICATION, AH_SIZE, match, rule);
  if (header == 0) return headerAbsence;
  const length: u32 = (<u32>load<u8>(header, 1) + 2) << 2;
  if (!isWhole(length)) return false;
  if (isWithin(match, bswap<u32>(load<u32>(header, AH_SPI))) == invert) return false;
  const wanted = load<u32>(match, PAYLOAD + 8);
  const flags: u32 = load<u8>(match, PAYLOAD + 12);
  if (wanted != 0 && (length == wanted) == ((flags & AH_INVERT_LENGTH) != 0)) return false;
  return (flags & AH_RESERVED) == 0 || load<u16>(header, 2) == 0;
}

export function matchIpcomp(match: usize, rule: i32, invert: bool): bool {
  if (!isReadable(IPCOMP_SIZE)) return false;
  const bytes = transportBytes(IPCOMP_SIZE);
  if (bytes == 0) return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  return isWithin(match, bswap<u16>(load<u16>(bytes, IPCOMP_INDEX))) != invert;
}

function isReadable(size: u32): bool {
  if ((walk.flags & PACKET_LATER_FRAGMENT) != 0) return false;
  if (walk.transportLength < size) walk.hotdrop = true;
  return !walk.hotdrop;
}

function isWithin(match: usize, value: u32): bool {
  return value >= load<u32>(match, PAYLOAD) && value <= load<u32>(match, PAYLOAD + 4);
}
