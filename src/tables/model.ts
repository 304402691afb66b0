/**
 * Rule tables as data: what iptables-save and ipset save print and the matcher walks. Text and bytes
 * are two views of it. Chain names are built in `names.ts`.
 */
import type { Backend } from "../match/extension.ts";
import type { Match } from "../match/index.ts";
import type { Target } from "../target/index.ts";
import type { DialectQuestion } from "../policy/dialect.ts";
import type { Direction, PolicyRef, RuleAction } from "../policy/model.ts";
import type { Place } from "../errors.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import type { SetType } from "./set-types.ts";

export type Hook = "PREROUTING" | "INPUT" | "FORWARD" | "OUTPUT" | "POSTROUTING";
export type TableName = "raw" | "mangle" | "nat" | "filter" | "security";

/** All tables and sets of one address family and backend in one network namespace. */
export interface Ruleset {
  readonly family: Family;
  /** Both backends' tables can be active at once; each is a ruleset of its own. */
  readonly backend: Backend;
  /** At most one of each name. */
  readonly tables: readonly Table[];
  readonly sets: readonly IpSet[];
}

export interface Table {
  readonly name: TableName;
  /** Built-in chains first, then user chains in the order they are declared. */
  readonly chains: readonly Chain[];
}

/** A built-in chain has a policy and its name is its hook; a user chain has neither. */
export interface Chain {
  readonly name: string;
  /** Undefined: a user chain, which returns at its end. */
  readonly policy: "ACCEPT" | "DROP" | undefined;
  /** Chains of owners for whom the same holds have one list. */
  readonly rules: readonly Rule[];
  /** Whom the origins of the rules speak of: `namespace/name` of an endpoint, `host endpoint NAME`. */
  readonly owner?: string;
  /** Where a dump declares the chain. */
  readonly place?: Place;
  /** Some of the rules are in no text: `isPrinted` tells which. */
  readonly partlyPrinted?: true;
}

export interface Rule {
  /** All must hold, tried in this order. None: matches every packet. */
  readonly matches: readonly Match[];
  /** Undefined: the rule only counts. */
  readonly target: Target | undefined;
  /** Where a dump has the rule. */
  readonly place?: Place;
  /** Where its line names the target. */
  readonly targetColumn?: number;
  /** The policy this rule stands for; undefined for the plumbing between them. */
  readonly origin?: RuleOrigin;
}

/** Tells whether a rule is among those that iptables-save prints and the kernel has. */
export function isPrinted({ origin }: Rule): boolean {
  switch (origin?.kind) {
    case "tie":
    case "service-unknown":
    case "pod-range-unknown":
    case "host-port-unknown":
      return false;
    case "policy-rule":
      return origin.open === undefined;
    case "dialect":
      return origin.answer !== "open";
    default:
      return true;
  }
}

/** What a rule stands for in policy words. Where it speaks of an endpoint, that is its chain's `owner`. */
export type RuleOrigin =
  /** One rule of one policy, and what it does; `part` only prepares for one that does. */
  | {
      readonly kind: "policy-rule";
      readonly effect: RuleAction | "part";
      readonly policy: PolicyRef;
      readonly direction: Direction;
      /** Position in the policy's list, from 0, and the items of it that the rule is for. */
      readonly rule: number;
      readonly place: Place;
      /** Without which it is not known whether the rule matches: `the addresses of example.com`. */
      readonly missing?: string;
      /** What is not known of an implementation, and without which the same. No text has such rules. */
      readonly open?: OpenQuestion;
    }
  /** No rule of the tier's policies that select the owner matched, and the tier then denies. */
  | {
      readonly kind: "isolation";
      readonly tier: string;
      readonly direction: Direction;
      /** At least one, in the order of their chains. */
      readonly policies: readonly { readonly policy: PolicyRef; readonly place: Place }[];
    }
  /**
   * The API does not say which of these policies comes first, and they may say different things: tries
   * whether another of them, and not the first, changes the verdict. No text has such rules.
   */
  | {
      readonly kind: "tie";
      readonly direction: Direction;
      readonly policies: readonly { readonly policy: PolicyRef; readonly place: Place }[];
    }
  /** No policy isolates the endpoint in this direction. */
  | { readonly kind: "not-isolated"; readonly direction: Direction; readonly namespace: string }
  /** Packet of a flow that was let through before. */
  | { readonly kind: "established"; readonly direction: Direction }
  /** conntrack has no entry for it and it cannot start one. */
  | { readonly kind: "invalid"; readonly direction: Direction }
  /** Traffic between a node and its own pods is never policed (K-10). */
  | { readonly kind: "node-traffic" }
  /** One rule of a host endpoint's profile, and what it does; without a rule: it lets everything through. */
  | {
      readonly kind: "profile-rule";
      readonly effect: RuleAction | "part";
      readonly profile: string;
      readonly direction: Direction;
      readonly rule: number | undefined;
      readonly place: Place | undefined;
    }
  /** No policy of a host endpoint has a say, and none of its profiles lets the packet through. */
  | { readonly kind: "host-closed"; readonly direction: Direction; readonly place: Place }
  /** A port of a node that no policy can close. */
  | { readonly kind: "failsafe"; readonly direction: Direction; readonly place: Place | undefined }
  /** Forwarded by a host endpoint of which no policy says anything about what is forwarded. */
  | { readonly kind: "host-forward"; readonly direction: Direction }
  /** What a pod sends to its own node once its policies let it go; the node's setting. */
  | { readonly kind: "to-host"; readonly action: "accept" | "drop" | "return" }
  /** A pod's source address that is not its own. */
  | { readonly kind: "spoofed" }
  /** A wrapped packet that no node has sent. */
  | { readonly kind: "tunnel"; readonly what: "IPIP" | "VXLAN" }
  /** What an implementation does whatever policies say; `open`: it is not known, and no text has the rule. */
  | {
      readonly kind: "dialect";
      readonly answer: "allow" | "drop" | "open";
      readonly about: OpenQuestion;
    }
  /** A Service's translation; `namespace/name:port`. */
  | { readonly kind: "service"; readonly service: string; readonly place: Place }
  /** A Service's node port whose backends nobody told. No text has such rules. */
  | { readonly kind: "service-unknown"; readonly service: string; readonly place: Place }
  /** What kube-proxy has for pods only, where nothing tells whom it takes for one. No text has such rules. */
  | { readonly kind: "pod-range-unknown"; readonly place: Place }
  /** A port of the node that leads to a pod: `8080/TCP of Pod a/web`. */
  | { readonly kind: "host-port"; readonly hostPort: string; readonly place: Place }
  /** One of which nothing tells where it leads. No text has such rules. */
  | { readonly kind: "host-port-unknown"; readonly missing: string; readonly place: Place }
  /** A Service that takes the packet's connection nowhere: for want of backends, or of this source. */
  | {
      readonly kind: "service-refused";
      readonly service: string;
      readonly why: "no backend" | "no local backend" | "source";
      readonly place: Place;
    };

/** What is asked of an implementation of the policies' API. */
export interface OpenQuestion {
  readonly question: DialectQuestion;
  /** Which implementation, in sentences. */
  readonly dialect: string;
}

/** A named set of members: of a compiled policy, or of a node's dump. */
export type IpSet =
  | EntrySet
  | {
      readonly kind: "hash:net";
      readonly name: string;
      readonly family: Family;
      readonly members: readonly Prefix[];
      readonly origin?: SetOrigin;
    }
  | {
      readonly kind: "hash:ip,port";
      readonly name: string;
      readonly family: Family;
      readonly members: readonly PortMember[];
      readonly origin?: SetOrigin;
    };

/** A set of any type, as `ipset save` tells it. */
export interface EntrySet {
  readonly kind: "entries";
  readonly name: string;
  readonly type: SetType;
  /** Undefined: of no family (bitmap:port, hash:mac, list:set). */
  readonly family: Family | undefined;
  readonly entries: readonly SetEntry[];
  readonly origin?: SetOrigin;
  /** Where a dump creates the set. */
  readonly place?: Place;
  /** Of entries that have none of their own. */
  readonly timeoutSeconds?: number;
  readonly netmaskBits?: number;
  readonly bitmask?: Address;
  readonly markMask?: number;
  /** bitmap: ports, or IPv4 addresses as numbers; inclusive. */
  readonly range?: { readonly first: number; readonly last: number };
  readonly counters?: boolean;
  readonly comment?: boolean;
  readonly skbinfo?: boolean;
  readonly forceadd?: boolean;
  /** Beyond it nothing is added; undefined: 65536. */
  readonly mostEntries?: number;
  /** Buckets of the kernel's table. */
  readonly hashSize?: number;
  /** Entries that fit in one of them; undefined: 12. */
  readonly bucketSize?: number;
  /** What the kernel hashes with; told by a set that a kernel has printed. */
  readonly seed?: number;
  /** list:set: what `size` says. */
  readonly size?: number;
}

/** One entry; it has the parts that the set's type says. */
export interface SetEntry {
  readonly first?: Prefix;
  readonly second?: Prefix;
  /** Undefined for bitmap:port, which does not tell protocols apart. */
  readonly protocol?: number;
  /** ICMP: type * 256 + code. */
  readonly port?: number;
  readonly mark?: number;
  readonly mac?: readonly number[];
  readonly interface?: string;
  /** Name of a member set. */
  readonly member?: string;
  /** The interface's name is the beginning of names. */
  readonly wildcard?: boolean;
  /** What falls here is not in the set. */
  readonly nomatch?: boolean;
  /** What a packet's mark becomes: (mark & ~mask) ^ value. */
  readonly setsMark?: { readonly value: number; readonly mask: number };
  /** What a packet's priority becomes, the major number in the upper 16 bits. */
  readonly setsPriority?: number;
  /** The queue it goes to. */
  readonly setsQueue?: number;
  readonly comment?: string;
  /** Left when the dump was made; 0: never. */
  readonly timeoutSeconds?: number;
  /** Where the set counts. */
  readonly packets?: number;
  readonly bytes?: number;
}

/** One member of a `hash:ip,port` set. */
export interface PortMember {
  readonly address: Address;
  readonly protocol: number;
  readonly port: number;
}

/**
 * What a set stands for. `incomplete` sets hold the addresses of the endpoints in the snapshot: whether
 * an address that is missing from the snapshot belongs to them is not known.
 */
export interface SetOrigin {
  readonly incomplete: boolean;
  /** Nothing tells all members: of what is not among them, it is not known whether it belongs to them. */
  readonly unknown?: true;
  /**
   * Of a cluster seen as one: whatever is translated at one of these nodes belongs to it; by those that are
   * spared nothing comes from outside.
   */
  readonly places?: { readonly nodes: readonly string[]; readonly spared: boolean };
  /** In policy words: `pods with role=frontend in namespaces with team=a`. */
  readonly description: string;
}

// ── Where packets go ──────────────────────────────────────────────────────────────────────────────────

/**
 * The routing decision and the interfaces of what is judged: one node, or the whole cluster seen as one
 * node that has every pod (then `node` of the entries tells the real nodes apart).
 */
export interface Topology {
  /** Longest prefix wins; at most one entry for a prefix. Includes the default routes. */
  readonly routes: readonly Route[];
  /** Several nodes are judged as one: traffic between two of them is forwarded, not local. */
  readonly wholeCluster: boolean;
  /** Of a cluster seen as one: the addresses from which nodes send, those of a node together. */
  readonly nodeAddresses?: readonly {
    readonly node: string;
    readonly address: Address;
    /** Of a device by which packets are wrapped. */
    readonly ofTunnel: boolean;
  }[];
  /** The same: the nodes that may have the address of a tunnel that no object tells, and whence they have it. */
  readonly untoldTunnels?: readonly { readonly node: string; readonly family: Family }[];
  readonly tunnelRanges?: readonly Prefix[];
  /** The same: the names of all nodes. */
  readonly nodes?: readonly string[];
  /** The same: there may be others. */
  readonly moreNodes?: boolean;
  /** The same: rules say what nodes masquerade of what their pods send out. Absent: nothing tells. */
  readonly outgoingKnown?: boolean;
  /** Of manifests: nodes may masquerade what pods send that policies bind. Absent: none does. */
  readonly hidesPods?: boolean;
  /** The same: what pods send to nodes keeps its source. Absent: it does not. */
  readonly sparesNodes?: boolean;
  /** The same: what pods send inside of IPIP leaves their node. Absent: rules drop it. */
  readonly podsMayIpip?: boolean;
  /** Of manifests: host endpoints bind the node. Absent: none does. */
  readonly policesHosts?: boolean;
  /** Of a cluster seen as one whose hosts are policed: the interface of each node to the others and outside. */
  readonly uplinkByNode?: ReadonlyMap<string, string>;
  /** The same: that by which what is wrapped comes and goes. */
  readonly tunnelByNode?: ReadonlyMap<string, string>;
  /** The same of some: one that no host endpoint names, and what the node calls that to others. */
  readonly otherByNode?: ReadonlyMap<string, string>;
  readonly nameByNode?: ReadonlyMap<string, string>;
  /** Of manifests: rules of raw may say that a packet is not tracked. */
  readonly untracks?: boolean;
  /**
   * The interfaces by which everything comes and goes that is not local, where host endpoints bind some, those
   * of tunnels among them; routes with `multipath` lead over any of them. Undefined: one, which the routes name.
   * Of nodes seen as one: that of those without host endpoints, and the others'.
   */
  readonly uplinks?: readonly string[];
  /** Those of `uplinks` that nothing names: what they are called here is no name that a capture has. */
  readonly unnamed?: readonly string[];
  /** The interfaces that host endpoints are for. */
  readonly boundInterfaces?: readonly string[];
  /** How one is called that only a capture names, if it is one. */
  readonly otherInterface?: string;
  /** Of a real node: IPv4 sources are looked up in its routes even where `rp_filter` is off. */
  readonly sourceLookUp?: {
    readonly always: boolean;
    /** Not where `accept_local` is on. */
    readonly unlessAccepted: boolean;
  };
  /** The interfaces of a real node as it told them; undefined where manifests were compiled. */
  readonly interfaces: readonly NodeInterface[] | undefined;
}

/** One interface of a real node (`ip -j addr`). */
export interface NodeInterface {
  readonly name: string;
  /** By which captures of the kind SLL2 name it; undefined when not told. */
  readonly index: number | undefined;
  /** Six bytes; undefined for interfaces without an Ethernet address. */
  readonly mac: readonly number[] | undefined;
  readonly loopback: boolean;
  /** Undefined: not told, or by a name that only the node knows. */
  readonly group?: number;
  /** Bytes; undefined: not told. IPv6 may have one of its own (`net.ipv6.conf.NAME.mtu`). */
  readonly mtu?: number;
  readonly mtu6?: number;
  /** The bridge or bond that it is a port of: it takes all its frames. */
  readonly upper?: string;
  /** It takes the frames of the interface below that have this VLAN identifier. */
  readonly vlan?: { readonly lower: string; readonly id: number };
  /** Of a bridge: whether a family's rules see what it hands from port to port; undefined: not told. */
  readonly bridge?: Readonly<Record<Family, boolean | undefined>>;
  /** What takes its frames is not modelled, or was not told. */
  readonly astray?: boolean;
  /** Interfaces lie on it that may be VLANs: which they take was not told. */
  readonly vlansUnknown?: boolean;
  /** Addresses in the order the node lists them, each with the bits of its subnet. */
  readonly addresses: readonly InterfaceAddress[];
}

export interface InterfaceAddress {
  readonly address: Address;
  readonly bits: number;
  readonly scope: "global" | "link" | "host" | "site";
  /** A second address of a subnet: never chosen as a source. */
  readonly secondary: boolean;
}

/** One connection that a node followed when its state was taken. */
export interface Connection {
  readonly protocol: number;
  /** As the connection's first packet had it. */
  readonly original: ConnectionTuple;
  /** As answers arrive: the inverse of `original`, unless the connection is translated. */
  readonly reply: ConnectionTuple;
  /** TCP and SCTP: number of the kernel's state; 0 for other protocols. */
  readonly state: number;
  /** Left when the state was taken. */
  readonly timeoutSeconds: number;
  /** Since it began; undefined when not told. */
  readonly ageSeconds: number | undefined;
  readonly answered: boolean;
  readonly assured: boolean;
  readonly mark: number;
  /** A helper looks for connections that it expects. */
  readonly helped: boolean;
  /** The kernel treats its packets in a way that is not modelled: a flow table, a zone of one direction. */
  readonly beyond: boolean;
}

/** One direction of a connection. */
export interface ConnectionTuple {
  readonly source: Address;
  readonly destination: Address;
  /** ICMP: the identifier. 0 for protocols without ports. */
  readonly sourcePort: number;
  /** ICMP: type * 256 + code. */
  readonly destinationPort: number;
}

/** What an address is. */
export interface Route {
  readonly prefix: Prefix;
  readonly kind:
    /** Reached through `interface`: a pod here, a pod or node elsewhere. */
    | "unicast"
    /** An address of the judged node: INPUT, or OUTPUT as a source. */
    | "local"
    /** In the cluster's ranges, but no object has it: what it is, is not known. */
    | "missing"
    /** Not in the cluster. Reached through `interface`. */
    | "outside"
    /** A Service's address, or what stands for a node's port: where packets go is not known. */
    | "untranslated"
    /** A real node's local table: delivered to the node, and no address of it. */
    | "broadcast"
    | "anycast"
    | "multicast"
    /** A real node discards what goes there (blackhole, unreachable, prohibit). */
    | "blackhole";
  /** The routing table, tried in this order; undefined: all routes are in one. */
  readonly table?: "local" | "main" | "default";
  /** Next hop; undefined: the destination itself. */
  readonly gateway?: Address;
  /** Address that the node uses as source on this route (`src`). */
  readonly source?: Address;
  /** `realm` of the route, that of sources in the upper half; undefined: a name that only the node knows. */
  readonly realm?: number | undefined;
  /** Bytes of a packet that goes by it; undefined: the interface says. */
  readonly mtu?: number;
  /** Several next hops of equal rank: `interface` is that of the first. */
  readonly multipath?: boolean;
  /**
   * Of manifests: what goes there from node to node is wrapped; undefined: perhaps. Of a pod on the judged node:
   * always; undefined: where `near` of the source says so.
   */
  readonly wrapped?: boolean;
  /** Where host endpoints are: the interface by which it goes then. Undefined: it never is. */
  readonly tunnel?: string;
  /** Of what is on another node: that is in the judged one's subnet; undefined: nothing tells. */
  readonly near?: boolean;
  /** Of manifests, where it is missing: perhaps an address that its owner, a node, has itself. */
  readonly perhapsLocal?: true;
  /** Interface that packets to it leave by and packets from it arrive by; empty for `local`. */
  readonly interface: string;
  /** Node that has the address, where several are judged as one; undefined when unknown. */
  readonly node: string | undefined;
  /** `namespace/name` of the endpoint, `node NAME` for a node; undefined for ranges. */
  readonly owner: string | undefined;
  /** Where several Services share the address: whose each port is, by protocol number and port. */
  readonly ownerByPort?: ReadonlyMap<string, string>;
}
