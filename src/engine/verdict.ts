/**
 * What the matcher says, as values: the verdict on one packet, the flows and rules it counted, and the
 * walk of one packet. Read from the matcher's memory on demand; text and JSON are views of these.
 */
import type { Address, Family } from "../net/address.ts";
import type { CtState } from "../match/conntrack.ts";
import type { Hook, Route, Rule, TableName } from "../tables/model.ts";
import type { RejectWith } from "../target/reject.ts";

export type Verdict = "allow" | "drop" | "unfiltered" | "unknown";

/** Why a verdict is what it is. One for each REASON_* of layout.ts. */
export type Reason =
  | "rule"
  | "chain-policy"
  | "not-ip"
  | "other-host"
  | "same-endpoint"
  | "bad-header"
  | "no-route"
  | "no-endpoint"
  | "missing-source"
  | "missing-destination"
  | "unresolved-source"
  | "unresolved-destination"
  | "no-address"
  | "no-protocol"
  | "no-ports"
  | "no-tcp-flags"
  | "no-chunks"
  | "no-icmp"
  | "link-type"
  | "backend"
  | "too-many-paths"
  | "conntrack-full"
  | "no-tables"
  | "too-many-rules"
  | "no-node"
  | "by-node"
  | "outgoing"
  | "no-backends"
  | "not-modelled"
  | "no-payload"
  | "no-mac"
  | "no-time"
  | "no-socket"
  | "random"
  | "nat-port"
  | "state"
  | "multipath"
  | "no-in-interface"
  | "queue"
  | "no-fragments"
  | "many-fragments"
  | "no-header"
  | "no-set"
  | "multicast"
  | "no-routes"
  | "no-way"
  | "no-group"
  | "connection"
  | "window"
  | "no-forwarding"
  | "table-order"
  | "out-interface"
  | "bridged"
  | "no-vlan"
  | "bridge-calls"
  | "astray"
  | "deadline"
  | "answered"
  | "masqueraded"
  | "ttl-left"
  | "segments"
  | "options-unknown"
  | "martian"
  | "too-long"
  | "options"
  | "martian-destination"
  | "ttl"
  | "blackhole"
  | "bad-fragments"
  | "incomplete"
  | "nat-failed";

/** One rule of a ruleset, found again from its index. */
export interface RuleRef {
  readonly family: Family;
  readonly table: TableName;
  readonly chain: string;
  /** Whom the rule's origin speaks of: the chain's owner. */
  readonly owner: string | undefined;
  /** 1-based; one more than the chain has when the chain's policy (or its end) is meant. */
  readonly number: number;
  /** Undefined: the chain's policy or end. */
  readonly rule: Rule | undefined;
}

/** One direction of a packet's or flow's addresses, as captured. */
export interface Tuple {
  readonly family: Family | undefined;
  /** Undefined: not known. */
  readonly protocol: number | undefined;
  readonly source: Address | undefined;
  readonly destination: Address | undefined;
  /** Undefined for protocols without ports, and when not known. */
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  /** ICMP and ICMPv6. */
  readonly icmp: { readonly type: number; readonly code: number } | undefined;
  /** Host names as the capture gives them, where nobody resolved them. */
  readonly sourceName: string | undefined;
  readonly destinationName: string | undefined;
}

/** What a connection was translated to. */
export interface Translated {
  readonly address: Address;
  readonly port: number;
  /** What the filter table of the last node saw as the source, where that is another. */
  readonly source?: Address;
}

/** What decided, and what is known of the two ends. */
export interface Judgement {
  readonly verdict: Verdict;
  readonly reason: Reason;
  readonly reject: RejectWith | undefined;
  /** The hook at which the walk ended; undefined when no rule was asked. */
  readonly hook: Hook | undefined;
  /** The rule whose target (or chain whose policy) ended the walk. */
  readonly rule: RuleRef | undefined;
  /** The last matched rule that stands for a policy: what a person would call the reason. */
  readonly decider: RuleRef | undefined;
  /** For `unknown`: the rule whose match lacked the fact. */
  readonly undecidedRule: RuleRef | undefined;
  /** What the ends are; undefined when their address is not known. */
  readonly sourceRoute: Route | undefined;
  readonly destinationRoute: Route | undefined;
  /** Where the filter table saw the packet go: after DNAT; undefined when not translated. */
  readonly translated: Translated | undefined;
  /** The flow was under way when the capture began. */
  readonly midstream: boolean;
  /** The capture shows the packet after its last hook: then and there it was let through. */
  readonly observed: boolean;
}

/** The verdict on one packet. */
export interface PacketVerdict extends Tuple, Judgement {
  /** 1-based position in the capture. */
  readonly number: number;
  /** Nanoseconds since 1970, or since midnight where `timeOfDay`; undefined when the text has none. */
  readonly timestampNs: bigint | undefined;
  readonly timeOfDay: boolean;
  /** Original length of the frame. */
  readonly bytes: number;
  readonly ctState: CtState | undefined;
  readonly reply: boolean;
  readonly inInterface: string | undefined;
  readonly outInterface: string | undefined;
  /** The earlier packet that this one is another sight of. */
  readonly duplicateOf: number | undefined;
  /** A fragment whose datagram is not complete yet: its verdict is not this one, it comes later. */
  readonly pending: boolean;
}

/**
 * Packets of one tuple and of its reply that got one verdict. The tuple is that of the flow's first
 * packet. A flow whose packets got different verdicts is one value for each.
 */
export interface FlowVerdict extends Tuple, Judgement {
  readonly packets: number;
  readonly bytes: number;
  /** Number of the first packet that got this verdict. */
  readonly firstPacket: number;
}

/** How often a rule matched. Rules that never matched are included. */
export interface RuleCount extends RuleRef {
  readonly packets: number;
  readonly bytes: number;
}

/** Everything counted so far. */
export interface Totals {
  readonly packets: number;
  readonly bytes: number;
  readonly verdicts: Readonly<Record<Verdict, number>>;
  readonly fragments: number;
  readonly malformed: number;
  readonly truncated: number;
  readonly duplicates: number;
  readonly midstream: number;
  /** Packets whose flow did not fit the list of flows. */
  readonly flowsLost: number;
  /** Unknown packets that belong to no flow: they have no addresses. */
  readonly withoutFlow: number;
}

/** One step of a walk. */
export type TraceStep =
  /** A table is entered at a hook. `tuple` and `mark` are what its rules see. */
  | {
      readonly kind: "table";
      readonly hook: Hook;
      readonly table: TableName;
      readonly chain: string;
      readonly mark: number;
      readonly ctState: CtState | undefined;
      /** What led here, or the state, is not known: one of several possible ways is shown. */
      readonly assumed: boolean;
    }
  /** A rule was tried. */
  | {
      readonly kind: "rule";
      readonly hook: Hook;
      readonly rule: RuleRef;
      /**
       * `unknown`: a fact is missing; the walk was tried both ways. `hotdrop`: a match found the packet
       * itself malformed and had it dropped.
       */
      readonly outcome: "matched" | "not-matched" | "unknown" | "hotdrop";
      /** Indexes into `rule.rule.matches` of those that do not hold (all of them, not just the first). */
      readonly failed: readonly number[];
      /** The packet's mark after the rule. */
      readonly mark: number;
    }
  /** The end of a chain: a return to the caller, or a built-in chain's policy. */
  | {
      readonly kind: "end";
      readonly hook: Hook;
      readonly rule: RuleRef;
      readonly what: "return" | "policy";
    };
