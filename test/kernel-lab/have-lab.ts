/** What the tests of the kernel lab share: whether it can be had, and how packets are told apart in it. */
import { labMissing } from "../../src/lab/lab.ts";

/** Tells whether the lab can be had; prints why not. */
export function haveLab(): boolean {
  const missing = labMissing();
  if (missing === undefined) return true;
  console.log(`skipped: the kernel lab cannot be had here: ${missing}`);
  return false;
}

/** What no rule changes: the IPv4 identification or the IPv6 flow label. 0: not one of ours. */
export function numberOf(packet: Uint8Array): number {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  return view.getUint8(0) >> 4 === 4 ? view.getUint16(4) : view.getUint32(0) & 0xfffff;
}
