/** Every lint of manifests, and the way from manifests to findings. */
import { lintBlockOwners, lintExceptions } from "./blocks.ts";
import type { LintContext } from "./context.ts";
import { lintContradictions } from "./contradictions.ts";
import { lintDns } from "./dns.ts";
import type { LintCode } from "./codes.ts";
import { compareFindings } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { lintItems } from "./items.ts";
import type { Lint } from "./lint.ts";
import { lintNamedPorts } from "./named-ports.ts";
import { lintLogOnly, lintStaged, lintTies } from "./order.ts";
import { lintPeers } from "./peers.ts";
import { lintPeersApart } from "./peers-apart.ts";
import { lintEmptyLists, lintPolicyTypes } from "./policy-types.ts";
import { findRedundancy } from "./redundancy.ts";
import { lintSubjects } from "./subjects.ts";

const LINTS: readonly Lint[] = [
  lintSubjects,
  lintContradictions,
  lintPeers,
  lintPeersApart,
  lintBlockOwners,
  lintExceptions,
  lintNamedPorts,
  lintPolicyTypes,
  lintEmptyLists,
  lintDns,
  lintLogOnly,
  lintStaged,
  lintTies,
  lintItems,
];

/** What was found, and what was not looked at. */
export interface Linted {
  /** In the order of their places. */
  readonly findings: readonly Finding[];
  /** Sentences. */
  readonly limits: readonly string[];
}

/** Runs every lint. */
export function lintManifests(context: LintContext): Linted {
  const { findings, cutOff } = findRedundancy(context);
  return {
    findings: settleFindings([...LINTS.flatMap((lint) => [...lint(context)]), ...findings]),
    limits: cutOff ? [TOO_MUCH] : [],
  };
}

const TOO_MUCH =
  "What makes no difference was looked for in a part of the policies only: all of them would take too long.";

/**
 * Orders findings, and leaves each once; what one place means says more than that it means nobody, and that no
 * packet can match a rule more than that none did.
 */
export function settleFindings(findings: readonly Finding[]): Finding[] {
  const keyOf = ({ code, place, message }: Finding): string =>
    JSON.stringify([code, place, message]);
  const unique = new Map(findings.map((finding) => [keyOf(finding), finding]));
  const placesOf = (...codes: readonly LintCode[]): ReadonlySet<string> =>
    new Set(
      findings.flatMap(({ code, place }) => (codes.includes(code) ? [JSON.stringify(place)] : [])),
    );
  const apart = placesOf("PEERS_APART");
  const unmatched = placesOf("COVERED_RULE", "UNREACHED_RULE");
  const saysLess = ({ code, place }: Finding): boolean =>
    (code === "PEER_MATCHES_NOTHING" && apart.has(JSON.stringify(place))) ||
    (code === "NEVER_HIT_RULE" && place !== undefined && unmatched.has(JSON.stringify(place)));
  return [...unique.values()].filter((finding) => !saysLess(finding)).sort(compareFindings);
}
