// `-i` and `-o`. A hook without the interface has the empty name: only `+` matches it.
import { inInterfaceFor } from "../arrival";
import { outInterfaceFor } from "../departure";
import { interfaceName } from "../interface";
import { MATCH_HEADER_SIZE, SIDE_SRC } from "../layout";

const PAYLOAD: usize = MATCH_HEADER_SIZE;

/** The interface's name under the mask. */
export function matchInterface(match: usize, rule: i32): bool {
  const arriving = load<u8>(match, PAYLOAD) == SIDE_SRC;
  const number = arriving ? inInterfaceFor(rule) : outInterfaceFor(rule);
  const name = interfaceName(number);
  const value = match + PAYLOAD + 4;
  const mask = value + 16;
  return (
    (load<u64>(name) & load<u64>(mask)) == load<u64>(value) &&
    (load<u64>(name, 8) & load<u64>(mask, 8)) == load<u64>(value, 8)
  );
}
