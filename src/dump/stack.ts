/**
 * Which of a node's interfaces takes the frames of which: bridges and bonds those of their ports, VLANs those with
 * their tag. `ip -d -j addr` tells the kinds; without `-d` they are taken for what their names and flags show.
 */
import type { NodeInterface } from "../tables/model.ts";
import type { NodeSwitches } from "../tables/switches.ts";

/** What is said of an interface that tells where it lies. */
export interface LinkFacts {
  /** The bridge, bond or the like that it is a port of. */
  readonly master?: string | undefined;
  /** The interface that it is made upon, in the same node. */
  readonly link?: string | undefined;
  /** Undefined: not told. */
  readonly kind?: string | undefined;
  readonly flags: readonly unknown[];
  readonly vlanId?: number | undefined;
  /** A bridge that keeps VLANs apart; a port of a bond that takes nothing. */
  readonly filtersVlans?: boolean;
  readonly idle?: boolean;
  /** Of a bridge: its own switch for a family. */
  readonly calls?: Readonly<Partial<Record<4 | 6, boolean>>>;
  /** Frames carry Ethernet addresses. */
  readonly ethernet: boolean;
}

/** An interface as its file has it. */
export interface ToldInterface extends NodeInterface {
  readonly facts: LinkFacts;
}

/** Says of every interface what takes its frames. */
export function stackInterfaces(
  told: readonly ToldInterface[],
  switches: NodeSwitches | undefined,
): NodeInterface[] {
  const byName = new Map(told.map((each) => [each.name, each]));
  const masters = new Set(told.map(({ facts }) => facts.master));
  const perhapsVlans = told.filter((each) => mayBeVlan(each, byName));
  const belowVlans = new Set(perhapsVlans.map(({ facts }) => facts.link));
  return told.map(({ facts, ...plain }): NodeInterface => {
    const { name } = plain;
    const kind = kindOf(name, facts, masters.has(name));
    const vlan = facts.kind === "vlan" && facts.link !== undefined && facts.vlanId !== undefined;
    return {
      ...plain,
      ...masterOf(facts, byName),
      ...(vlan ? { vlan: { lower: facts.link, id: facts.vlanId } } : {}),
      ...(kind === "bridge" ? { bridge: callsOf(facts, switches) } : {}),
      ...(belowVlans.has(name) ? { vlansUnknown: true } : {}),
    };
  });
}

/** Kinds of interface that take all frames of their ports. */
const TAKERS: ReadonlySet<string> = new Set(["bridge", "bond", "team"]);

function masterOf(
  { master, idle }: LinkFacts,
  byName: ReadonlyMap<string, ToldInterface>,
): Pick<NodeInterface, "upper" | "astray"> {
  if (master === undefined) return {};
  const upper = byName.get(master);
  if (upper === undefined || idle === true) return { astray: true };
  const kind = kindOf(master, upper.facts, true);
  if (!TAKERS.has(kind ?? "") || upper.facts.filtersVlans === true) return { astray: true };
  return { upper: master };
}

/** Without `-d`: a bond has the flag MASTER, a VRF NOARP as well; Open vSwitch has its name. */
function kindOf(name: string, { kind, flags }: LinkFacts, isMaster: boolean): string | undefined {
  if (kind !== undefined || !isMaster) return kind;
  if (name === "ovs-system") return "openvswitch";
  if (!flags.includes("MASTER")) return "bridge";
  return flags.includes("NOARP") ? "vrf" : "bond";
}

/** > The switch of all bridges, or that of one. */
function callsOf(
  { calls }: LinkFacts,
  switches: NodeSwitches | undefined,
): NonNullable<NodeInterface["bridge"]> {
  const of = (family: 4 | 6): boolean | undefined =>
    calls?.[family] === true ? true : switches?.bridgeCalls[family];
  return { 4: of(4), 6: of(6) };
}

/** A pair of veth is made upon each other, and tunnels carry no frames. */
function mayBeVlan(
  { name, facts: { kind, link, ethernet, vlanId } }: ToldInterface,
  byName: ReadonlyMap<string, ToldInterface>,
): boolean {
  if (link === undefined || !ethernet) return false;
  if (kind !== undefined) return kind === "vlan" && vlanId === undefined;
  return byName.get(link)?.facts.link !== name;
}
