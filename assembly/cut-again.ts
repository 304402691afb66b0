// A datagram that was put together, left in fragments once more, and comes back to the node so: the walk of
// each fragment begins where that of the datagram had come to.
import { KNOWN_PORTS, PACKET_LATER_FRAGMENT } from "./layout";
import { Packet } from "./records";
import { transportLength, Walk, walk } from "./walk";

// The walk when the datagram came back.
const came: Walk = changetype<Walk>(memory.data(offsetof<Walk>()));

/** Remembers the walk of the datagram. */
export function keepWalk(): void {
  copyWalk(came, walk);
}

/** Goes on as a fragment of the datagram. What rules made of the connection stays. */
export function walkAsFragment(packet: Packet): void {
  walkAsWhole();
  walk.packet = packet;
  walk.protocol = packet.protocol;
  // The port that the node drew is not the one on the wire.
  walk.known = walk.sportDrawn ? packet.known & ~(<u32>KNOWN_PORTS) : packet.known;
  walk.flags = packet.flags;
  walk.transportLength = transportLength(packet);
  if ((packet.flags & PACKET_LATER_FRAGMENT) == 0) return;
  walk.sport = packet.sport;
  walk.dport = packet.dport;
  walk.changedSize = 0;
}

/** Goes on as the datagram. What rules made of the connection stays. */
export function walkAsWhole(): void {
  came.connectionMark = walk.connectionMark;
  came.connectionMarkUnknown = walk.connectionMarkUnknown;
  copyWalk(walk, came);
}

function copyWalk(target: Walk, source: Walk): void {
  memory.copy(changetype<usize>(target), changetype<usize>(source), offsetof<Walk>());
}
