// The chain of IPv6 extension headers: where it ends and which protocol is behind it.
// Follows Linux: ipv6_find_hdr() for packets, ipv6_skip_exthdr() for what ICMPv6 errors quote.

// Extension headers (IANA protocol numbers; linux/ipv6.h, ipv6_ext_hdr()). ESP ends a chain: what it
// covers cannot be read.
export const EXTENSION_HOP_BY_HOP: u32 = 0;
const EXTENSION_ROUTING: u32 = 43;
const EXTENSION_FRAGMENT: u32 = 44;
const EXTENSION_AUTHENTICATION: u32 = 51;
const EXTENSION_DESTINATION: u32 = 60;

// Every extension header (RFC 6564, section 4).
const NEXT_HEADER: u32 = 0;
/** In units of 8 bytes, without the first 8; AH: in units of 4, without the first 8. */
const LENGTH: u32 = 1;
const PREFIX_SIZE: u32 = 2;

// Fragment header (RFC 8200, section 4.5).
const FRAGMENT_OFFSET: u32 = 2;
const FRAGMENT_ID: u32 = 4;
const FRAGMENT_SIZE: u32 = 8;

/** What ipv6_find_hdr() reads of a routing header. */
const ROUTING_SIZE: u32 = 4;

/** Linux has no limit; past this one the protocol is unknown (reliability, nested headers). */
const HEADERS_MAX: u32 = 16;

// What `walkChain` returns.
/** The transport header is at `chainOffset`, be it captured or not. */
export const CHAIN_WHOLE: u32 = 0;
/** A later fragment: its bytes are at `chainOffset`, without a transport header. */
export const CHAIN_LATER_FRAGMENT: u32 = 1;
/** Beyond the snap length, or longer than this walk. */
export const CHAIN_CUT: u32 = 2;
/** The header at `chainOffset` runs beyond the packet. */
export const CHAIN_BROKEN: u32 = 3;

// Where the last walk ended. Globals, since a function returns one value and nothing is allocated.
export let chainOffset: u32 = 0;
/** An extension header's number when the walk did not come to its end. */
export let chainProtocol: u32 = 0;
export let chainHasFragment: bool = false;
export let chainHasAuthentication: bool = false;
/** Offset and M flag as the header has them. */
export let chainFragment: u32 = 0;
export let chainFragmentId: u32 = 0;

/** Tells whether a next-header value is an extension header that the walk goes through. */
export function isExtension(next: u32): bool {
  return (
    next == EXTENSION_HOP_BY_HOP ||
    next == EXTENSION_ROUTING ||
    next == EXTENSION_FRAGMENT ||
    next == EXTENSION_AUTHENTICATION ||
    next == EXTENSION_DESTINATION
  );
}

/**
 * Walks the extension headers behind an IPv6 header; leaves its result in `chainOffset` and the others.
 *
 * @param next     the IPv6 header's next-header value
 * @param at       address behind the IPv6 header
 * @param captured bytes there
 * @param wire     bytes that were there on the wire, up to the packet's end
 * @returns one of CHAIN_*
 */
export function walkChain(next: u32, at: usize, captured: u32, wire: u32): u32 {
  chainHasFragment = false;
  chainHasAuthentication = false;
  let offset: u32 = 0;
  let headers: u32 = 0;
  while (true) {
    chainOffset = offset;
    chainProtocol = next;
    if (!isExtension(next)) return CHAIN_WHOLE;
    if (headers == HEADERS_MAX) return CHAIN_CUT;
    headers++;
    // offset <= wire, by the check behind the size.
    if (wire - offset < PREFIX_SIZE) return CHAIN_BROKEN;
    if (offset > captured || captured - offset < PREFIX_SIZE) return CHAIN_CUT;
    const header = at + offset;
    const following = <u32>load<u8>(header, NEXT_HEADER);
    let size: u32;
    if (next == EXTENSION_FRAGMENT) {
      size = FRAGMENT_SIZE;
      if (wire - offset < size) return CHAIN_BROKEN;
      if (captured - offset < size) return CHAIN_CUT;
      chainHasFragment = true;
      chainFragment = <u32>bswap<u16>(load<u16>(header, FRAGMENT_OFFSET));
      chainFragmentId = bswap<u32>(load<u32>(header, FRAGMENT_ID));
      if ((chainFragment & 0xfff8) != 0) {
        chainOffset = offset + size;
        chainProtocol = following;
        return CHAIN_LATER_FRAGMENT;
      }
    } else if (next == EXTENSION_AUTHENTICATION) {
      chainHasAuthentication = true;
      // RFC 4302, section 2.2.
      size = (<u32>load<u8>(header, LENGTH) + 2) << 2;
    } else {
      if (next == EXTENSION_ROUTING && wire - offset < ROUTING_SIZE) return CHAIN_BROKEN;
      size = (<u32>load<u8>(header, LENGTH) + 1) << 3;
    }
    if (wire - offset < size) {
      // ipv6_find_hdr() does not look at the size, so `-p` still sees what follows.
      chainProtocol = following;
      return CHAIN_BROKEN;
    }
    offset += size;
    next = following;
  }
}

/**
 * Walks the extension headers of a quoted packet, of which the error holds the start only: their first
 * bytes are all that is looked at, and the transport header may lie beyond the quote's end.
 *
 * Source: Linux, ipv6_skip_exthdr().
 *
 * @param there bytes of the quote behind its IPv6 header
 * @returns one of CHAIN_*; CHAIN_CUT: longer than this walk
 */
export function walkQuote(next: u32, at: usize, there: u32): u32 {
  let offset: u32 = 0;
  for (let headers: u32 = 0; headers <= HEADERS_MAX; headers++) {
    chainOffset = offset;
    chainProtocol = next;
    if (!isExtension(next)) return CHAIN_WHOLE;
    const fragment = next == EXTENSION_FRAGMENT;
    const needed: u32 = fragment ? FRAGMENT_ID : PREFIX_SIZE;
    if (offset + needed > there) return CHAIN_BROKEN;
    const header = at + offset;
    const length = <u32>load<u8>(header, LENGTH);
    if (fragment) {
      if ((bswap<u16>(load<u16>(header, FRAGMENT_OFFSET)) & 0xfff8) != 0)
        return CHAIN_LATER_FRAGMENT;
      offset += FRAGMENT_SIZE;
    } else offset += next == EXTENSION_AUTHENTICATION ? (length + 2) << 2 : (length + 1) << 3;
    next = <u32>load<u8>(header, NEXT_HEADER);
  }
  return CHAIN_CUT;
}
