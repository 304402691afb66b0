/** Captures by `-i any`: each packet where it arrives and where it leaves, in Linux' cooked headers. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { temporaryFile, type Traffic } from "./subject.ts";

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const ETHERNET = 14;
const COOKED = 20;
const LINK_TYPE = 20;
const LINUX_SLL2 = 276;
const IP_TTL = 8;
const IP_CHECKSUM = 10;
const IP_SRC = 12;
const IP_DST = 16;
/** As many as a node has, about. */
const INTERFACES = 200;
const ARRIVES = 0;
const LEAVES = 4;

/** The same traffic, of Ethernet and IPv4, as a capture by `-i any` has it; ends have interfaces. */
export function seenTwice({ file, packets }: Traffic): Traffic {
  const from = readFileSync(file);
  const more = COOKED - ETHERNET;
  const to = Buffer.alloc(2 * (from.length + more * packets));
  from.copy(to, 0, 0, FILE_HEADER);
  to.writeUInt32LE(LINUX_SLL2, LINK_TYPE);
  let written = FILE_HEADER;
  for (let at = FILE_HEADER; at < from.length;) {
    const captured = from.readUInt32LE(at + 8);
    for (const direction of [ARRIVES, LEAVES]) {
      from.copy(to, written, at, at + RECORD_HEADER);
      to.writeUInt32LE(captured + more, written + 8);
      to.writeUInt32LE(from.readUInt32LE(at + 12) + more, written + 12);
      written += RECORD_HEADER;
      const ip = at + RECORD_HEADER + ETHERNET;
      // > protocol, reserved, interface, ARPHRD_ETHER, direction, length of the address
      to.writeUInt16BE(0x0800, written);
      const end = from.readUInt32BE(ip + (direction === ARRIVES ? IP_SRC : IP_DST));
      to.writeUInt32BE(1 + (end % INTERFACES), written + 4);
      to.writeUInt16BE(1, written + 8);
      to.set([direction, 6], written + 10);
      written += COOKED;
      from.copy(to, written, ip, at + RECORD_HEADER + captured);
      if (direction === LEAVES) {
        to[written + IP_TTL]! -= 1;
        to.writeUInt16BE(raised(to.readUInt16BE(written + IP_CHECKSUM)), written + IP_CHECKSUM);
      }
      written += captured - ETHERNET;
    }
    at += RECORD_HEADER + captured;
  }
  const twice = temporaryFile("any.pcap");
  writeFileSync(twice, to.subarray(0, written));
  return { file: twice, packets: 2 * packets, bytes: statSync(twice).size };
}

// > A TTL less by one: the sum more by 0x100, with its carry.
function raised(checksum: number): number {
  const sum = checksum + 0x100;
  return (sum & 0xffff) + (sum >>> 16);
}
