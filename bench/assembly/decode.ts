// The matcher's decoding of plain frames and nothing else, for bench/questions/decode.ts.
import { decodePlain } from "../../assembly/decode-plain";
import { PACKET_SIZE } from "../../assembly/layout";
import { isPlainFrame, isPortedFrame } from "../../assembly/plain-frame";
import { Packet } from "../../assembly/records";

// Record of a pcap file.
const HEADER: usize = 16;
const CAPTURED: usize = 8;
const ORIGINAL: usize = 12;

// A batch, whose records are used again and again.
const BATCH: u32 = 256;
const packets: usize = memory.data(256 * PACKET_SIZE, 16);

let count: u32 = 0;
let sum: u64 = 0;

/** Begins anew. */
export function startDecoding(): void {
  count = 0;
  sum = 0;
}

/** How many frames were plain. */
export function decodedCount(): u32 {
  return count;
}

/** Sum of what was read of them. */
export function decodedSum(): u64 {
  return sum;
}

/** Takes memory for a capture. */
export function room(size: u32): usize {
  return heap.alloc(size);
}

/** Decodes records of a pcap file. @returns address of the first that is not all there */
export function decodeRecords(at: usize, end: usize): usize {
  while (end - at >= HEADER) {
    const captured = load<u32>(at, CAPTURED);
    const original = load<u32>(at, ORIGINAL);
    const frame = at + HEADER;
    if (captured > <u32>(end - frame)) return at;
    at = frame + captured;
    if (!isPortedFrame(frame, captured) || !isPlainFrame(frame, captured, original)) continue;
    const packet = changetype<Packet>(packets + <usize>(count % BATCH) * PACKET_SIZE);
    packet.frame = <u32>frame;
    packet.capturedLength = captured;
    packet.originalLength = original;
    packet.flags = 0;
    decodePlain(packet);
    count++;
    sum += <u64>packet.src0 + packet.dst0 + packet.sport + packet.dport + packet.tcpSeq;
    sum += <u64>packet.protocol + packet.tcpFlags + packet.ipLength + packet.payloadLength;
  }
  return at;
}
