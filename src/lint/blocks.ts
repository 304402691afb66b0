/** Blocks of addresses: those that nobody has when policies are asked, and exceptions that say nothing. */
import { isRecord } from "../cluster/fields.ts";
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, Service, Snapshot } from "../cluster/snapshot.ts";
import type { Place } from "../errors.ts";
import { addressBits, formatAddress, formatPrefix, prefixContains } from "../net/address.ts";
import type { Address, Prefix } from "../net/address.ts";
import { formatPolicyRef } from "../policy/model.ts";
import type { Direction, Policy, PolicyPeer, PolicyRule } from "../policy/model.ts";
import { DIRECTIONS, valueAt } from "./context.ts";
import type { LintContext } from "./context.ts";
import type { Finding } from "./finding.ts";
import { blockCovers, portsCover, prefixCovers } from "./inclusion.ts";

/** Shorter prefixes than this hold more than what one of them was written for. */
const NARROW_BITS = 8;

/** Finds SERVICE_ADDRESS_IN_BLOCK and POD_ADDRESS_IN_BLOCK. */
export function* lintBlockOwners(context: LintContext): Generator<Finding> {
  const owners = new BlockOwners(context.snapshot);
  for (const policy of context.policies) {
    for (const direction of DIRECTIONS) {
      for (const rule of policy[direction] ?? []) {
        for (const { prefix, place } of prefixesOf(rule, direction)) {
          const where = `${formatPolicyRef(policy.ref)} ${direction}[${rule.index}]`;
          const service = owners.serviceOf(prefix, direction);
          if (service !== undefined) {
            yield serviceFinding({ where, prefix, place, direction }, service, context);
            continue;
          }
          const pod = owners.podOf(prefix);
          if (pod !== undefined) yield podFinding({ where, prefix, place, direction }, pod);
        }
      }
    }
  }
}

/** The blocks that a rule means by the other side. */
function* prefixesOf(
  rule: PolicyRule,
  direction: Direction,
): Generator<{ readonly prefix: Prefix; readonly place: Place }> {
  if (rule.kind === "match") {
    const side = direction === "ingress" ? rule.source : rule.destination;
    for (const prefix of side.nets) yield { prefix, place: rule.place };
    return;
  }
  for (const peer of rule.peers ?? []) {
    if (peer.kind === "block") yield { prefix: peer.prefix, place: peer.place };
    if (peer.kind !== "networks") continue;
    for (const prefix of peer.prefixes) yield { prefix, place: peer.place };
  }
}

interface BlockPlace {
  readonly where: string;
  readonly prefix: Prefix;
  readonly place: Place;
  readonly direction: Direction;
}

/** Tells whose addresses blocks hold. */
export class BlockOwners {
  readonly #snapshot: Snapshot;
  readonly #others: readonly Address[];
  readonly #podByAddress: ReadonlyMap<string, Endpoint>;

  constructor(snapshot: Snapshot) {
    const { endpoints, nodeByName, hostEndpoints } = snapshot;
    this.#snapshot = snapshot;
    this.#others = [endpoints, [...nodeByName.values()], hostEndpoints]
      .flat()
      .flatMap(({ addresses }) => addresses);
    this.#podByAddress = new Map(
      endpoints.flatMap((endpoint) =>
        endpoint.addresses.map((address) => [formatAddress(address), endpoint] as const),
      ),
    );
  }

  /**
   * A Service that the block was written for: it holds its address, and nobody else's of the cluster. From an
   * external address, or that of a load balancer, somebody outside may send.
   */
  serviceOf(prefix: Prefix, direction: Direction): Service | undefined {
    const single = prefix.bits === addressBits(prefix.address.family);
    const asDestination = single && direction === "egress";
    const service = this.#snapshot.services.find(
      ({ proxy, families, clusterAddresses, externalAddresses, balancerAddresses }) =>
        proxy === undefined &&
        families.length > 0 &&
        // Addresses beside a balancer's may be somebody's outside of the cluster.
        [clusterAddresses, asDestination ? [externalAddresses, balancerAddresses].flat() : []]
          .flat()
          .some((address) => prefixContains(prefix, address)),
    );
    if (service === undefined) return undefined;
    if (!single && (prefix.bits < NARROW_BITS || this.#others.length === 0)) return undefined;
    return this.#others.some((address) => prefixContains(prefix, address)) ? undefined : service;
  }

  /** The pod that has the block's only address. */
  podOf({ address, bits }: Prefix): Endpoint | undefined {
    if (bits !== addressBits(address.family)) return undefined;
    return this.#podByAddress.get(formatAddress(address));
  }
}

function serviceFinding(
  { where, prefix, place, direction }: BlockPlace,
  service: Service,
  { objects }: LintContext,
): Finding {
  const object = objects.find(
    ({ kind, metadata }) =>
      kind === "Service" &&
      metadata.namespace === service.namespace &&
      metadata.name === service.name,
  );
  const selector = object === undefined ? undefined : valueAt(object, ["spec", "selector"]);
  const why =
    direction === "egress"
      ? "policies see the address of the pod that it is translated to"
      : "nobody sends from it";
  return {
    code: "SERVICE_ADDRESS_IN_BLOCK",
    severity: "warning",
    message: `${where}: ${formatPrefix(prefix)} holds the address of Service ${endpointName(service)} and of no pod or node: ${why}`,
    place,
    suggestion:
      isRecord(selector) && Object.keys(selector).length > 0
        ? selectPods(service.namespace, Object.entries(selector))
        : undefined,
  };
}

function podFinding(
  { where, prefix, place }: BlockPlace,
  { namespace, name, labels }: Endpoint,
): Finding {
  // What a controller adds is of one revision, or of one pod.
  const lasting = [...labels].filter(([key]) => !/hash|controller-uid|pod-name|revision/.test(key));
  return {
    code: "POD_ADDRESS_IN_BLOCK",
    severity: "note",
    message: `${where}: ${formatPrefix(prefix)} is the address of pod ${namespace}/${name} today, and of another one once it is replaced`,
    place,
    suggestion: lasting.length === 0 ? undefined : selectPods(namespace, lasting.slice(0, 2)),
  };
}

function selectPods(namespace: string, labels: readonly (readonly [string, unknown])[]): string {
  const texts = labels.map(([key, value]) => `${key}: ${String(value)}`).join(", ");
  return `select the pods: namespaceSelector {matchLabels: {kubernetes.io/metadata.name: ${namespace}}} with podSelector {matchLabels: {${texts}}}`;
}

/** Finds EXCEPT_COVERS_ALL, EXCEPT_USELESS and EXCEPT_UNDONE. */
export function* lintExceptions({ policies }: LintContext): Generator<Finding> {
  for (const policy of policies) {
    for (const direction of DIRECTIONS) {
      for (const rule of policy[direction] ?? []) {
        if (rule.kind !== "peers") continue;
        for (const peer of rule.peers ?? []) {
          if (peer.kind !== "block" || peer.except.length === 0) continue;
          const where = `${formatPolicyRef(policy.ref)} ${direction}[${rule.index}]`;
          yield* exceptionFindings(where, peer);
          yield* undone(where, peer, { rule, policy, direction });
        }
      }
    }
  }
}

type BlockPeer = Extract<PolicyPeer, { kind: "block" }>;

function* exceptionFindings(
  where: string,
  { prefix, except, place }: BlockPeer,
): Generator<Finding> {
  if (coversAll(prefix, except)) {
    const message = `${where}: the exceptions leave no address of ${formatPrefix(prefix)}`;
    yield { code: "EXCEPT_COVERS_ALL", severity: "warning", message, place };
    return;
  }
  for (const [index, gap] of except.entries()) {
    const outer = except.find(
      (other, at) =>
        at !== index && prefixCovers(other, gap) && (other.bits < gap.bits || at < index),
    );
    if (outer === undefined) continue;
    const same = outer.bits === gap.bits;
    const message = `${where}: the exception ${formatPrefix(gap)} ${same ? "is there twice" : `lies inside ${formatPrefix(outer)}`}`;
    yield { code: "EXCEPT_USELESS", severity: "note", message, place };
  }
}

/** Exceptions lie within each other or apart: those that lie in no other one are counted. */
function coversAll({ bits }: Prefix, except: readonly Prefix[]): boolean {
  const outermost = except.filter(
    (gap, index) =>
      !except.some(
        (other, at) =>
          at !== index && prefixCovers(other, gap) && (other.bits < gap.bits || at < index),
      ),
  );
  return outermost.reduce((sum, gap) => sum + 2 ** (bits - gap.bits), 0) >= 1;
}

/** `except` denies nothing: a peer beside it, on the same ports, may mean what it leaves out. */
function* undone(
  where: string,
  { prefix, except, place }: BlockPeer,
  {
    rule,
    policy,
    direction,
  }: {
    readonly rule: Extract<PolicyRule, { kind: "peers" }>;
    readonly policy: Policy;
    readonly direction: Direction;
  },
): Generator<Finding> {
  const others = (policy[direction] ?? []).flatMap((other) =>
    other.kind === "peers" &&
    other.action === rule.action &&
    (rule.ports === undefined
      ? other.ports === undefined
      : rule.ports.every((port) => portsCover(other.ports, port)))
      ? [other]
      : [],
  );
  for (const gap of except) {
    const outer = others.find(
      ({ peers }) =>
        peers === undefined ||
        peers.some(
          (peer) => peer.kind === "block" && blockCovers(peer, { prefix: gap, except: [] }),
        ),
    );
    if (outer === undefined) continue;
    const message = `${where}: what ${formatPrefix(prefix)} leaves out by the exception ${formatPrefix(gap)}, ${direction}[${outer.index}] allows all the same`;
    yield { code: "EXCEPT_UNDONE", severity: "warning", message, place };
  }
}
