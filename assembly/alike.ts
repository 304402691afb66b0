// What was said of packets that are alike but for the client's port, at which their walks did not look: a client's
// connections to one service. (Lengths, numbers and MAC addresses may differ, too: a walk that looks at them is volatile.)
// It is a cache: places are taken over by others, and what is not found is walked.
import { alignedLines, copyAddresses, sameAddress } from "./bytes";
import { NODE_REPLY, NODE_REPLY_SEEN } from "./entry-tuples";
import { key } from "./key";
import { mix } from "./set";

/** Packets between two addresses, to or from one port of the server, as they are seen in one manner. */
@unmanaged
export class Alike {
  src0: u64;
  src1: u64;
  dst0: u64;
  dst1: u64;
  manner: u32;
  /** The kind of the node by which they are met, or WAY_FIRST. */
  way: u16;
  port: u16;
  /** Address of what was said; 0: nothing. */
  saying: u32;
  /** 1: it holds only where no connection has the tuple of the answers. */
  ifFree: u32;
  unused0: u64;
  unused1: u64;
}

if (offsetof<Alike>() != 64) ERROR("an Alike is one cache line");

/** They begin connections. */
export const WAY_FIRST: u32 = 7;

const PLACES: u32 = 1 << 14;
const SIZE: usize = <usize>PLACES * offsetof<Alike>();

let places: usize = 0;
// u32 for each place: the hash that was met there last. Traffic in which none comes again touches nothing else.
let met: usize = 0;

/** Prepares an empty cache. */
export function setUpAlike(): void {
  places = alignedLines(SIZE);
  memory.fill(places, 0, SIZE);
  met = alignedLines((<usize>PLACES) << 2);
  memory.fill(met, 0, (<usize>PLACES) << 2);
}

/** What is kept of packets like that of `key`; null where nothing is. */
export function findAlike(manner: u32, way: u32): Alike | null {
  const hash = hashOf(way);
  if (load<u32>(metAt(hash)) != hash) return null;
  const alike = placeAt(hash);
  return alike.saying != 0 && isWanted(alike, manner, way) ? alike : null;
}

/** Tells whether packets like that of `key` were met before, and notes that one is. */
export function isMetAgain(way: u32): bool {
  const hash = hashOf(way);
  const at = metAt(hash);
  if (load<u32>(at) == hash) return true;
  store<u32>(at, hash);
  return false;
}

/** The place for what is said of packets like that of `key`. */
export function placeForAlike(manner: u32, way: u32): Alike {
  const alike = placeAt(hashOf(way));
  if (isWanted(alike, manner, way)) return alike;
  copyAddresses(changetype<usize>(alike), changetype<usize>(key));
  alike.manner = manner;
  alike.way = <u16>way;
  alike.port = serverPort(way);
  return alike;
}

function isWanted(alike: Alike, manner: u32, way: u32): bool {
  if (alike.manner != manner || alike.way != <u16>way || alike.port != serverPort(way))
    return false;
  const here = changetype<usize>(alike);
  const there = changetype<usize>(key);
  return sameAddress(here, there) && sameAddress(here + 16, there + 16);
}

// What answers, answers from the server's port.
function serverPort(way: u32): u16 {
  return way == NODE_REPLY || way == NODE_REPLY_SEEN ? key.sport : key.dport;
}

function hashOf(way: u32): u32 {
  const src = key.src0 ^ rotl<u32>(key.src1 ^ key.src2, 7) ^ key.src3;
  const dst = key.dst0 ^ rotl<u32>(key.dst1 ^ key.dst2, 7) ^ key.dst3;
  return mix(mix(src, dst), (way << 16) | serverPort(way));
}

function placeAt(hash: u32): Alike {
  return changetype<Alike>(places + <usize>(hash & (PLACES - 1)) * offsetof<Alike>());
}

function metAt(hash: u32): usize {
  return met + ((<usize>(hash & (PLACES - 1))) << 2);
}
