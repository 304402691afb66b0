// How tcpdump prints DNS: stepped over where it is as expected, but for the message's length.
// Source: print-domain.c.
import {
  at,
  expect,
  isDigit,
  LINE_FEED,
  plain,
  readNumber,
  refuseLine,
  step,
  take,
} from "./text-cursor";

/**
 * Steps over "domain [length 6 < 12] (invalid)", or a message: "4660+ A? db.svc. (32)",
 * "4660 1/0/0 A 10.1.0.1 (48)".
 */
export function skipDomain(): void {
  if (take(DOMAIN)) {
    readNumber(5);
    if (!take(BELOW)) refuseLine();
    readNumber(5);
    if (!take(INVALID)) refuseLine();
    return;
  }
  readNumber(5);
  skipMarks();
  expect(0x20);
  if (plain && load<u8>(at) == 0x5b) skipExtras();
  if (!plain) return;
  if (isDigit(load<u8>(at))) readCounts();
  else readQuestion();
  skipMessage();
}

/** Bytes of the message that was stepped over, which stand at the line's end: " (32)"; 0: they do not. */
export function messageLength(): u32 {
  if (!plain || load<u8>(at - 1) != 0x29) return 0;
  let value: u32 = 0;
  let unit: u32 = 1;
  let digit = at - 2;
  while (isDigit(load<u8>(digit)) && unit <= 10000) {
    value += (<u32>load<u8>(digit) - 0x30) * unit;
    unit *= 10;
    digit--;
  }
  return load<u8>(digit) == 0x28 && load<u8>(digit - 1) == 0x20 ? value : 0;
}

// Flags of a message.
function skipMarks(): void {
  for (let marks: u32 = 0; marks < 4; marks++) {
    const letter: u32 = load<u8>(at);
    // "+", "-", "%", "|", "$", "*"; two "*" have another meaning.
    const mark = letter == 0x2b || letter == 0x2d || letter == 0x25 || letter == 0x7c;
    if (!mark && letter != 0x24 && (letter != 0x2a || load<u8>(at, 1) == 0x2a)) return;
    step();
  }
}

// "[1au] "
function skipExtras(): void {
  step();
  let letters: u32 = 0;
  while (letters < 20 && (isDigit(load<u8>(at)) || isLower(load<u8>(at)))) {
    step();
    letters++;
  }
  if (letters == 0) refuseLine();
  expect(0x5d);
  expect(0x20);
}

// "1/0/0 "
function readCounts(): void {
  readNumber(5);
  expect(0x2f);
  readNumber(5);
  expect(0x2f);
  readNumber(5);
  expect(0x20);
}

// "AAAA? ": no other protocol has words that begin so.
function readQuestion(): void {
  let letters: u32 = 0;
  while (letters < 20 && isUpper(load<u8>(at))) {
    step();
    letters++;
  }
  if (letters == 0) refuseLine();
  expect(0x3f);
  expect(0x20);
}

// The rest of a line, with nothing in it that the reader in TypeScript would change or take for more.
function skipMessage(): void {
  while (plain) {
    const letter: u32 = load<u8>(at);
    if (letter == LINE_FEED) return;
    // "&", "*", "[", "`".
    const odd = letter == 0x26 || letter == 0x2a || letter == 0x5b || letter == 0x60;
    if (letter < 0x20 || letter > 0x7e || odd) refuseLine();
    step();
  }
}

function isLower(letter: u32): bool {
  return letter - 0x61 < 26;
}

function isUpper(letter: u32): bool {
  return letter - 0x41 < 26;
}

// Words that a line may have, each behind its length.
const DOMAIN: usize = memory.data<u8>([
  15, 0x64, 0x6f, 0x6d, 0x61, 0x69, 0x6e, 0x20, 0x5b, 0x6c, 0x65, 0x6e, 0x67, 0x74, 0x68, 0x20,
]);
const BELOW: usize = memory.data<u8>([3, 0x20, 0x3c, 0x20]);
const INVALID: usize = memory.data<u8>([
  11, 0x5d, 0x20, 0x28, 0x69, 0x6e, 0x76, 0x61, 0x6c, 0x69, 0x64, 0x29,
]);
