// Which shapes a chain's rules have. A look-up costs as much as there are shapes: where there are too many,
// those of few rules are joined with others that ask for nearly the same.
import { FIELD_DPORT, FIELD_IN, FIELD_OUT, FIELD_PROTOCOL, FIELD_SPORT } from "./candidates";

export const SHAPES_MAX: u32 = 12;
export const NOT_JOINED: u32 = 0xffffffff;
const DRAFTS_MAX: u32 = 512;

/** A shape before it is known whether it stays. */
@unmanaged
export class Draft {
  srcBits: u32;
  dstBits: u32;
  /** FIELD_* bits. */
  fields: u32;
  /** How many rules have it. */
  rules: u32;
  /** The draft that took its rules over; NOT_JOINED: none did. */
  joined: u32;
  /** Number of the shape that it became. */
  shape: u32;
}

const drafts: usize = memory.data(512 * 24, 8);
if (offsetof<Draft>() != 24) ERROR("room for DRAFTS_MAX drafts");

export let draftCount: u32 = 0;

export function draftAt(number: u32): Draft {
  return changetype<Draft>(drafts + <usize>number * offsetof<Draft>());
}

/** Begins with the shape that asks for nothing. */
export function startDrafts(): void {
  draftCount = 0;
  addDraft(0, 0, 0);
}

/** Number of the draft of these fields; 0, that of none, where there is no room. */
export function draftFor(srcBits: u32, dstBits: u32, fields: u32): u32 {
  for (let number: u32 = 0; number < draftCount; number++) {
    const draft = draftAt(number);
    if (draft.srcBits == srcBits && draft.dstBits == dstBits && draft.fields == fields)
      return number;
  }
  return draftCount == DRAFTS_MAX ? 0 : addDraft(srcBits, dstBits, fields);
}

/** Tells whether a draft becomes a shape. */
export function isLive(number: u32): bool {
  return draftAt(number).rules > 0 && draftAt(number).joined == NOT_JOINED;
}

/** Joins drafts until there are few enough. */
export function joinDrafts(): void {
  let live: u32 = 0;
  for (let number: u32 = 0; number < draftCount; number++) {
    if (isLive(number)) live++;
  }
  for (; live > SHAPES_MAX; live--) {
    const rarest = rarestDraft();
    const other = nearestDraft(rarest);
    join(draftAt(rarest), draftAt(other));
    draftAt(rarest).joined = other;
  }
}

function addDraft(srcBits: u32, dstBits: u32, fields: u32): u32 {
  const draft = draftAt(draftCount);
  draft.srcBits = srcBits;
  draft.dstBits = dstBits;
  draft.fields = fields;
  draft.rules = 0;
  draft.joined = NOT_JOINED;
  draftCount++;
  return draftCount - 1;
}

function rarestDraft(): u32 {
  let found: u32 = NOT_JOINED;
  for (let number: u32 = 0; number < draftCount; number++) {
    if (!isLive(number)) continue;
    if (found == NOT_JOINED || draftAt(number).rules < draftAt(found).rules) found = number;
  }
  return found;
}

// The draft that loses least, rule by rule, when both ask for no more than what they have in common.
function nearestDraft(number: u32): u32 {
  const one = draftAt(number);
  let found: u32 = NOT_JOINED;
  let least: u64 = u64.MAX_VALUE;
  for (let each: u32 = 0; each < draftCount; each++) {
    if (each == number || !isLive(each)) continue;
    const other = draftAt(each);
    const common = <u64>(
      weight(
        min(one.srcBits, other.srcBits),
        min(one.dstBits, other.dstBits),
        one.fields & other.fields,
      )
    );
    const lost =
      one.rules * (<u64>weight(one.srcBits, one.dstBits, one.fields) - common) +
      other.rules * (<u64>weight(other.srcBits, other.dstBits, other.fields) - common);
    if (lost >= least) continue;
    least = lost;
    found = each;
  }
  return found;
}

function join(one: Draft, other: Draft): void {
  other.srcBits = min(one.srcBits, other.srcBits);
  other.dstBits = min(one.dstBits, other.dstBits);
  other.fields &= one.fields;
  other.rules += one.rules;
}

// How well fields tell rules apart, roughly in bits.
function weight(srcBits: u32, dstBits: u32, fields: u32): u32 {
  let bits = min(srcBits, 64) + min(dstBits, 64);
  if ((fields & FIELD_IN) != 0) bits += 12;
  if ((fields & FIELD_OUT) != 0) bits += 12;
  if ((fields & FIELD_PROTOCOL) != 0) bits += 2;
  if ((fields & FIELD_SPORT) != 0) bits += 8;
  if ((fields & FIELD_DPORT) != 0) bits += 8;
  return bits;
}
