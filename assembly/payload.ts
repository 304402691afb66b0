// The bytes of the packet under way that rules look at, where the capture has them.
import { changedHeader } from "./changed-header";
import { walk } from "./walk";

/** Address of the transport header, as it is now, when at least this many bytes of it were captured; else 0. */
export function transportBytes(size: u32): usize {
  const packet = walk.packet;
  if (walk.changedSize != 0 && size <= walk.changedSize) return changedHeader;
  if (packet.transport == 0 || packet.transport > packet.end) return 0;
  return packet.end - packet.transport >= size ? <usize>packet.transport : 0;
}

/** Address of the IP header when at least this many bytes from there on were captured; else 0. */
export function networkBytes(size: u32): usize {
  const packet = walk.packet;
  if (packet.network == 0) return 0;
  return packet.end - packet.network >= size ? <usize>packet.network : 0;
}
