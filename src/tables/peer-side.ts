/** What a rule asks of its peer's side, for each kind of peer. */
import type { LabelSelector } from "../cluster/selector.ts";
import type { Match } from "../match/index.ts";
import type { SetName } from "../match/set.ts";
import { prefixMask } from "../net/address.ts";
import type { Prefix } from "../net/address.ts";
import type { DialectQuestion } from "../policy/dialect.ts";
import type { Direction, LabelledPods, PolicyPeer } from "../policy/model.ts";
import type { FelixSide } from "./felix-rule.ts";
import type { PolicyContext } from "./policy-context.ts";
import { stateIs } from "./rule.ts";

/** What a port list or a peer comes to; with a question, perhaps. */
export interface Meaning {
  readonly side: FelixSide;
  readonly question?: DialectQuestion;
}

/** What a peer comes to. */
export interface PeerMeaning extends Meaning {
  /** What else must hold. */
  readonly also?: readonly Match[];
}

/** What is asked of a peer's side; nothing when nothing of this family can be the peer. */
export function compilePeer(
  peer: PolicyPeer | undefined,
  direction: Direction,
  context: PolicyContext,
): PeerMeaning[] {
  const { family, sets } = context;
  switch (peer?.kind) {
    case undefined:
      return [{ side: {} }];
    case "pods":
      return [{ side: { sets: [sets.podSet(peer.selector)] } }];
    case "block":
      // A prefix of the other family cannot match: the rule does not exist here.
      return peer.prefix.address.family === family ? blockMeanings(peer, direction, context) : [];
    case "networks": {
      const nets = peer.prefixes.filter(({ address }) => address.family === family);
      return nets.length === 0 ? [] : [{ side: { nets } }];
    }
    case "nodes": {
      const own = { sets: [sets.nodeSet(peer.nodeSelector)] };
      // Of an address that a pod has it is known that no node has it.
      return [{ side: sets.knowsNodes() ? own : { ...own, notSets: [sets.podSet(EVERY_POD)] } }];
    }
    case "domains":
      return [{ side: { sets: peer.domainNames.map((name) => sets.domainSet(name)) } }];
  }
}

/**
 * > ipBlock: these should be cluster-external IPs.
 *
 * Whether it also means those of the cluster, and which address it means where a Service or a balancer
 * translates, is up to the implementation.
 */
function blockMeanings(
  { prefix, except }: Extract<PolicyPeer, { kind: "block" }>,
  direction: Direction,
  { sets, dialect }: PolicyContext,
): PeerMeaning[] {
  const side: FelixSide = { nets: [prefix], notNets: except };
  const pods = dialect.blocksHoldPods === "yes" ? [] : [sets.podSet(EVERY_POD)];
  const nodes = dialect.blocksHoldNodes === "yes" ? [] : [sets.nodeSet(EVERY_NODE)];
  const before = dialect.blocksSeeBefore === "open";
  const notSets = [...pods, ...nodes];
  return [
    {
      side: notSets.length === 0 ? side : { ...side, notSets },
      ...(before ? { also: [UNTRANSLATED] } : {}),
    },
    ...(dialect.blocksHoldPods === "open"
      ? [{ side: { ...side, sets: pods }, question: "blocks-hold-pods" } as const]
      : []),
    ...(dialect.blocksHoldNodes === "open"
      ? [{ side: { ...side, sets: nodes, notSets: pods }, question: "blocks-hold-nodes" } as const]
      : []),
    ...(before ? meaningsBefore({ prefix, except }, { direction, side, pods }) : []),
  ];
}

/** Of a translated connection the address of before may be meant, which for a client nobody knows. */
function meaningsBefore(
  block: { readonly prefix: Prefix; readonly except: readonly Prefix[] },
  {
    direction,
    side,
    pods,
  }: {
    readonly direction: Direction;
    readonly side: FelixSide;
    readonly pods: readonly SetName[];
  },
): PeerMeaning[] {
  const question = "blocks-see-before";
  if (direction === "ingress") return [{ side: { notSets: pods }, also: [TRANSLATED], question }];
  const firstDestination = [
    destinationWas(block.prefix, false),
    ...block.except.map((each) => destinationWas(each, true)),
  ];
  return [
    { side: { ...side, notSets: pods }, also: [TRANSLATED], question },
    { side: {}, also: [TRANSLATED, ...firstDestination], question },
  ];
}

const TRANSLATED = stateIs("DNAT");

const UNTRANSLATED: Match = { kind: "conntrack", states: ["DNAT"], invert: true };

function destinationWas({ address, bits }: Prefix, invert: boolean): Match {
  const origdst = { address, mask: prefixMask(bits), invert };
  return { kind: "conntrack", states: undefined, invert: false, addresses: { origdst } };
}

const EVERY_POD: LabelledPods = {
  kind: "labels",
  namespace: undefined,
  namespaceSelector: undefined,
  podSelector: { requirements: [] },
};

const EVERY_NODE: LabelSelector = { requirements: [] };

/** What no manifest tells of a peer, in words. */
export function missingOf(peer: PolicyPeer, { sets, dialect }: PolicyContext): string | undefined {
  switch (peer.kind) {
    case "domains": {
      const unknown = peer.domainNames.filter((name) => !sets.knowsDomain(name));
      return unknown.length === 0 ? undefined : `the addresses of ${unknown.join(", ")}`;
    }
    case "nodes":
      return sets.knowsNodes() ? undefined : EVERY_NODE_KNOWN;
    case "block":
      return dialect.blocksHoldNodes === "yes" || sets.knowsNodes() ? undefined : EVERY_NODE_KNOWN;
    case "pods":
    case "networks":
      return undefined;
  }
}

const EVERY_NODE_KNOWN = "the labels and addresses of every node";
