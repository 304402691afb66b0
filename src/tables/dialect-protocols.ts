/**
 * Protocols that a NetworkPolicy cannot name, and SCTP, which not everybody handles: two chains, of what is
 * dropped before any policy, and of what may be let through or not where policies isolate a pod.
 *
 * > NetworkPolicy is defined for layer 4 connections (TCP, UDP, and optionally SCTP). For all the other
 * > protocols, the behaviour may vary across network plugins.
 */
import type { Family } from "../net/address.ts";
import { PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from "../net/protocol.ts";
import type { Match } from "../match/index.ts";
import type { Dialect, ProtocolAnswer } from "../policy/dialect.ts";
import { doesRule, openRule } from "./dialect-rule.ts";
import type { Chain, Rule } from "./model.ts";
import { CHAIN_DROPPED_PROTOCOLS, CHAIN_OPEN_PROTOCOLS } from "./names.ts";
import { bitsSet, DROP, jump, makeRule, MARK_ACCEPT, protocolIs, RETURN, setBits } from "./rule.ts";

const PROTOCOL_ICMP = 1;
const PROTOCOL_SCTP = 132;

/** The jump to what is dropped whatever policies say; nothing where nothing is. */
export function compileDroppedJump(dialect: Dialect): Rule[] {
  return answers(dialect, "dropped") ? [makeRule({ target: jump(CHAIN_DROPPED_PROTOCOLS) })] : [];
}

/** The jump to what isolation may mean or not, and what ends the endpoint's chain if it does not. */
export function compileOpenJump(dialect: Dialect): Rule[] {
  if (!answers(dialect, "open")) return [];
  return [
    makeRule({ target: jump(CHAIN_OPEN_PROTOCOLS) }),
    makeRule({ matches: [bitsSet(MARK_ACCEPT)], target: RETURN }),
  ];
}

/** Compiles the chains that are jumped to. */
export function compileProtocolChains(dialect: Dialect, family: Family): Chain[] {
  const drops = (matches: readonly Match[]): Rule[] => [
    doesRule(dialect, "protocol", "drop", { matches, target: DROP }),
  ];
  const opens = (matches: readonly Match[]): Rule[] => [
    openRule(dialect, "protocol", { matches, target: setBits(MARK_ACCEPT) }),
    makeRule({ matches: [bitsSet(MARK_ACCEPT)], target: RETURN }),
    makeRule({
      matches,
      target: DROP,
      origin: {
        kind: "dialect",
        answer: "open",
        about: { question: "protocol", dialect: dialect.title },
      },
    }),
  ];
  return [
    ...chainOf(CHAIN_DROPPED_PROTOCOLS, dialect, family, "dropped", drops),
    ...chainOf(CHAIN_OPEN_PROTOCOLS, dialect, family, "open", opens),
  ];
}

function answers({ icmp, sctp, otherProtocols }: Dialect, wanted: ProtocolAnswer): boolean {
  return [icmp, sctp, otherProtocols].includes(wanted);
}

/** Protocols with another answer leave the chain before the rest comes to its end. */
function chainOf(
  name: string,
  dialect: Dialect,
  family: Family,
  wanted: ProtocolAnswer,
  make: (matches: readonly Match[]) => Rule[],
): Chain[] {
  if (!answers(dialect, wanted)) return [];
  const byProtocol: readonly [number, ProtocolAnswer][] = [
    [PROTOCOL_TCP, "by-rules"],
    [PROTOCOL_UDP, "by-rules"],
    [family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6, dialect.icmp],
    [PROTOCOL_SCTP, dialect.sctp],
  ];
  const rules = byProtocol.flatMap(([protocol, answer]) => {
    const matches = [protocolIs(protocol)];
    return answer === wanted ? make(matches) : [makeRule({ matches, target: RETURN })];
  });
  const rest = dialect.otherProtocols === wanted ? make([]) : [];
  return [{ name, policy: undefined, partlyPrinted: true, rules: [...rules, ...rest] }];
}
