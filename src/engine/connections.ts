/** Connections to the matcher's memory, and back from it, as assembly/layout.ts draws them. */
import * as layout from "../../assembly/layout.ts";
import { sameAddress } from "../net/address.ts";
import type { Address, Family } from "../net/address.ts";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../net/protocol.ts";
import type { Connection, ConnectionTuple } from "../tables/model.ts";
import type { MatcherExports } from "./exports.ts";

/** Hands the connections over one by one. Precondition: there is room for them. */
export function packConnections(exports: MatcherExports, connections: readonly Connection[]): void {
  const at = exports.connectionRecord();
  for (const connection of connections) {
    // The table grows by growing the memory.
    const view = new DataView(exports.memory.buffer, at, layout.CONNECTION_SIZE);
    const { protocol, original, reply, state } = connection;
    view.setUint8(layout.CONNECTION_FAMILY, original.source.family);
    view.setUint8(layout.CONNECTION_PROTOCOL, protocol);
    view.setUint8(layout.CONNECTION_STATE, state);
    view.setUint8(layout.CONNECTION_FLAGS, flagsOf(connection));
    view.setUint32(layout.CONNECTION_SECONDS, connection.timeoutSeconds, true);
    view.setUint32(layout.CONNECTION_AGE, ageOf(connection), true);
    view.setUint32(layout.CONNECTION_MARK, connection.mark, true);
    const addresses = [original.source, original.destination, reply.source, reply.destination];
    addresses.forEach(({ words }, side) => {
      words.forEach((word, place) => {
        view.setUint32(layout.CONNECTION_WORDS + 16 * side + 4 * place, word, true);
      });
    });
    const ports = isIcmp(connection)
      ? [original.sourcePort, original.destinationPort, original.destinationPort, reply.sourcePort]
      : [original.sourcePort, original.destinationPort, reply.sourcePort, reply.destinationPort];
    ports.forEach((port, side) => {
      view.setUint16(layout.CONNECTION_PORTS + 2 * side, port, true);
    });
    exports.addConnection();
  }
}

/** Tells whether a connection is neither translated nor helped, and nothing about it is not modelled. */
export function isSimple(connection: Connection): boolean {
  const odd = layout.CONNECTION_SNAT | layout.CONNECTION_DNAT | layout.CONNECTION_HELPED;
  return (flagsOf(connection) & (odd | layout.CONNECTION_BEYOND)) === 0;
}

/** > IPS_SRC_NAT, IPS_DST_NAT: a translation that changed nothing is none. */
function flagsOf(connection: Connection): number {
  const { original, reply, answered, assured, helped, beyond } = connection;
  const source =
    !sameAddress(original.source, reply.destination) ||
    original.sourcePort !== (isIcmp(connection) ? reply.sourcePort : reply.destinationPort);
  const destination =
    !sameAddress(original.destination, reply.source) ||
    (!isIcmp(connection) && original.destinationPort !== reply.sourcePort);
  return (
    (answered ? layout.CONNECTION_ANSWERED : 0) |
    (assured ? layout.CONNECTION_ASSURED : 0) |
    (source ? layout.CONNECTION_SNAT : 0) |
    (destination ? layout.CONNECTION_DNAT : 0) |
    (beyond ? layout.CONNECTION_BEYOND : 0) |
    (helped ? layout.CONNECTION_HELPED : 0)
  );
}

/** Where it is not told: a stream is old; of others nobody knows. */
function ageOf({ ageSeconds, assured }: Connection): number {
  return ageSeconds ?? (assured ? ASSURED_SECONDS : layout.CONNECTION_AGE_UNKNOWN);
}

/** > UDP: a connection that goes on for more than two seconds is a stream. */
const ASSURED_SECONDS = 3;

function isIcmp({ protocol }: Connection): boolean {
  return protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6;
}

/** A connection that the matcher follows. */
export interface FollowedConnection extends Pick<
  Connection,
  "protocol" | "original" | "reply" | "state" | "answered"
> {
  /** The matcher's, until it is forgotten. */
  readonly number: number;
  readonly translated: boolean;
  /** It may be translated otherwise, or not be there: `reply` is not certain. */
  readonly vague: boolean;
}

/** Reads the connections that have not expired. */
export function* readConnections(exports: MatcherExports): Generator<FollowedConnection> {
  const at = exports.connectionRecord();
  for (let number = 0; number < exports.connectionLimit(); number++) {
    if (!exports.readConnection(number)) continue;
    const view = new DataView(exports.memory.buffer, at, layout.CONNECTION_SIZE);
    const flags = view.getUint8(layout.CONNECTION_FLAGS);
    const has = (bit: number): boolean => (flags & bit) !== 0;
    const family: Family = view.getUint8(layout.CONNECTION_FAMILY) === 6 ? 6 : 4;
    const address = (side: number): Address => {
      const word = (place: number): number =>
        view.getUint32(layout.CONNECTION_WORDS + 16 * side + 4 * place, true);
      return { family, words: [word(0), word(1), word(2), word(3)] };
    };
    const port = (side: number): number => view.getUint16(layout.CONNECTION_PORTS + 2 * side, true);
    const protocol = view.getUint8(layout.CONNECTION_PROTOCOL);
    const original: ConnectionTuple = {
      ...{ source: address(0), destination: address(1) },
      ...{ sourcePort: port(0), destinationPort: port(1) },
    };
    const reply = { source: address(2), destination: address(3) };
    yield {
      number,
      protocol,
      original,
      reply: { ...reply, sourcePort: port(2), destinationPort: port(3) },
      state: view.getUint8(layout.CONNECTION_STATE),
      answered: has(layout.CONNECTION_ANSWERED),
      translated: has(layout.CONNECTION_SNAT | layout.CONNECTION_DNAT),
      vague: has(layout.CONNECTION_VAGUE),
    };
  }
}
