// Connections that a helper expects (FTP, SIP). Which, the payload of the followed connection says, and
// nobody reads it: once a rule has given a connection a helper, a new one may be such a connection.
import { ask } from "./fork";
import { REASON_NOT_MODELLED, RULE_NONE } from "./layout";
import { walk } from "./walk";

const QUESTION_EXPECTED: u64 = 1 << 51;

// The rule that gave a helper, i32, and the packet that matched it, u64; no packet: none did.
const rule: usize = memory.data(4);
const packet: usize = memory.data(8, 8);
const BEFORE_ALL: u64 = u64.MAX_VALUE;

/** A connection that was there before the first packet has a helper. */
export function expectFromStart(): void {
  store<i32>(rule, RULE_NONE);
  store<u64>(packet, BEFORE_ALL);
}

/** A rule gives the connection under way a helper, in this try at least: it is not taken back. */
export function expectOthers(index: i32): void {
  if (load<u64>(packet) != 0) return;
  store<i32>(rule, index);
  store<u64>(packet, walk.packet.number);
}

/** A rule gave the connection of a packet before this number a helper: others may be expected. */
export function isHelperGiven(number: u64): bool {
  const first = load<u64>(packet);
  return first != 0 && first != number;
}

/** Whether the connection that the packet begins may be expected, and is in this try. */
export function isPerhapsExpected(): bool {
  return (
    isHelperGiven(walk.packet.number) &&
    ask(QUESTION_EXPECTED, REASON_NOT_MODELLED, load<i32>(rule))
  );
}
