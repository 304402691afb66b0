/** The registry of match extensions, and the union of what they match. */
import type { Family } from "../net/address.ts";
import { connmarkMatch } from "./connmark.ts";
import type { ConnmarkMatch } from "./connmark.ts";
import { dscpMatch } from "./dscp.ts";
import type { DscpMatch } from "./dscp.ts";
import { fragmentMatch } from "./fragment.ts";
import type { FragmentMatch } from "./fragment.ts";
import { limitMatch } from "./limit.ts";
import type { LimitMatch } from "./limit.ts";
import { quotaMatch } from "./quota.ts";
import type { QuotaMatch } from "./quota.ts";
import { u32Match } from "./u32.ts";
import type { U32Match } from "./u32.ts";
import { stringMatch } from "./string.ts";
import type { StringMatch } from "./string.ts";
import { bpfMatch, bpfModule } from "./bpf.ts";
import type { BpfMatch } from "./bpf.ts";
import { timeMatch } from "./time.ts";
import type { TimeMatch } from "./time.ts";
import { recentMatch } from "./recent.ts";
import type { RecentMatch } from "./recent.ts";
import { hashlimitMatch } from "./hashlimit.ts";
import type { HashlimitMatch } from "./hashlimit.ts";
import { connlimitMatch } from "./connlimit.ts";
import type { ConnlimitMatch } from "./connlimit.ts";
import { connbytesMatch } from "./connbytes.ts";
import type { ConnbytesMatch } from "./connbytes.ts";
import { iprangeMatch } from "./iprange.ts";
import type { IprangeMatch } from "./iprange.ts";
import { lengthMatch } from "./length.ts";
import type { LengthMatch } from "./length.ts";
import { macMatch } from "./mac.ts";
import type { MacMatch } from "./mac.ts";
import { pkttypeMatch } from "./pkttype.ts";
import type { PkttypeMatch } from "./pkttype.ts";
import { rpfilterMatch } from "./rpfilter.ts";
import type { RpfilterMatch } from "./rpfilter.ts";
import { stateMatch } from "./state.ts";
import type { StateMatch } from "./state.ts";
import { tosMatch } from "./tos.ts";
import type { TosMatch } from "./tos.ts";
import { ttlMatch } from "./ttl.ts";
import type { TtlMatch } from "./ttl.ts";
import { addressMatch } from "./address.ts";
import type { AddressMatch } from "./address.ts";
import { addrtypeMatch } from "./addrtype.ts";
import type { AddrtypeMatch } from "./addrtype.ts";
import { commentMatch } from "./comment.ts";
import type { CommentMatch } from "./comment.ts";
import { conntrackMatch } from "./conntrack.ts";
import type { ConntrackMatch } from "./conntrack.ts";
import type { MatchExtension, Module } from "./extension.ts";
import { icmpMatch } from "./icmp.ts";
import type { IcmpMatch } from "./icmp.ts";
import { interfaceMatch } from "./interface.ts";
import type { InterfaceMatch } from "./interface.ts";
import { markMatch } from "./mark.ts";
import type { MarkMatch } from "./mark.ts";
import { multiportMatch } from "./multiport.ts";
import type { MultiportMatch } from "./multiport.ts";
import { opaqueMatch } from "./opaque.ts";
import type { OpaqueMatch } from "./opaque.ts";
import { portMatch } from "./port.ts";
import type { PortMatch } from "./port.ts";
import { protocolMatch } from "./protocol.ts";
import type { ProtocolMatch } from "./protocol.ts";
import { nthMatch, randomMatch, statisticModule } from "./random.ts";
import type { NthMatch, RandomMatch } from "./random.ts";
import { ahMatch } from "./ah.ts";
import type { AhMatch } from "./ah.ts";
import { devgroupMatch } from "./devgroup.ts";
import type { DevgroupMatch } from "./devgroup.ts";
import { ecnMatch } from "./ecn.ts";
import type { EcnMatch } from "./ecn.ts";
import { espMatch } from "./esp.ts";
import type { EspMatch } from "./esp.ts";
import { eui64Match } from "./eui64.ts";
import type { Eui64Match } from "./eui64.ts";
import { fragMatch } from "./frag.ts";
import type { FragMatch } from "./frag.ts";
import { helperMatch } from "./helper.ts";
import type { HelperMatch } from "./helper.ts";
import { ipcompMatch } from "./ipcomp.ts";
import type { IpcompMatch } from "./ipcomp.ts";
import { ipv6headerMatch } from "./ipv6header.ts";
import type { Ipv6headerMatch } from "./ipv6header.ts";
import { mhMatch } from "./mh.ts";
import type { MhMatch } from "./mh.ts";
import { optionsMatch } from "./options.ts";
import type { OptionsMatch } from "./options.ts";
import { ownerMatch } from "./owner.ts";
import type { OwnerMatch } from "./owner.ts";
import { physdevMatch } from "./physdev.ts";
import type { PhysdevMatch } from "./physdev.ts";
import { policyMatch } from "./policy.ts";
import type { PolicyMatch } from "./policy.ts";
import { realmMatch } from "./realm.ts";
import type { RealmMatch } from "./realm.ts";
import { rtMatch } from "./rt.ts";
import type { RtMatch } from "./rt.ts";
import { srhMatch } from "./srh.ts";
import type { SrhMatch } from "./srh.ts";
import { tcpmssMatch } from "./tcpmss.ts";
import type { TcpmssMatch } from "./tcpmss.ts";
import { setMatch } from "./set.ts";
import type { SetMatch } from "./set.ts";

/** One condition of a rule. */
export type Match =
  | AddressMatch
  | AddrtypeMatch
  | CommentMatch
  | ConntrackMatch
  | IcmpMatch
  | InterfaceMatch
  | MarkMatch
  | MultiportMatch
  | OpaqueMatch
  | PortMatch
  | ProtocolMatch
  | RandomMatch
  | SetMatch
  | ConnmarkMatch
  | DscpMatch
  | FragmentMatch
  | IprangeMatch
  | LengthMatch
  | MacMatch
  | PkttypeMatch
  | RpfilterMatch
  | StateMatch
  | TosMatch
  | TtlMatch
  | NthMatch
  | LimitMatch
  | QuotaMatch
  | U32Match
  | StringMatch
  | BpfMatch
  | TimeMatch
  | RecentMatch
  | HashlimitMatch
  | ConnlimitMatch
  | ConnbytesMatch
  | AhMatch
  | DevgroupMatch
  | EcnMatch
  | EspMatch
  | Eui64Match
  | FragMatch
  | HelperMatch
  | IpcompMatch
  | Ipv6headerMatch
  | MhMatch
  | OptionsMatch
  | OwnerMatch
  | PhysdevMatch
  | PolicyMatch
  | RealmMatch
  | RtMatch
  | SrhMatch
  | TcpmssMatch;

/** The one registry. Leaving a kind of `Match` out is a compile error. */
export const MATCHES: {
  readonly [K in Match["kind"]]: MatchExtension<Extract<Match, { kind: K }>>;
} = {
  address: addressMatch,
  addrtype: addrtypeMatch,
  comment: commentMatch,
  conntrack: conntrackMatch,
  icmp: icmpMatch,
  interface: interfaceMatch,
  mark: markMatch,
  multiport: multiportMatch,
  opaque: opaqueMatch,
  port: portMatch,
  protocol: protocolMatch,
  random: randomMatch,
  set: setMatch,
  connmark: connmarkMatch,
  dscp: dscpMatch,
  fragment: fragmentMatch,
  iprange: iprangeMatch,
  length: lengthMatch,
  mac: macMatch,
  pkttype: pkttypeMatch,
  rpfilter: rpfilterMatch,
  state: stateMatch,
  tos: tosMatch,
  ttl: ttlMatch,
  nth: nthMatch,
  connbytes: connbytesMatch,
  connlimit: connlimitMatch,
  hashlimit: hashlimitMatch,
  recent: recentMatch,
  time: timeMatch,
  bpf: bpfMatch,
  string: stringMatch,
  u32: u32Match,
  limit: limitMatch,
  quota: quotaMatch,
  ah: ahMatch,
  devgroup: devgroupMatch,
  ecn: ecnMatch,
  esp: espMatch,
  eui64: eui64Match,
  frag: fragMatch,
  helper: helperMatch,
  ipcomp: ipcompMatch,
  ipv6header: ipv6headerMatch,
  mh: mhMatch,
  options: optionsMatch,
  owner: ownerMatch,
  physdev: physdevMatch,
  policy: policyMatch,
  realm: realmMatch,
  rt: rtMatch,
  srh: srhMatch,
  tcpmss: tcpmssMatch,
};

/** Everything that `-m` can load. */
export const MATCH_MODULES: readonly Module<Match>[] = [
  ...Object.values(MATCHES).flatMap((extension): readonly Module<Match>[] => extension.modules),
  statisticModule,
  bpfModule,
];

/** The extension of a match. */
export function matchExtension(match: Match): MatchExtension<Match> {
  // The registry's type pairs each kind with its extension; TypeScript cannot follow the pairing here.
  return MATCHES[match.kind];
}

/** The words iptables-save prints for one match; empty where it prints none. */
export function renderMatch(match: Match, family: Family): string {
  return matchExtension(match).render(match, family);
}

/**
 * The words of all of a rule's matches, in the order iptables-save prints them: the conditions that
 * every rule has room for, then the extensions in the rule's own order.
 */
export function renderMatches(matches: readonly Match[], family: Family): string {
  return orderMatches(matches)
    .map((match) => renderMatch(match, family))
    .filter((words) => words !== "")
    .join(" ");
}

/** Puts addresses, interfaces and protocol first, as the kernel tests them (ip_packet_match). */
export function orderMatches(matches: readonly Match[]): readonly Match[] {
  let before = 0;
  for (const match of matches) {
    const rank = baseRank(match);
    // Sorts are stable: those of one rank stay in their order.
    if (rank < before) return matches.toSorted((one, other) => baseRank(one) - baseRank(other));
    before = rank;
  }
  return matches;
}

const EXTENSION_RANK = 6;

function baseRank(match: Match): number {
  if (match.kind === "address") return match.side === "src" ? 0 : 1;
  if (match.kind === "interface") return match.side === "in" ? 2 : 3;
  if (match.kind === "protocol") return 4;
  return match.kind === "fragment" ? 5 : EXTENSION_RANK;
}
