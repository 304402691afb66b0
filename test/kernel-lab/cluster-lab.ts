/**
 * A cluster in the kernel: each node in a lab of its own, with the tables that are compiled for it and its pods
 * behind their interfaces; and the network between the nodes, which carries what leaves one by its uplink to
 * the node that has the address.
 */
import { startLab, type KernelLab, type LabPacket } from "../../src/lab/lab.ts";
import type { Backend } from "../../src/match/extension.ts";
import type { CompiledCluster } from "../../src/tables/compile.ts";
import { renderIpsets } from "../../src/tables/ipset.ts";
import { renderIptables } from "../../src/tables/iptables.ts";
import { wrapPacket } from "../frames.ts";
import { sameAddress } from "../oracle-objects.ts";
import { numberOf, readView } from "./packets.ts";

export const UPLINK = "eth0";
const NODE_MAC = "02:00:00:00:01:00";

/** A cluster as it really is. */
export interface ClusterGround {
  readonly nodes: readonly {
    readonly name: string;
    readonly addresses: readonly string[];
    readonly compiled: CompiledCluster;
  }[];
  readonly pods: readonly ClusterPod[];
}

export interface ClusterPod {
  readonly node: string;
  readonly interface: string;
  readonly addresses: readonly string[];
}

/** An interface of a node; undefined: the node itself. */
export interface Place {
  readonly node: string;
  readonly interface: string | undefined;
}

/** An IP packet, and where it is. */
export interface Sight {
  readonly at: Place;
  readonly packet: Uint8Array;
}

/** What became of a packet. */
export interface Journey {
  /** As it was sent to another node, once for each that it was sent to. */
  readonly between: readonly Sight[];
  /** Where it came out: at a pod, at a node itself, or outside, behind the uplink. Undefined: it was dropped. */
  readonly end: Sight | undefined;
}

/** A cluster under way. */
export interface ClusterLab {
  /** Sends packets, each of a number and a connection of its own, and follows each to its end. */
  cross(departures: readonly Sight[]): Promise<ReadonlyMap<number, Journey>>;
  close(): Promise<void>;
}

/** Where packets of an address come from, and those to it go. */
export function placeOf(ground: ClusterGround, address: string): Place | undefined {
  const has = ({ addresses }: { readonly addresses: readonly string[] }): boolean =>
    addresses.some((own) => sameAddress(own, address));
  const pod = ground.pods.find(has);
  if (pod !== undefined) return pod;
  const node = ground.nodes.find(has);
  return node && { node: node.name, interface: undefined };
}

/** Sets all nodes up; without a backend they have no tables. */
export async function startCluster(
  ground: ClusterGround,
  backend: Backend | undefined,
): Promise<ClusterLab> {
  const started = await Promise.all(
    ground.nodes.map(async (node) => [node.name, await startNode(ground, node, backend)] as const),
  );
  const labs = new Map(started);
  return {
    async cross(departures) {
      const journeys = new Map<number, { between: Sight[]; end: Sight | undefined }>();
      for (const { packet } of departures) {
        journeys.set(numberOf(packet), { between: [], end: undefined });
      }
      let underway = departures;
      while (underway.length > 0) {
        const sights = await crossNodes(labs, underway);
        underway = sights.flatMap((sight) => {
          const journey = journeys.get(numberOf(sight.packet));
          if (journey === undefined) throw new Error("a packet came out that nobody sent");
          const next = nextNode(ground, sight);
          if (next === undefined) {
            if (journey.end !== undefined) throw new Error("a packet came out twice");
            journey.end = sight;
            return [];
          }
          journey.between.push(sight);
          return [{ at: { node: next, interface: UPLINK }, packet: sight.packet }];
        });
      }
      return journeys;
    },
    async close() {
      await Promise.all([...labs.values()].map((lab) => lab.close()));
    },
  };
}

/** Which node gets what came out; undefined: it is where it was to go. */
function nextNode(ground: ClusterGround, { at, packet }: Sight): string | undefined {
  if (at.interface !== UPLINK) return undefined;
  const { destination } = readView(packet);
  const node = placeOf(ground, destination)?.node;
  if (node === at.node) throw new Error(`${node} sent out what is for itself: ${destination}`);
  return node;
}

async function crossNodes(
  labs: ReadonlyMap<string, KernelLab>,
  underway: readonly Sight[],
): Promise<Sight[]> {
  const all = [...labs].map(async ([node, lab]) => {
    const packets = underway.filter(({ at }) => at.node === node).map(inject);
    const { sights } = await lab.cross(packets);
    return sights.map(({ place, packet }): Sight => ({ at: { node, interface: place }, packet }));
  });
  return (await Promise.all(all)).flat();
}

function inject({ at, packet }: Sight): LabPacket {
  const bytes =
    at.interface === undefined ? packet : wrapPacket(packet, { destinationMac: NODE_MAC });
  return { arrival: at.interface, bytes };
}

function startNode(
  { pods }: ClusterGround,
  { name, addresses, compiled }: ClusterGround["nodes"][number],
  backend: Backend | undefined,
): Promise<KernelLab> {
  const own = pods.filter(({ node }) => node === name);
  const isSix = (address: string): boolean => address.includes(":");
  const routesOf = (six: boolean): string[] =>
    own.flatMap((pod) =>
      pod.addresses
        .filter((address) => isSix(address) === six)
        .map((address) => `${address} dev ${pod.interface}`),
    );
  const [four = "", six = ""] = compiled.rulesets.map(renderIptables);
  return startLab({
    interfaces: [
      {
        name: UPLINK,
        mac: NODE_MAC,
        addresses: addresses.map((address) => `${address}/${isSix(address) ? 128 : 32}`),
      },
      ...own.map((pod) => ({ name: pod.interface, mac: NODE_MAC, addresses: [] })),
    ],
    routes: {
      4: [`default via 169.254.1.1 dev ${UPLINK} onlink`, ...routesOf(false)],
      6: [`default via fe80::1 dev ${UPLINK} onlink`, ...routesOf(true)],
    },
    // Captures hold checksums that the sender's hardware had yet to fill in.
    sysctls: { "netfilter/nf_conntrack_checksum": 0 },
    ipsets: backend === undefined ? "" : renderIpsets(compiled.rulesets),
    tables: backend === undefined ? {} : { [backend]: { 4: four, 6: six } },
  });
}
