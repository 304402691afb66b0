// Tuples of which a capture shows packets behind a translation that the rules did not let them come to. Their
// connections have begun in the capture: what answers them belongs to none from before.
import { copyBytes, sameAddress, zeros } from "./bytes";
import { flowsMax } from "./flow-rows";
import { key, Key, sameEnds, tupleHash } from "./key";
import { SHARE_FULL } from "./layout";
import { Packet } from "./records";
import { needWhole } from "./share";
import { keyOfPacket } from "./tracking";

const PLACES_MIN: u32 = 1 << 6;

let places: usize = 0;
let placeCount: u32 = 0;
let taken: u32 = 0;

/** Notes the packet's tuple, in both directions; as many as flows are counted. */
export function noteRefusedSight(packet: Packet): void {
  if (isRefusedSight(packet)) return;
  if (taken == flowsMax()) {
    needWhole(SHARE_FULL);
    return;
  }
  if (taken >= placeCount >> 1) grow();
  keyOfPacket(packet);
  copyBytes(changetype<usize>(placeOf(key)), changetype<usize>(key), offsetof<Key>());
  taken++;
}

/** The packet's tuple was noted, in either direction. */
export function isRefusedSight(packet: Packet): bool {
  if (taken == 0) return false;
  keyOfPacket(packet);
  return placeOf(key).family != 0;
}

// Where a tuple is, or would be.
function placeOf(tuple: Key): Key {
  let at = tupleHash(tuple);
  while (true) {
    const place = placeAt(places, at & (placeCount - 1));
    if (place.family == 0 || isSame(place, tuple)) return place;
    at++;
  }
}

function placeAt(base: usize, place: u32): Key {
  return changetype<Key>(base + <usize>place * offsetof<Key>());
}

function isSame(place: Key, tuple: Key): bool {
  if (place.family != tuple.family || place.protocol != tuple.protocol) return false;
  return sameEnds(place, tuple) || isTurned(place, tuple);
}

function isTurned(place: Key, tuple: Key): bool {
  if (place.sport != tuple.dport || place.dport != tuple.sport) return false;
  const here = changetype<usize>(place);
  const there = changetype<usize>(tuple);
  return sameAddress(here, there + 16) && sameAddress(here + 16, there);
}

function grow(): void {
  const before = places;
  const countBefore = placeCount;
  placeCount = max(PLACES_MIN, countBefore << 1);
  places = zeros(<usize>placeCount * offsetof<Key>());
  for (let index: u32 = 0; index < countBefore; index++) {
    const place = placeAt(before, index);
    if (place.family == 0) continue;
    copyBytes(changetype<usize>(placeOf(place)), changetype<usize>(place), offsetof<Key>());
  }
}
