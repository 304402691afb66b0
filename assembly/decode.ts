// Frame bytes to packet record: the entry, and the link layer.
// Leaves the IP headers to decode-ipv4.ts and decode-ipv6.ts. Everywhere in these files `captured`
// counts the bytes that lie at an address and `wire` those that were there on the wire: what is short
// by `captured` is unknown, what is short by `wire` is malformed. captured <= wire.
import {
  LINK_ETHERNET,
  LINK_IPV4,
  LINK_IPV6,
  LINK_LINUX_SLL,
  LINK_LINUX_SLL2,
  LINK_LOOP,
  LINK_NULL,
  LINK_RAW,
  LINK_RAW_BSD,
  LINK_RAW_OPENBSD,
  MALFORMED_IP,
  PACKET_DECODED,
  PACKET_HAS_MAC,
  PACKET_HAS_SENDER,
  PACKET_INBOUND,
  PACKET_NOT_IP,
  PACKET_OTHER_HOST,
  PACKET_OUTBOUND,
  PACKET_TRUNCATED,
  PACKET_UNKNOWN_LINK,
  VLAN_OTHER,
} from "./layout";
import { decodeIpv4 } from "./decode-ipv4";
import { decodeIpv6 } from "./decode-ipv6";
import { Packet } from "./records";

// Ethernet II (IEEE 802.3, clause 3.1).
const ETHERNET_DST: u32 = 0;
const ETHERNET_DST_TAIL: u32 = 4;
const ETHERNET_SRC: u32 = 6;
const ETHERNET_SRC_TAIL: u32 = 10;
const ETHERNET_TYPE: u32 = 12;
const ETHERNET_SIZE: u32 = 14;

// VLAN tag (IEEE 802.1Q, clause 9.6), counted from behind the EtherType that announces it.
const VLAN_TCI: u32 = 0;
const VLAN_TYPE: u32 = 2;
const VLAN_SIZE: u32 = 4;
const VLAN_TAGS_MAX: u32 = 8;

// LINKTYPE_LINUX_SLL, the cooked header of `-i any`.
const SLL_PACKET_TYPE: u32 = 0;
const SLL_ADDRESS_LENGTH: u32 = 4;
const SLL_ADDRESS: u32 = 6;
const SLL_PROTOCOL: u32 = 14;
const SLL_SIZE: u32 = 16;

// LINKTYPE_LINUX_SLL2.
const SLL2_PROTOCOL: u32 = 0;
const SLL2_PACKET_TYPE: u32 = 10;
const SLL2_ADDRESS_LENGTH: u32 = 11;
const SLL2_ADDRESS: u32 = 12;
const SLL2_SIZE: u32 = 20;

const MAC_SIZE: u32 = 6;

// sll_pkttype of both (linux/if_packet.h).
const SLL_MULTICAST: u32 = 2;
const SLL_OTHER_HOST: u32 = 3;
const SLL_OUTGOING: u32 = 4;

// LINKTYPE_NULL and LINKTYPE_LOOP: an address family of the capturing system.
const NULL_FAMILY: u32 = 0;
const NULL_SIZE: u32 = 4;
const AF_INET: u32 = 2;
const AF_INET6_LINUX: u32 = 10;
const AF_INET6_BSD: u32 = 24;
const AF_INET6_FREEBSD: u32 = 28;
const AF_INET6_DARWIN: u32 = 30;

const ETHERTYPE_IPV4: u32 = 0x0800;
const ETHERTYPE_IPV6: u32 = 0x86dd;
const ETHERTYPE_VLAN: u32 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u32 = 0x88a8;
const ETHERTYPE_QINQ: u32 = 0x9100;

/**
 * Fills the decoded part of a packet record from its frame's bytes.
 *
 * The record's reader part is filled, the rest is zero, and `capturedLength` bytes lie at `frame`.
 * A record that its reader decoded (PACKET_DECODED) is left alone. Where the frame came from
 * (PACKET_INBOUND, PACKET_OUTBOUND) is added to what the reader knew.
 */
export function decode(packet: Packet): void {
  if ((packet.flags & PACKET_DECODED) != 0) return;
  const frame = <usize>packet.frame;
  const captured = packet.capturedLength;
  let wire = packet.originalLength;
  if (captured < wire) {
    packet.flags |= PACKET_TRUNCATED;
  } else {
    // Some writers give fewer bytes on the wire than they captured.
    wire = captured;
  }
  switch (<i32>packet.linkType) {
    case LINK_ETHERNET:
      return decodeEthernet(packet, frame, captured, wire);
    case LINK_LINUX_SLL:
      return decodeSll(packet, frame, captured, wire);
    case LINK_LINUX_SLL2:
      return decodeSll2(packet, frame, captured, wire);
    case LINK_NULL:
    case LINK_LOOP:
      return decodeNull(packet, frame, captured, wire);
    case LINK_RAW:
    case LINK_RAW_BSD:
    case LINK_RAW_OPENBSD:
      return decodeRaw(packet, frame, captured, wire);
    case LINK_IPV4:
      return decodeIpv4(packet, frame, captured, wire);
    case LINK_IPV6:
      return decodeIpv6(packet, frame, captured, wire);
    default:
      packet.flags |= PACKET_UNKNOWN_LINK;
  }
}

function decodeEthernet(packet: Packet, at: usize, captured: u32, wire: u32): void {
  if (wire < ETHERNET_SIZE) {
    packet.flags |= PACKET_NOT_IP;
    return;
  }
  if (captured < ETHERNET_SIZE) return;
  packet.dstMac = load<u32>(at, ETHERNET_DST);
  packet.dstMacTail = load<u16>(at, ETHERNET_DST_TAIL);
  packet.srcMac = load<u32>(at, ETHERNET_SRC);
  packet.srcMacTail = load<u16>(at, ETHERNET_SRC_TAIL);
  packet.flags |= PACKET_HAS_MAC;
  const etherType = <u32>bswap<u16>(load<u16>(at, ETHERNET_TYPE));
  decodeEtherType(
    packet,
    etherType,
    at + ETHERNET_SIZE,
    captured - ETHERNET_SIZE,
    wire - ETHERNET_SIZE,
  );
}

function decodeSll(packet: Packet, at: usize, captured: u32, wire: u32): void {
  if (wire < SLL_SIZE) {
    packet.flags |= PACKET_NOT_IP;
    return;
  }
  if (captured < SLL_SIZE) return;
  packet.flags |= sllDirection(<u32>bswap<u16>(load<u16>(at, SLL_PACKET_TYPE)));
  const length = <u32>bswap<u16>(load<u16>(at, SLL_ADDRESS_LENGTH));
  if (length == MAC_SIZE) setSender(packet, at + SLL_ADDRESS);
  const protocol = <u32>bswap<u16>(load<u16>(at, SLL_PROTOCOL));
  decodeEtherType(packet, protocol, at + SLL_SIZE, captured - SLL_SIZE, wire - SLL_SIZE);
}

function decodeSll2(packet: Packet, at: usize, captured: u32, wire: u32): void {
  if (wire < SLL2_SIZE) {
    packet.flags |= PACKET_NOT_IP;
    return;
  }
  if (captured < SLL2_SIZE) return;
  packet.flags |= sllDirection(<u32>load<u8>(at, SLL2_PACKET_TYPE));
  if (load<u8>(at, SLL2_ADDRESS_LENGTH) == MAC_SIZE) setSender(packet, at + SLL2_ADDRESS);
  const protocol = <u32>bswap<u16>(load<u16>(at, SLL2_PROTOCOL));
  decodeEtherType(packet, protocol, at + SLL2_SIZE, captured - SLL2_SIZE, wire - SLL2_SIZE);
}

function setSender(packet: Packet, at: usize): void {
  packet.srcMac = load<u32>(at);
  packet.srcMacTail = load<u16>(at, 4);
  packet.flags |= PACKET_HAS_SENDER;
}

/** The flag for a cooked header's packet type; 0 for those the kernel keeps to itself. */
function sllDirection(packetType: u32): u32 {
  // PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST: the stack takes it.
  if (packetType <= SLL_MULTICAST) return PACKET_INBOUND;
  // ip_rcv and ipv6_rcv drop PACKET_OTHERHOST.
  if (packetType == SLL_OTHER_HOST) return PACKET_OTHER_HOST;
  if (packetType == SLL_OUTGOING) return PACKET_OUTBOUND;
  return 0;
}

function decodeNull(packet: Packet, at: usize, captured: u32, wire: u32): void {
  if (wire < NULL_SIZE) {
    packet.flags |= PACKET_NOT_IP;
    return;
  }
  if (captured < NULL_SIZE) return;
  let family = load<u32>(at, NULL_FAMILY);
  // NULL has the byte order of the capturing host, LOOP that of the network; families are small.
  if (family > 0xffff) family = bswap<u32>(family);
  switch (family) {
    case AF_INET:
      return decodeIpv4(packet, at + NULL_SIZE, captured - NULL_SIZE, wire - NULL_SIZE);
    case AF_INET6_LINUX:
    case AF_INET6_BSD:
    case AF_INET6_FREEBSD:
    case AF_INET6_DARWIN:
      return decodeIpv6(packet, at + NULL_SIZE, captured - NULL_SIZE, wire - NULL_SIZE);
    default:
      packet.flags |= PACKET_NOT_IP;
  }
}

function decodeRaw(packet: Packet, at: usize, captured: u32, wire: u32): void {
  if (wire == 0) {
    packet.flags |= PACKET_NOT_IP;
    return;
  }
  if (captured == 0) return;
  const version = (<u32>load<u8>(at)) >> 4;
  if (version == 4) return decodeIpv4(packet, at, captured, wire);
  if (version == 6) return decodeIpv6(packet, at, captured, wire);
  // The version alone says what it is, and Linux takes nothing else (tun_get_user).
  packet.malformed = <u8>MALFORMED_IP;
}

/** Goes on behind an EtherType, through VLAN tags. */
function decodeEtherType(packet: Packet, type: u32, at: usize, captured: u32, wire: u32): void {
  let tags: u32 = 0;
  while (type == ETHERTYPE_VLAN || type == ETHERTYPE_SERVICE_VLAN || type == ETHERTYPE_QINQ) {
    if (tags == VLAN_TAGS_MAX) {
      // What is behind them is not known; NOT_IP would be a guess.
      packet.flags |= PACKET_UNKNOWN_LINK;
      return;
    }
    if (wire < VLAN_SIZE) {
      packet.flags |= PACKET_NOT_IP;
      return;
    }
    if (captured < VLAN_SIZE) return;
    const id: u16 = (bswap<u16>(load<u16>(at, VLAN_TCI)) & 0x0fff) + 1;
    packet.vlan = tags == 0 && type == ETHERTYPE_VLAN ? id : <u16>VLAN_OTHER;
    type = <u32>bswap<u16>(load<u16>(at, VLAN_TYPE));
    at += VLAN_SIZE;
    captured -= VLAN_SIZE;
    wire -= VLAN_SIZE;
    tags++;
  }
  packet.etherType = <u16>type;
  if (type == ETHERTYPE_IPV4) return decodeIpv4(packet, at, captured, wire);
  if (type == ETHERTYPE_IPV6) return decodeIpv6(packet, at, captured, wire);
  // Also 802.3 lengths (below 0x0600): the kernel hands LLC and SNAP to no IP handler. MPLS and PPPoE
  // pass the IP filter unseen.
  packet.flags |= PACKET_NOT_IP;
}
