// The place in the line of text under way, and whether it was as expected so far.

/** What a line ends with. */
export const LINE_FEED: u32 = 10;

/** Address of the next letter. */
export let at: usize = 0;
/** The line was as expected so far. */
export let plain: bool = true;

/** Begins to read a line. */
export function startLine(line: usize): void {
  at = line;
  plain = true;
}

/** Goes on by so many letters. */
export function step(count: i32 = 1): void {
  at += <usize>count;
}

/** Says that the line is not as expected. */
export function refuseLine(): void {
  plain = false;
}

/** Steps over a letter that must be there. */
export function expect(letter: u32): void {
  if (load<u8>(at) == letter) at++;
  else plain = false;
}

/** Two digits: their number. */
export function readTwo(): u32 {
  const tens: u32 = load<u8>(at);
  if (!plain || !isDigit(tens)) {
    plain = false;
    return 0;
  }
  const ones: u32 = load<u8>(at, 1);
  if (!isDigit(ones)) {
    plain = false;
    return 0;
  }
  at += 2;
  return (tens - 0x30) * 10 + ones - 0x30;
}

/** A number of one to so many digits. */
export function readNumber(most: u32): u64 {
  let value: u64 = 0;
  let digits: u32 = 0;
  while (isDigit(load<u8>(at))) {
    value = value * 10 + load<u8>(at) - 0x30;
    at++;
    digits++;
    if (digits > most) break;
  }
  if (digits == 0 || digits > most) plain = false;
  return value;
}

/** Tells whether a letter is a digit. */
export function isDigit(letter: u32): bool {
  return letter - 0x30 < 10;
}

/** Steps over a word, if it is there. `word`: address of its letters, behind their count. */
export function take(word: usize): bool {
  const size: usize = load<u8>(word);
  for (let index: usize = 0; index < size; index++) {
    if (load<u8>(at + index) != load<u8>(word + index, 1)) return false;
  }
  at += size;
  return true;
}
