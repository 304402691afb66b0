/** The words behind the numbers of assembly/layout.ts: a word's place in its list is its number. */
import type { CtState } from "../match/conntrack.ts";
import type { Backend } from "../match/extension.ts";
import type { Hook, TableName } from "../tables/model.ts";
import { REJECT_KINDS } from "../target/reject.ts";
import type { RejectWith } from "../target/reject.ts";
import * as layout from "../../assembly/layout.ts";
import type { Reason, Verdict } from "./verdict.ts";

export const HOOKS: readonly Hook[] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

export const BACKENDS: readonly Backend[] = ["legacy", "nft"];

export const TABLES: readonly TableName[] = ["raw", "mangle", "nat", "filter", "security"];

/** Undefined for REJECT_NONE. */
export const REJECTS: readonly (RejectWith | undefined)[] = [undefined, ...REJECT_KINDS];

/** Undefined for 0: no verdict. */
export const VERDICTS: readonly (Verdict | undefined)[] = [
  undefined,
  "allow",
  "drop",
  "unfiltered",
  "unknown",
];

export const REASONS: ReadonlyMap<number, Reason> = new Map([
  [layout.REASON_RULE, "rule"],
  [layout.REASON_CHAIN_POLICY, "chain-policy"],
  [layout.REASON_NOT_IP, "not-ip"],
  [layout.REASON_OTHER_HOST, "other-host"],
  [layout.REASON_SAME_ENDPOINT, "same-endpoint"],
  [layout.REASON_BAD_HEADER, "bad-header"],
  [layout.REASON_NO_ROUTE, "no-route"],
  [layout.REASON_NO_ENDPOINT, "no-endpoint"],
  [layout.REASON_MISSING_SRC, "missing-source"],
  [layout.REASON_MISSING_DST, "missing-destination"],
  [layout.REASON_NAME_SRC, "unresolved-source"],
  [layout.REASON_NAME_DST, "unresolved-destination"],
  [layout.REASON_NO_ADDRESS, "no-address"],
  [layout.REASON_NO_PROTOCOL, "no-protocol"],
  [layout.REASON_NO_PORTS, "no-ports"],
  [layout.REASON_NO_TCP_FLAGS, "no-tcp-flags"],
  [layout.REASON_NO_CHUNKS, "no-chunks"],
  [layout.REASON_NO_ICMP, "no-icmp"],
  [layout.REASON_LINK_TYPE, "link-type"],
  [layout.REASON_BACKEND, "backend"],
  [layout.REASON_TOO_MANY_PATHS, "too-many-paths"],
  [layout.REASON_CONNTRACK_FULL, "conntrack-full"],
  [layout.REASON_NO_TABLES, "no-tables"],
  [layout.REASON_TOO_MANY_RULES, "too-many-rules"],
  [layout.REASON_NO_NODE, "no-node"],
  [layout.REASON_BY_NODE, "by-node"],
  [layout.REASON_OUTGOING, "outgoing"],
  [layout.REASON_NO_BACKENDS, "no-backends"],
  [layout.REASON_NOT_MODELLED, "not-modelled"],
  [layout.REASON_NO_PAYLOAD, "no-payload"],
  [layout.REASON_NO_MAC, "no-mac"],
  [layout.REASON_NO_TIME, "no-time"],
  [layout.REASON_NO_SOCKET, "no-socket"],
  [layout.REASON_RANDOM, "random"],
  [layout.REASON_NAT_PORT, "nat-port"],
  [layout.REASON_STATE, "state"],
  [layout.REASON_MULTIPATH, "multipath"],
  [layout.REASON_NO_IN_INTERFACE, "no-in-interface"],
  [layout.REASON_QUEUE, "queue"],
  [layout.REASON_NO_FRAGMENTS, "no-fragments"],
  [layout.REASON_MANY_FRAGMENTS, "many-fragments"],
  [layout.REASON_NO_HEADER, "no-header"],
  [layout.REASON_NO_SET, "no-set"],
  [layout.REASON_MULTICAST, "multicast"],
  [layout.REASON_NO_ROUTES, "no-routes"],
  [layout.REASON_NO_WAY, "no-way"],
  [layout.REASON_NO_GROUP, "no-group"],
  [layout.REASON_CONNECTION, "connection"],
  [layout.REASON_WINDOW, "window"],
  [layout.REASON_NO_FORWARDING, "no-forwarding"],
  [layout.REASON_TABLE_ORDER, "table-order"],
  [layout.REASON_OUT_INTERFACE, "out-interface"],
  [layout.REASON_BRIDGED, "bridged"],
  [layout.REASON_NO_VLAN, "no-vlan"],
  [layout.REASON_BRIDGE_CALLS, "bridge-calls"],
  [layout.REASON_ASTRAY, "astray"],
  [layout.REASON_DEADLINE, "deadline"],
  [layout.REASON_ANSWERED, "answered"],
  [layout.REASON_MASQUERADED, "masqueraded"],
  [layout.REASON_TTL_LEFT, "ttl-left"],
  [layout.REASON_MARTIAN, "martian"],
  [layout.REASON_TOO_LONG, "too-long"],
  [layout.REASON_OPTIONS, "options"],
  [layout.REASON_SEGMENTS, "segments"],
  [layout.REASON_OPTIONS_UNKNOWN, "options-unknown"],
  [layout.REASON_MARTIAN_DESTINATION, "martian-destination"],
  [layout.REASON_TTL, "ttl"],
  [layout.REASON_BLACKHOLE, "blackhole"],
  [layout.REASON_BAD_FRAGMENTS, "bad-fragments"],
  [layout.REASON_INCOMPLETE, "incomplete"],
  [layout.REASON_NAT_FAILED, "nat-failed"],
]);

/** States by their bit, the connection's own before the NAT bits. */
export const CT_STATES: readonly (readonly [bit: number, state: CtState])[] = [
  [layout.CT_INVALID, "INVALID"],
  [layout.CT_ESTABLISHED, "ESTABLISHED"],
  [layout.CT_RELATED, "RELATED"],
  [layout.CT_NEW, "NEW"],
  [layout.CT_UNTRACKED, "UNTRACKED"],
];
