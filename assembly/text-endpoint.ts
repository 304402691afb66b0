// The two ends that a line of tcpdump's text names: their family, addresses and ports.
import { at, expect, isDigit, plain, readNumber, refuseLine, step } from "./text-cursor";

/** 4 or 6. */
export let family: u32 = 0;

/** The words of the line's two addresses, of which IPv4 takes one. */
export const source: usize = memory.data(16, 16);
export const destination: usize = memory.data(16, 16);
// An address under way: what stands in front of `::`, and what behind.
const groups: usize = memory.data(16, 16);

/** Reads "IP " or "IP6 ". */
export function readFamily(): void {
  expect(0x49);
  expect(0x50);
  family = 4;
  if (load<u8>(at) == 0x36) {
    family = 6;
    step();
  }
  expect(0x20);
}

/** What the reader in TypeScript takes for an address or a name: letters, digits, and "_:.-". */
export function isOfAddress(letter: u32): bool {
  const lower = letter | 0x20;
  if (isDigit(letter) || (lower >= 0x61 && lower <= 0x7a)) return true;
  return letter == 0x3a || letter == 0x2e || letter == 0x2d || letter == 0x5f;
}

/** Reads an address into its words, and the dot in front of its port. */
export function readAddress(words: usize): void {
  if (family == 4) store<u32>(words, readDotted());
  else readGroups(words);
  expect(0x2e);
}

function readDotted(): u32 {
  let address: u32 = 0;
  for (let part: u32 = 0; part < 4; part++) {
    if (part > 0) expect(0x2e);
    const value = readNumber(3);
    if (value > 255) refuseLine();
    address = (address << 8) | (<u32>value);
  }
  return address;
}

// "fd00::1:2": eight groups, or fewer with a gap.
function readGroups(words: usize): void {
  let count: u32 = 0;
  // Groups in front of the gap; 8: there is none.
  let front: u32 = 8;
  if (load<u8>(at) == 0x3a && load<u8>(at, 1) == 0x3a) {
    front = 0;
    step(2);
  }
  while (plain && count < 8) {
    const digits = at;
    const value = readHexadecimal();
    if (at == digits) {
      // Behind the gap there may be none.
      if (count != front) refuseLine();
      break;
    }
    store<u16>(groups + ((<usize>count) << 1), <u16>value);
    count++;
    if (load<u8>(at) != 0x3a) break;
    step();
    if (load<u8>(at) != 0x3a) {
      // A colon with nothing behind.
      if (!isHexadecimal(load<u8>(at))) refuseLine();
      continue;
    }
    if (front != 8) refuseLine();
    front = count;
    step();
  }
  if (front == 8 ? count != 8 : count > 7) refuseLine();
  if (!plain) return;
  store<u64>(words, 0);
  store<u64>(words, 0, 8);
  const gap: u32 = 8 - count;
  for (let index: u32 = 0; index < count; index++) {
    const place = index < front ? index : index + gap;
    // Words are numbers: of their two groups the first is the upper half.
    const half = words + (((<usize>place) ^ 1) << 1);
    store<u16>(half, load<u16>(groups + ((<usize>index) << 1)));
  }
}

// One to four digits; without one nothing is read.
function readHexadecimal(): u32 {
  let value: u32 = 0;
  for (let digits: u32 = 0; digits < 4; digits++) {
    const letter: u32 = load<u8>(at);
    if (!isHexadecimal(letter)) break;
    value = (value << 4) | (isDigit(letter) ? letter - 0x30 : (letter | 0x20) - 0x57);
    step();
  }
  return value;
}

function isHexadecimal(letter: u32): bool {
  const lower = letter | 0x20;
  return isDigit(letter) || (lower >= 0x61 && lower <= 0x66);
}

/** Reads a port. */
export function readPort(): u32 {
  const port = readNumber(5);
  if (port > 0xffff) refuseLine();
  return <u32>port;
}
