/** Sets as the text of `ipset save`, which `ipset restore` takes. */
import { formatAddress, formatPrefix, prefixOf, addressBits } from "../net/address.ts";
import type { Address, Prefix } from "../net/address.ts";
import { protocolName } from "../net/protocol.ts";
import type { IpSet, PortMember, Ruleset } from "./model.ts";

/** The first size of the hash; the kernel grows it. */
const HASH_SIZE = 1024;
/** Felix's MaxIPSetSize. */
const MOST_MEMBERS = 1048576;

/** Renders the sets of all families, in their order; the empty text when there are none. */
export function renderIpsets(rulesets: readonly Ruleset[]): string {
  return rulesets
    .flatMap((ruleset) => ruleset.sets)
    .map(renderIpset)
    .join("");
}

function renderIpset(set: IpSet): string {
  const members = [...new Set(memberTexts(set))];
  const family = set.family === 4 ? "inet" : "inet6";
  const most = Math.max(MOST_MEMBERS, members.length);
  return [
    `create ${set.name} ${set.kind} family ${family} hashsize ${HASH_SIZE} maxelem ${most}`,
    ...members.map((member) => `add ${set.name} ${member}`),
    "",
  ].join("\n");
}

function memberTexts(set: IpSet): string[] {
  switch (set.kind) {
    case "hash:net":
      return set.members.flatMap(halves).map(formatNet);
    case "hash:ip,port":
      return set.members.map(formatPortMember);
  }
}

/** hash:net cannot hold a prefix of no bits (ip_set_hash_net): Felix stores its halves. */
function halves(prefix: Prefix): Prefix[] {
  if (prefix.bits > 0) return [prefix];
  const { family } = prefix.address;
  const upper: Address = { family, words: [0x80000000, 0, 0, 0] };
  return [prefixOf(prefix.address, 1), prefixOf(upper, 1)];
}

/** One address is printed without its length. */
function formatNet(prefix: Prefix): string {
  return prefix.bits === addressBits(prefix.address.family)
    ? formatAddress(prefix.address)
    : formatPrefix(prefix);
}

function formatPortMember(member: PortMember): string {
  return `${formatAddress(member.address)},${protocolName(member.protocol)}:${member.port}`;
}
