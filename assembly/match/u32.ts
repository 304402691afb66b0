// `-m u32`: 32 bits of the packet, calculated with and compared. Source: Linux, xt_u32.c.
import {
  askForBytes,
  capturedLength,
  currentBytes,
  currentLength,
  hasBytes,
  wordAt,
} from "../current-bytes";
import { MATCH_HEADER_SIZE, U32_AND, U32_AT, U32_LEFT, U32_RIGHT } from "../layout";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

/** Every test holds; one that would read beyond the packet does not. */
export function matchU32(match: usize, rule: i32): bool {
  if (!hasBytes()) return askForBytes(match, rule);
  const bytes = currentBytes();
  const length = currentLength();
  const captured = capturedLength();
  const tests = load<u32>(match, PAYLOAD);
  let at = match + PAYLOAD + 4;
  for (let test: u32 = 0; test < tests; test++) {
    const operations: u32 = load<u8>(at);
    const values: u32 = load<u8>(at, 1);
    let position = load<u32>(at, 4);
    let base: u32 = 0;
    at += 8;
    if (length < 4 || position > length - 4) return false;
    if (captured < 4 || position > captured - 4) return askForBytes(match, rule);
    let value = wordAt(bytes + position);
    for (let index: u32 = 0; index < operations; index++) {
      const number = load<u32>(at, 4);
      switch (<i32>load<u32>(at)) {
        case U32_AND:
          value &= number;
          break;
        case U32_LEFT:
          value <<= number;
          break;
        case U32_RIGHT:
          value >>= number;
          break;
        case U32_AT:
          // > What it points to is where the next number is read from.
          if (base + value < base) return false;
          base += value;
          position = number;
          if (base + 4 < base || length < base + 4 || position > length - base - 4) return false;
          if (captured < base + 4 || position > captured - base - 4) {
            return askForBytes(match, rule);
          }
          value = wordAt(bytes + base + position);
          break;
        default:
          unreachable();
      }
      at += 8;
    }
    let found = false;
    for (let index: u32 = 0; index < values; index++) {
      if (load<u32>(at) <= value && value <= load<u32>(at, 4)) found = true;
      at += 8;
    }
    if (!found) return false;
  }
  return true;
}
