// The switch that picks a match's function (assembly/match/), one for each extension. A match reads the
// walk's record; when it lacks a fact it asks for it. Negation comes after the exits of packets that
// cannot be read.
import { ask } from "./fork";
import {
  MATCH_ADDRESS,
  MATCH_ADDRTYPE,
  MATCH_COMMENT,
  MATCH_CONNMARK,
  MATCH_CONNTRACK,
  MATCH_DSCP,
  MATCH_FRAGMENT,
  MATCH_AH,
  MATCH_DEVGROUP,
  MATCH_ECN,
  MATCH_ESP,
  MATCH_EUI64,
  MATCH_FRAG6,
  MATCH_HELPER,
  MATCH_IPCOMP,
  MATCH_IPV6HEADER,
  MATCH_MH,
  MATCH_OPTIONS,
  MATCH_OWNER,
  MATCH_PHYSDEV,
  MATCH_POLICY,
  MATCH_REALM,
  MATCH_RT,
  MATCH_SRH,
  MATCH_TCPMSS,
  MATCH_HEADER_SIZE,
  MATCH_ICMP,
  MATCH_INTERFACE,
  MATCH_INVERT,
  MATCH_IPRANGE,
  MATCH_KIND,
  MATCH_LENGTH,
  MATCH_LIMIT,
  MATCH_CONNBYTES,
  MATCH_CONNLIMIT,
  MATCH_HASHLIMIT,
  MATCH_RECENT,
  MATCH_TIME,
  MATCH_BPF,
  MATCH_STRING,
  MATCH_U32,
  MATCH_MAC,
  MATCH_MARK,
  MATCH_MULTIPORT,
  MATCH_NTH,
  MATCH_OPAQUE,
  MATCH_PKTTYPE,
  MATCH_PORT,
  MATCH_PROTOCOL,
  MATCH_QUOTA,
  MATCH_RANDOM,
  MATCH_RPFILTER,
  MATCH_SET,
  MATCH_STATE,
  MATCH_TOS,
  MATCH_TTL,
  PACKET_AUTHENTICATED,
  REASON_NOT_MODELLED,
} from "./layout";
import { matchAddress, matchIprange } from "./match/address";
import { matchAddrtype } from "./match/addrtype";
import { matchConnmark, matchConntrack, matchHelper } from "./match/connection";
import { matchDscp, matchFragment, matchLength, matchTos, matchTtl } from "./match/header";
import { matchIcmp } from "./match/icmp";
import { matchInterface } from "./match/interface";
import { matchU32 } from "./match/u32";
import { matchString } from "./match/string";
import { matchBpf } from "./match/bpf";
import { matchTime } from "./match/time";
import { matchRecent } from "./match/recent";
import { matchHashlimit } from "./match/hashlimit";
import { matchConnlimit } from "./match/connlimit";
import { matchConnbytes } from "./match/connbytes";
import { matchDevgroup, matchOwner, matchPhysdev, matchRealm } from "./match/device";
import {
  matchFrag,
  matchIpv6header,
  matchMh,
  matchOptions,
  matchRt,
  matchSrh,
} from "./match/extension-header";
import { matchAh, matchEsp, matchIpcomp } from "./match/ipsec";
import { matchLimit } from "./match/limit";
import { matchEui64, matchMac, matchPkttype } from "./match/link";
import { matchMark } from "./match/mark";
import { matchMultiport } from "./match/multiport";
import { matchPort } from "./match/port";
import { matchQuota } from "./match/quota";
import { matchRpfilter } from "./match/rpfilter";
import { matchSet } from "./match/set";
import { matchNth, matchRandom } from "./match/statistic";
import { matchEcn, matchTcpmss } from "./match/tcp";
import { walk } from "./walk";

// Offset of a match's payload.
const PAYLOAD: usize = MATCH_HEADER_SIZE;
const AUTHENTICATION: u32 = 51;

/** Tells whether the packet under way satisfies a match. `rule` is the rule it belongs to. */
export function matches(match: usize, rule: i32): bool {
  const invert = load<u8>(match, MATCH_INVERT) != 0;
  const kind: u32 = load<u16>(match, MATCH_KIND);
  if (((LASTING >> kind) & 1) == 0) walk.volatile = true;
  switch (<i32>kind) {
    case MATCH_ADDRESS:
      return matchAddress(match, rule) != invert;
    case MATCH_INTERFACE:
      return matchInterface(match, rule) != invert;
    case MATCH_PROTOCOL:
      return (load<u8>(match, PAYLOAD) == protocolSeen()) != invert;
    case MATCH_FRAGMENT:
      return matchFragment(match, rule) != invert;
    case MATCH_PORT:
      return matchPort(match, rule);
    case MATCH_MULTIPORT:
      return matchMultiport(match, rule, invert);
    case MATCH_ICMP:
      return matchIcmp(match, rule, invert);
    case MATCH_CONNTRACK:
      return matchConntrack(match, rule);
    case MATCH_STATE:
      return ((load<u8>(match, PAYLOAD) & walk.ctState) != 0) != invert;
    case MATCH_CONNMARK:
      return matchConnmark(match, rule, invert);
    case MATCH_MARK:
      return matchMark(match, rule) != invert;
    case MATCH_SET:
      return matchSet(match, rule) != invert;
    case MATCH_IPRANGE:
      return matchIprange(match);
    case MATCH_ADDRTYPE:
      return matchAddrtype(match, rule);
    case MATCH_RANDOM:
      return matchRandom(match, rule) != invert;
    case MATCH_NTH:
      return matchNth(match, rule) != invert;
    case MATCH_LENGTH:
      return matchLength(match, rule) != invert;
    case MATCH_TTL:
      return matchTtl(match, rule) != invert;
    case MATCH_DSCP:
      return matchDscp(match, rule) != invert;
    case MATCH_TOS:
      return matchTos(match, rule) != invert;
    case MATCH_MAC:
      return matchMac(match, rule, invert);
    case MATCH_PKTTYPE:
      return matchPkttype(match, rule) != invert;
    case MATCH_RPFILTER:
      return matchRpfilter(match, rule) != invert;
    case MATCH_LIMIT:
      return matchLimit(match, rule);
    case MATCH_QUOTA:
      return matchQuota(match, rule) != invert;
    case MATCH_U32:
      return matchU32(match, rule) != invert;
    case MATCH_STRING:
      return matchString(match, rule) != invert;
    case MATCH_BPF:
      return matchBpf(match, rule);
    case MATCH_TIME:
      return matchTime(match, rule);
    case MATCH_RECENT:
      return matchRecent(match, rule, invert);
    case MATCH_HASHLIMIT:
      return matchHashlimit(match, rule, invert);
    case MATCH_CONNLIMIT:
      return matchConnlimit(match, rule, invert);
    case MATCH_CONNBYTES:
      return matchConnbytes(match, rule, invert);
    case MATCH_ECN:
      return matchEcn(match, rule);
    case MATCH_TCPMSS:
      return matchTcpmss(match, rule, invert);
    case MATCH_ESP:
      return matchEsp(match, rule, invert);
    case MATCH_AH:
      return matchAh(match, rule, invert);
    case MATCH_IPCOMP:
      return matchIpcomp(match, rule, invert);
    case MATCH_FRAG6:
      return matchFrag(match, rule, invert);
    case MATCH_OPTIONS:
      return matchOptions(match, rule);
    case MATCH_RT:
      return matchRt(match, rule, invert);
    case MATCH_SRH:
      return matchSrh(match, rule);
    case MATCH_MH:
      return matchMh(match, rule, invert);
    case MATCH_IPV6HEADER:
      return matchIpv6header(match, rule, invert);
    case MATCH_EUI64:
      return matchEui64(match, rule);
    case MATCH_HELPER:
      return matchHelper(match, rule, invert);
    case MATCH_REALM:
      return matchRealm(match, rule) != invert;
    case MATCH_DEVGROUP:
      return matchDevgroup(match, rule);
    case MATCH_OWNER:
      return matchOwner(match, rule);
    case MATCH_PHYSDEV:
      return matchPhysdev(match, rule);
    // No policy of IPsec is in force.
    case MATCH_POLICY:
      return load<u8>(match, PAYLOAD) != 0;
    case MATCH_COMMENT:
      return true;
    case MATCH_OPAQUE:
      return ask(<u64>match, REASON_NOT_MODELLED, rule);
    default:
      return unreachable();
  }
}

// Kinds that come to the same for every packet of a connection, in one state and seen in one place, or that
// say themselves when they do not.
const LASTING: u64 =
  (1 << (<u64>MATCH_ADDRESS)) |
  (1 << (<u64>MATCH_INTERFACE)) |
  (1 << (<u64>MATCH_PROTOCOL)) |
  (1 << (<u64>MATCH_PORT)) |
  (1 << (<u64>MATCH_MULTIPORT)) |
  (1 << (<u64>MATCH_CONNTRACK)) |
  (1 << (<u64>MATCH_MARK)) |
  (1 << (<u64>MATCH_SET)) |
  (1 << (<u64>MATCH_ICMP)) |
  (1 << (<u64>MATCH_ADDRTYPE)) |
  (1 << (<u64>MATCH_RANDOM)) |
  (1 << (<u64>MATCH_COMMENT)) |
  (1 << (<u64>MATCH_OPAQUE)) |
  (1 << (<u64>MATCH_IPRANGE)) |
  (1 << (<u64>MATCH_CONNMARK)) |
  (1 << (<u64>MATCH_PHYSDEV)) |
  (1 << (<u64>MATCH_RPFILTER)) |
  (1 << (<u64>MATCH_HELPER)) |
  (1 << (<u64>MATCH_REALM)) |
  (1 << (<u64>MATCH_POLICY)) |
  (1 << (<u64>MATCH_FRAGMENT)) |
  (1 << (<u64>MATCH_STATE));

// > iptables-nft takes an authentication header among IPv6's for the protocol itself.
function protocolSeen(): u32 {
  const authenticated = (walk.flags & PACKET_AUTHENTICATED) != 0;
  return walk.nft && authenticated ? AUTHENTICATION : walk.protocol;
}
