// `-m hashlimit`: a token bucket, or a count of some seconds, for each address or port; tables are shared
// by name. Entries that nobody uses are collected some time after they expire, then begin anew.
// Source: Linux, xt_hashlimit.c; kernel lab.
import { now } from "../clock";
import { ask } from "../fork";
import { touch } from "../journal";
import {
  HASHLIMIT_BYTES,
  HASHLIMIT_COLLECT,
  HASHLIMIT_DPORT,
  HASHLIMIT_EXPIRE,
  HASHLIMIT_FLAGS,
  HASHLIMIT_INTERVAL,
  HASHLIMIT_MAX,
  HASHLIMIT_RATE,
  HASHLIMIT_RATE_ROOM,
  HASHLIMIT_RATE_SECOND,
  HASHLIMIT_REFILLS,
  HASHLIMIT_SPORT,
  HASHLIMIT_TABLE,
  HASHLIMIT_TERMS,
  KNOWN_IP_LENGTH,
  MATCH_HEADER_SIZE,
  PACKET_HAS_TIME,
  REASON_NO_HEADER,
  REASON_NO_PAYLOAD,
  REASON_NO_TIME,
  REASON_STATE,
} from "../layout";
import { sharedConflicts } from "../shared-state";
import { drawReason, walk } from "../walk";
import {
  allowance,
  Bucket,
  bucketFloor,
  bucketIdle,
  fillBucket,
  refillBucket,
  takeFromBucket,
  Terms,
  TICK_SLACK,
  touchBucket,
} from "./bucket";
import { isShort, key, takeAddresses, takePorts } from "./hashlimit-key";
import {
  addItem,
  Bin,
  binAt,
  BINS,
  COLLECT_SLACK,
  findItem,
  hashOf,
  isKnown,
  Item,
  ITEM_BUCKET,
  ITEM_STATE,
  mayBeFull,
  MILLISECOND,
  tableOf,
} from "./hashlimit-table";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
/** > The kernel counts bytes by sixteen. */
const CHUNK_SHIFT: u32 = 4;
// Milliseconds that are as good as for ever.
const LONG: u64 = 1000000000;
const BUCKET_TIME: usize = offsetof<Bucket>("fullAt");
const BUCKET_TIME_SIZE: usize = offsetof<Bucket>("usedBy") - BUCKET_TIME;

/** What the table says: not more than the limit; or more, for `--hashlimit-above`. */
export function matchHashlimit(match: usize, rule: i32, above: bool): bool {
  const payload = match + PAYLOAD;
  const number = load<u32>(payload, HASHLIMIT_TABLE);
  if (sharedConflicts(number) != 0) return askState(rule);
  const flags: u32 = load<u16>(payload, HASHLIMIT_FLAGS);
  const byPorts = (flags & (HASHLIMIT_SPORT | HASHLIMIT_DPORT)) != 0;
  if (byPorts && walk.sportDrawn) {
    blurHashlimit(match);
    return askState(rule);
  }
  if (byPorts && !takePorts(flags)) {
    if (isShort()) {
      walk.hotdrop = true;
      return false;
    }
    return ask(<u64>match, REASON_NO_PAYLOAD, rule);
  }
  takeAddresses(payload, flags);
  const table = tableOf(number, payload);
  const hash = hashOf(changetype<usize>(key));
  const bin = binAt(table, hash);
  const doubt = changetype<usize>(bin) + offsetof<Bin>("doubt");
  const lifetime =
    (<u64>load<u32>(payload, HASHLIMIT_EXPIRE) + load<u32>(payload, HASHLIMIT_COLLECT)) *
      MILLISECOND +
    COLLECT_SLACK;
  if (!isKnown(bin, lifetime)) return askState(rule);
  let at = findItem(table, hash);
  const fresh = at == 0;
  if (fresh) {
    const full =
      table.blurred != 0 && table.count + table.blurred >= load<u32>(payload, HASHLIMIT_MAX);
    if (full && askDoubtful(doubt, rule)) {
      walk.hotdrop = true;
      return false;
    }
    at = addItem(table, hash, payload, doubt);
    if (at == 0) {
      // > A table that is full drops what it has no entry for. An entry that expired may be gone.
      if (mayBeFull(table, payload) && !askDoubtful(doubt, rule)) return !above;
      walk.hotdrop = true;
      return false;
    }
  }
  if (!fresh) touch(at + ITEM_STATE, ITEM_BUCKET - ITEM_STATE, doubt);
  const item = changetype<Item>(at);
  const bucket = changetype<Bucket>(at + ITEM_BUCKET);
  if (!fresh) {
    touchBucket(bucket);
    touch(changetype<usize>(bucket) + BUCKET_TIME, BUCKET_TIME_SIZE, doubt);
  }
  const idle = fresh ? 0 : bucketIdle(bucket);
  const expire = <u64>load<u32>(payload, HASHLIMIT_EXPIRE) * MILLISECOND;
  const collected = fresh || idle >= lifetime;
  const perhaps = !collected && idle + TICK_SLACK >= expire;
  if (collected) startItem(item, bucket, payload, fresh);
  const within =
    (flags & HASHLIMIT_RATE) != 0
      ? countRate(item, bucket, payload, perhaps, doubt, rule)
      : (flags & HASHLIMIT_BYTES) != 0
        ? takeBytes(item, bucket, payload, perhaps, doubt, rule)
        : takePacket(bucket, payload, perhaps, rule);
  return within != above;
}

/** A packet may have come to the rule, of whatever key. */
export function blurHashlimit(match: usize): void {
  const payload = match + PAYLOAD;
  const table = tableOf(load<u32>(payload, HASHLIMIT_TABLE), payload);
  table.blurred++;
  for (let number: u32 = 0; number < BINS; number++) {
    const bin = binAt(table, number);
    bin.doubt = 1;
    bin.usedAt = now();
  }
}

function askState(rule: i32): bool {
  return ask(0, drawReason(REASON_STATE), rule);
}

// The entry is in a state that is one of several.
function askDoubtful(doubt: usize, rule: i32): bool {
  touch(doubt, 1, 0);
  store<u8>(doubt, 1);
  return ask(
    0,
    (walk.flags & PACKET_HAS_TIME) != 0 ? drawReason(REASON_STATE) : REASON_NO_TIME,
    rule,
  );
}

function takePacket(bucket: Bucket, payload: usize, perhaps: bool, rule: i32): bool {
  const terms = changetype<Terms>(payload + HASHLIMIT_TERMS);
  refillBucket(bucket, terms, TICK_SLACK);
  // Collected in the meantime or not.
  if (perhaps) {
    bucket.mostHeld = terms.room;
    bucket.leastTaken = 0;
  }
  return takeFromBucket(bucket, terms, TICK_SLACK, rule);
}

// > What a packet has, by sixteen bytes; an empty bucket is filled up as often as the burst says.
function takeBytes(
  item: Item,
  bucket: Bucket,
  payload: usize,
  perhaps: bool,
  doubt: usize,
  rule: i32,
): bool {
  if ((walk.known & KNOWN_IP_LENGTH) == 0) {
    askDoubtful(doubt, rule);
    return ask(0, REASON_NO_HEADER, rule);
  }
  const terms = changetype<Terms>(payload + HASHLIMIT_TERMS);
  refillBucket(bucket, terms, TICK_SLACK);
  const untimed = (walk.flags & PACKET_HAS_TIME) == 0 && bucket.leastHeld < terms.room;
  const full =
    bucketFloor(bucket, terms) == terms.room &&
    item.refills == load<u32>(payload, HASHLIMIT_REFILLS);
  if ((perhaps && !full) || untimed) return askDoubtful(doubt, rule);
  const chunks: i64 = (walk.packet.ipLength >> CHUNK_SHIFT) + 1;
  const cost = min(chunks * terms.cost, terms.room);
  const give = allowance(bucket, terms, TICK_SLACK) + chunks * terms.costSpread;
  const least = max(bucket.leastHeld - give, bucketFloor(bucket, terms));
  if (least < cost) {
    if (bucket.mostHeld + give >= cost) return askDoubtful(doubt, rule);
    if (item.refills == 0) return false;
    item.refills--;
    fillBucket(bucket, terms);
  }
  bucket.mostHeld -= cost;
  bucket.leastHeld = max<i64>(0, bucket.leastHeld - cost);
  bucket.mostTaken += chunks;
  bucket.leastTaken += chunks;
  return true;
}

// > Packets or bytes of an interval; after one that had too many, none of the next are within.
function countRate(
  item: Item,
  bucket: Bucket,
  payload: usize,
  perhaps: bool,
  doubt: usize,
  rule: i32,
): bool {
  const bytes = ((<u32>load<u16>(payload, HASHLIMIT_FLAGS)) & HASHLIMIT_BYTES) != 0;
  if (bytes && (walk.known & KNOWN_IP_LENGTH) == 0) {
    askDoubtful(doubt, rule);
    return ask(0, REASON_NO_HEADER, rule);
  }
  bucket.filledAt = now();
  if (perhaps || (walk.flags & PACKET_HAS_TIME) == 0) return askDoubtful(doubt, rule);
  const interval: u64 = load<u32>(payload, HASHLIMIT_INTERVAL);
  const age = min((now() - item.windowAt) / MILLISECOND, LONG);
  const slack = TICK_SLACK / MILLISECOND;
  if (age + slack >= interval) {
    if (age < interval + slack) return askDoubtful(doubt, rule);
    const rate = load<u64>(payload, HASHLIMIT_RATE_SECOND);
    const had = item.current * interval;
    const surely = had > (age + slack) * rate;
    if (!surely && had > (age - slack) * rate) return askDoubtful(doubt, rule);
    item.windowAt = now();
    item.over = surely ? 1 : 0;
    item.current = 0;
  }
  item.current += bytes ? walk.packet.ipLength : 1;
  return item.over == 0 && item.current <= load<u64>(payload, HASHLIMIT_RATE_ROOM);
}

function startItem(item: Item, bucket: Bucket, payload: usize, fresh: bool): void {
  if (fresh) {
    memory.fill(changetype<usize>(bucket), 0, offsetof<Bucket>());
    bucketIdle(bucket);
  }
  fillBucket(bucket, changetype<Terms>(payload + HASHLIMIT_TERMS));
  item.refills = load<u32>(payload, HASHLIMIT_REFILLS);
  item.windowAt = now();
  item.current = 0;
  item.over = 0;
}
