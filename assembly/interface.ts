// The interfaces by number: their names, zero-padded as the kernel compares them.
import { zeros } from "./bytes";
import { CAPTURED_TOLD, INTERFACE_SIZE, INTERFACES_MAX } from "./layout";

// Addresses of pieces of INTERFACES_IN_PIECE names; pieces are never moved.
const INTERFACES_IN_PIECE: u32 = 1024;
const PIECES: usize = memory.data((INTERFACES_MAX / 1024) * 4);

// Number 0 is no interface: the empty name.
let interfaceCount: u32 = 0;

/** Adds an interface and returns the address of its name, to be filled by the caller. */
export function addInterface(): usize {
  if (interfaceCount == INTERFACES_MAX) unreachable();
  if (interfaceCount % INTERFACES_IN_PIECE == 0) {
    const size = <usize>(INTERFACES_IN_PIECE * INTERFACE_SIZE);
    const piece = zeros(size);
    store<u32>(PIECES + <usize>((interfaceCount / INTERFACES_IN_PIECE) << 2), <u32>piece);
  }
  interfaceCount++;
  return interfaceName(interfaceCount - 1);
}

/** How many there are, with number 0. */
export function interfaceTotal(): u32 {
  return interfaceCount;
}

/** Address of an interface's 16-byte name. */
export function interfaceName(number: u32): usize {
  const piece: usize = load<u32>(PIECES + <usize>((number / INTERFACES_IN_PIECE) << 2));
  return piece + <usize>((number % INTERFACES_IN_PIECE) * INTERFACE_SIZE);
}

// u32[CAPTURE_INTERFACES_MAX][2]: interface numbers by PACKET_CAPTURE_INTERFACE, 0 when not known, and one of CAPTURED_*.
const CAPTURE_INTERFACES_MAX: u32 = 4096;
const CAPTURED: usize = memory.data(4096 * 8);

/** Says which interface the capture means by a number of its own, and what that is: one of CAPTURED_*. */
export function setCaptureInterface(captured: u32, number: u32, stand: u32): void {
  if (captured >= CAPTURE_INTERFACES_MAX) return;
  const at = CAPTURED + ((<usize>captured) << 3);
  store<u32>(at, number);
  store<u32>(at, stand, 4);
}

/** Interface by PACKET_CAPTURE_INTERFACE; 0 when the tables do not know it. */
export function captureInterfaceNumber(captured: u32): u32 {
  if (captured >= CAPTURE_INTERFACES_MAX) return 0;
  return load<u32>(CAPTURED + ((<usize>captured) << 3));
}

/** What it is: one of CAPTURED_*. */
export function captureInterfaceStand(captured: u32): u32 {
  if (captured >= CAPTURE_INTERFACES_MAX) return CAPTURED_TOLD;
  return load<u32>(CAPTURED + ((<usize>captured) << 3), 4);
}
