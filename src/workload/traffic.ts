/** Packets as a capture file that a program can be asked about. */
import type { Program } from "../engine/program.ts";
import { capturePieces } from "./capture.ts";
import type { SeenFrame } from "./capture.ts";
import type { FrameSpec } from "./frame.ts";
import { linksOf } from "./links.ts";
import type { Links } from "./links.ts";

/** Writes packets as a capture of the node, or of the cluster, that the program is of. */
export function trafficPieces(
  program: Program,
  packets: Iterable<FrameSpec>,
): Iterable<Uint8Array<ArrayBuffer>> {
  const links = linksOf(program);
  return links === undefined
    ? capturePieces(packets, undefined)
    : capturePieces(seenPackets(packets, links), links.names);
}

function* seenPackets(
  packets: Iterable<FrameSpec>,
  links: Links,
): Generator<SeenFrame, void, undefined> {
  for (const packet of packets) yield links.see(packet);
}
