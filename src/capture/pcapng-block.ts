/**
 * What the blocks of pcapng are: their types, how long each may be, and the byte-order mark.
 */

export const BLOCK_INTERFACE = 1;
/** Packet Block, obsolete. */
export const BLOCK_OLD_PACKET = 2;
export const BLOCK_SIMPLE_PACKET = 3;
export const BLOCK_ENHANCED_PACKET = 6;
/** The same in both byte orders. */
export const BLOCK_SECTION = 0x0a0d0d0a;

// These hold no packets and nothing else of use here.
const BLOCK_NAME_RESOLUTION = 4;
const BLOCK_STATISTICS = 5;
const BLOCK_JOURNAL = 9;
const BLOCK_SECRETS = 10;
const BLOCK_CUSTOM = 0xbad;
const BLOCK_CUSTOM_NOT_COPIED = 0x40000bad;
const PASSED_OVER: ReadonlySet<number> = new Set([
  BLOCK_NAME_RESOLUTION,
  BLOCK_STATISTICS,
  BLOCK_JOURNAL,
  BLOCK_SECRETS,
  BLOCK_CUSTOM,
  BLOCK_CUSTOM_NOT_COPIED,
]);

/** Type and total length in front, total length behind. */
export const BLOCK_OVERHEAD = 12;
/** Longest block passed over: the limit of libpcap and Wireshark. */
export const BLOCK_MAX = 1 << 24;
/** Longest block that is interpreted, all its options included; it must lie in memory as a whole. */
export const WHOLE_BLOCK_MAX = 1 << 20;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** Smallest total length of a block that is interpreted; 0 for one that is passed over. */
export function smallestLength(type: number): number {
  switch (type) {
    case BLOCK_ENHANCED_PACKET:
    case BLOCK_OLD_PACKET:
      return 32;
    case BLOCK_SIMPLE_PACKET:
      return 16;
    case BLOCK_INTERFACE:
      return 20;
    case BLOCK_SECTION:
      return 28;
    default:
      return 0;
  }
}

/** Tells whether a block that is passed over is known to hold no packet. */
export function holdsNoPacket(type: number): boolean {
  return PASSED_OVER.has(type);
}

/** Reads a byte-order mark: true for little-endian, undefined when it is none. */
export function byteOrder(view: DataView, at: number): boolean | undefined {
  if (view.getUint32(at, true) === BYTE_ORDER_MAGIC) return true;
  return view.getUint32(at, false) === BYTE_ORDER_MAGIC ? false : undefined;
}
