// The backends of Services, as a set of the addresses and ports that DNAT rules lead to.
import { key } from "./key";
import { lookup } from "./set";
import { walk } from "./walk";

/** Their table; without any it is empty. */
export let backends: usize = 0;

/** Sets their table. */
export function setUpBackends(table: usize): void {
  backends = table;
}

/** Tells whether the walk leads to a destination that is known for a backend when a packet shows it. */
export function leadsToBackend(): bool {
  key.protocol = <u8>walk.protocol;
  return isBackend(walk.dst0, walk.dst1, walk.dst2, walk.dst3, <u16>walk.dport);
}

/** Tells whether these are a backend's address and port, in the protocol of `key`. */
export function isBackend(word0: u32, word1: u32, word2: u32, word3: u32, port: u16): bool {
  return lookup(backends, word0, word1, word2, word3, key.protocol, port) >= 0;
}
