/** Seeded traffic of random clusters that is made to mislead whoever follows connections. */
import { buildFrame, buildPacket, ICMP, ICMPV6, type PacketSpec } from "./frames.ts";
import type { Random } from "./random.ts";
import { randomAttempt, type RandomWorld } from "./random-cluster.ts";

const FLOWS = 60;
const PACKETS = 900;
/** Few, so that connections meet: one pod's with itself, with a Service and with the Service's backend. */
const CLIENT_PORTS = [80, 8080, 40_000, 40_001];
const FLAGS = ["S", "S.", ".", "P.", "F.", "R"];

/** Interleaved packets of few flows: both ways, from any address that may answer, errors and fragments. */
export function randomTraffic(random: Random, world: RandomWorld): Uint8Array[] {
  const flows = Array.from({ length: FLOWS }, (): PacketSpec => {
    const { source, destination, protocol, port } = randomAttempt(random, world);
    return {
      ...{ source, destination, protocol },
      sourcePort: random.pick(CLIENT_PORTS),
      destinationPort: port,
    };
  });
  return Array.from({ length: PACKETS }, (_, index) => {
    const flow = { ...random.pick(flows), id: index, flags: random.pick(FLAGS) };
    const family = (other: PacketSpec): boolean =>
      other.source.includes(":") === flow.source.includes(":");
    const answer = {
      ...flow,
      source: flow.destination,
      destination: flow.source,
      sourcePort: flow.destinationPort,
      destinationPort: flow.sourcePort,
    };
    switch (random.below(10)) {
      case 0:
        // A backend's, perhaps.
        return buildFrame({ ...answer, source: random.pick(flows.filter(family)).destination });
      case 1:
        return buildFrame({
          ...flow,
          destination: random.pick(flows.filter(family)).source,
        });
      case 2:
        return errorAbout(random.chance(0.5) ? flow : answer, random.pick(flows.filter(family)));
      case 3:
        return pieceOf(buildFrame({ ...flow, id: 1 + random.below(4) }), random.below(4));
      case 4:
      case 5:
      case 6:
        return buildFrame(answer);
      default:
        return buildFrame(flow);
    }
  });
}

/** It may have the type and code that another flow has as its id. */
function errorAbout(quoted: PacketSpec, from: PacketSpec): Uint8Array {
  const six = quoted.source.includes(":");
  return buildFrame({
    source: from.source,
    destination: quoted.source,
    protocol: six ? ICMPV6 : ICMP,
    icmp: { type: six ? 1 : 3, code: 1, quote: buildPacket(quoted) },
  });
}

/** Of IPv4 a fragment: the first eight bytes behind the header, those behind them, all, or the end alone. */
function pieceOf(frame: Uint8Array, which: number): Uint8Array {
  const view = new DataView(frame.buffer);
  if (view.getUint16(12) !== 0x0800 || which === 2) return frame;
  const first = which === 0;
  view.setUint16(20, first ? 0x2000 : which);
  return first ? frame.slice(0, 14 + 20 + 8) : frame;
}
