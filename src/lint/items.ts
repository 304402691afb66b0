/** Items of one list that another item of it makes useless: in every cluster, by what is written. */
import { formatPolicyRef } from "../policy/model.ts";
import type { PeerRule, PolicyPort } from "../policy/model.ts";
import { DIRECTIONS } from "./context.ts";
import type { LintContext } from "./context.ts";
import type { Finding } from "./finding.ts";
import { peerCovers, portsCover } from "./inclusion.ts";

/** Longer lists than this are not compared item by item. */
const ITEMS_MAX = 500;

/** Finds REDUNDANT_ITEM. */
export function* lintItems({ policies }: LintContext): Generator<Finding> {
  for (const policy of policies) {
    for (const direction of DIRECTIONS) {
      for (const rule of policy[direction] ?? []) {
        if (rule.kind !== "peers") continue;
        const where = `${formatPolicyRef(policy.ref)} ${direction}[${rule.index}]`;
        yield* redundantPeers(where, rule);
        yield* redundantPorts(where, rule);
      }
    }
  }
}

function* redundantPeers(where: string, { peers = [] }: PeerRule): Generator<Finding> {
  const compared = peers.slice(0, ITEMS_MAX);
  for (const [index, peer] of compared.entries()) {
    const outer = compared.findIndex(
      (other, at) =>
        at !== index && peerCovers(other, peer) && (at < index || !peerCovers(peer, other)),
    );
    if (outer < 0) continue;
    const same = outer < index && peerCovers(peer, compared[outer] ?? peer);
    const lies = same ? "says the same as" : "lies within";
    const message = `${where}: peer ${index + 1} of the list ${lies} peer ${outer + 1}`;
    yield { code: "REDUNDANT_ITEM", severity: "note", message, place: peer.place };
  }
}

function* redundantPorts(where: string, { ports = [] }: PeerRule): Generator<Finding> {
  const compared = ports.slice(0, ITEMS_MAX);
  const gone = new Set<PolicyPort>();
  for (const [index, port] of compared.entries()) {
    const others = compared.filter(
      (other, at) => at !== index && !gone.has(other) && (at < index || !portsCover([port], other)),
    );
    if (!portsCover(others, port)) continue;
    gone.add(port);
    const message = `${where}: ${portText(port)} is among the other ports of the list`;
    yield { code: "REDUNDANT_ITEM", severity: "note", message, place: port.place };
  }
}

function portText(port: PolicyPort): string {
  if (port.kind === "named") return `port "${port.name}"`;
  const { protocol, first, last } = port;
  return `port ${first === last ? first : `${first}-${last}`}/${protocol}`;
}
