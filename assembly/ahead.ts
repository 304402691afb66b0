// A glance at a frame that is decided soon.
import { endsHash } from "./flow-table";
import { LINK_ETHERNET } from "./layout";

// Ethernet and IPv4 without options, and ports behind.
const FRAME_TYPE: usize = 12;
const FRAME_VERSION: usize = 14;
const FRAME_SRC: usize = 26;
const FRAME_DST: usize = 30;
const FRAME_PORTS: usize = 34;
const FRAME_SIZE: u32 = 38;
const TYPE_IPV4: u16 = 0x0008;
const VERSION_IPV4: u8 = 0x45;

/** Hash of the frame's tuple, as the flow table has it; 0 where no guess is made. */
export function hashOfFrame(frame: usize, captured: u32, linkType: u32): u32 {
  if (captured < FRAME_SIZE || linkType != LINK_ETHERNET) return 0;
  if (load<u16>(frame, FRAME_TYPE) != TYPE_IPV4) return 0;
  if (load<u8>(frame, FRAME_VERSION) != VERSION_IPV4) return 0;
  const src = bswap<u32>(load<u32>(frame, FRAME_SRC));
  const dst = bswap<u32>(load<u32>(frame, FRAME_DST));
  return endsHash(src, dst, rotl<u32>(bswap<u32>(load<u32>(frame, FRAME_PORTS)), 16));
}
