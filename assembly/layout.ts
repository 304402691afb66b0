// Every number that both sides share: offsets, sizes, ids, flags, limits. Compiled by asc and by tsc,
// so it holds integer constants without annotations, and nothing else.
// Multi-byte values are little-endian. Addresses are four u32 words, most significant first; IPv4 has
// its address in word 0 and zeros behind.

/** Raised with every change of this file; the host refuses a Wasm built from another. */
export const LAYOUT_VERSION = 32;

// ── Packet record ──────────────────────────────────────────────────────────────────────────────────
// One per packet of a batch. A capture reader fills the first part (what the file says); `decode` fills
// the rest from the frame's bytes, or the reader does where the capture is text (PACKET_DECODED).
//
//   0       1       2       3       4       5       6       7     byte
// ├───────┴───────┴───────┴───────┴───────┴───────┴───────┴───────┤
// │                 timestamp, ns since 1970, u64                 │   0
// ├───────────────────────────────┬───────────────────────────────┤
// │  frame (address in memory)    │  capturedLength               │   8
// ├───────────────────────────────┼───────────────┬───────────────┤
// │  originalLength               │  linkType     │ captureIntf   │  16
// ├───────────────────────────────┼───────────────┴───────────────┤
// │  flags PACKET_*               │  known KNOWN_*                │  24
// ├───────┬───────┬───────┬───────┼───────────────┬───────────────┤
// │ family│ proto │  ttl  │  tos  │  sport        │  dport        │  32
// ├───────┴───────┴───────┴───────┴───────────────┴───────────────┤
// │  src, 4 words                                                 │  40
// │  dst, 4 words                                                 │  56
// ├───────┬───────┬───────────────┬───────────────┬───────┬───────┤
// │ icmp  │ icmp  │  icmpId       │  tcpWindow    │ tcp   │ tcp   │  72
// │ type  │ code  │               │               │ flags │ offset│
// ├───────┴───────┴───────────────┼───────────────┴───────┴───────┤
// │  tcpSeq                       │  tcpAck                       │  80
// ├───────────────────────────────┼───────────────────────────────┤
// │  ipLength                     │  payloadLength                │  88
// ├───────────────────────────────┼───────────────┬───────┬───────┤
// │  ipId                         │  fragOffset   │ mal-  │ seen  │  96
// │                               │               │ formed│       │
// ├───────────────────────────────┼───────────────┴───────┴───────┤
// │  network (address)            │  transport (address)          │ 104
// ├───────────────────────────────┼───────────────┬───────────────┤
// │  end (address)                │  srcName      │  dstName      │ 112
// ├───────────────────────────────┴───────────────┼───────────────┤
// │  srcMac, 6 bytes                              │  etherType    │ 120
// ├───────────────────────────────────────────────┼───────────────┤
// │  dstMac, 6 bytes                              │  vlan         │ 128
// ├───────┬───────┬───────────────┬───────────────┼───────────────┤
// │quoted │ shown │  quotedSport  │  quotedDport  │               │ 136
// │proto  │options│               │               │  tcpSegment   │
// ├───────┴───────┴───────────────┴───────────────┴───────────────┤
// │  quotedSrc, 4 words                                           │ 144
// │  quotedDst, 4 words                                           │ 160
// ├───────────────────────────────────────────────────────────────┤
// │  number (1-based position in the capture), u64                │ 176
// └───────────────────────────────────────────────────────────────┘ 184
export const PACKET_TIMESTAMP = 0;
export const PACKET_FRAME = PACKET_TIMESTAMP + 8;
export const PACKET_CAPTURED_LENGTH = PACKET_FRAME + 4;
export const PACKET_ORIGINAL_LENGTH = PACKET_CAPTURED_LENGTH + 4;
export const PACKET_LINK_TYPE = PACKET_ORIGINAL_LENGTH + 4;
/** Index into the reader's list of interfaces; CAPTURE_INTERFACE_NONE when the file names none. */
export const PACKET_CAPTURE_INTERFACE = PACKET_LINK_TYPE + 2;
export const PACKET_FLAGS = PACKET_CAPTURE_INTERFACE + 2;
export const PACKET_KNOWN = PACKET_FLAGS + 4;
/** 4, 6, or 0 when the frame holds no IP. */
export const PACKET_FAMILY = PACKET_KNOWN + 4;
/** IPv4 protocol field; IPv6 upper-layer protocol after the extension headers. */
export const PACKET_PROTOCOL = PACKET_FAMILY + 1;
export const PACKET_TTL = PACKET_PROTOCOL + 1;
export const PACKET_TOS = PACKET_TTL + 1;
export const PACKET_SPORT = PACKET_TOS + 1;
export const PACKET_DPORT = PACKET_SPORT + 2;
export const PACKET_SRC = PACKET_DPORT + 2;
export const PACKET_DST = PACKET_SRC + 16;
export const PACKET_ICMP_TYPE = PACKET_DST + 16;
export const PACKET_ICMP_CODE = PACKET_ICMP_TYPE + 1;
export const PACKET_ICMP_ID = PACKET_ICMP_CODE + 1;
export const PACKET_TCP_WINDOW = PACKET_ICMP_ID + 2;
export const PACKET_TCP_FLAGS = PACKET_TCP_WINDOW + 2;
/** TCP data offset in 32-bit words, as in the header. */
export const PACKET_TCP_OFFSET = PACKET_TCP_FLAGS + 1;
export const PACKET_TCP_SEQ = PACKET_TCP_OFFSET + 1;
export const PACKET_TCP_ACK = PACKET_TCP_SEQ + 4;
/**
 * IPv4 total length; IPv6 40 + payload length. From the header, never from the captured bytes. Without KNOWN_IP_LENGTH
 * what the rest of a text's line makes it; 0: nothing tells.
 */
export const PACKET_IP_LENGTH = PACKET_TCP_ACK + 4;
/** Bytes behind the transport header, by the IP lengths. */
export const PACKET_PAYLOAD_LENGTH = PACKET_IP_LENGTH + 4;
/** IPv4 identification, or that of the IPv6 fragment header. */
export const PACKET_IP_ID = PACKET_PAYLOAD_LENGTH + 4;
/** Fragment offset in bytes. */
export const PACKET_FRAGMENT_OFFSET = PACKET_IP_ID + 4;
/** One of MALFORMED_*. */
export const PACKET_MALFORMED = PACKET_FRAGMENT_OFFSET + 2;
/** Where the capture saw it, plus one; 0: nobody has looked. Only the matcher writes it. */
export const PACKET_SEEN = PACKET_MALFORMED + 1;
/** Address of the IP header; 0 when the packet has no bytes (text). */
export const PACKET_NETWORK = PACKET_SEEN + 1;
/** Address of the transport header; 0 when there are no bytes or it was not captured. */
export const PACKET_TRANSPORT = PACKET_NETWORK + 4;
/** Address behind the last captured byte that belongs to the IP packet. */
export const PACKET_END = PACKET_TRANSPORT + 4;
/** 1 + index into the reader's `names` when the source is a host name nobody resolved; else 0. */
export const PACKET_SRC_NAME = PACKET_END + 4;
export const PACKET_DST_NAME = PACKET_SRC_NAME + 2;
export const PACKET_SRC_MAC = PACKET_DST_NAME + 2;
/** EtherType behind all VLAN tags (802.3 frames: the length field). */
export const PACKET_ETHER_TYPE = PACKET_SRC_MAC + 6;
export const PACKET_DST_MAC = PACKET_ETHER_TYPE + 2;
/** VLAN identifier plus one; 0 without a tag, VLAN_OTHER with several, or one that is not of 802.1Q. */
export const PACKET_VLAN = PACKET_DST_MAC + 6;
// The header an ICMP error quotes, where KNOWN_QUOTE is set.
export const PACKET_QUOTED_PROTOCOL = PACKET_VLAN + 2;
/** What a text tells of options in the IP header: one of SHOWN_OPTIONS_*. */
export const PACKET_SHOWN_OPTIONS = PACKET_QUOTED_PROTOCOL + 1;
/** Of ICMP the id, and in the destination's place type << 8 | code: as a tuple has them. */
export const PACKET_QUOTED_SPORT = PACKET_SHOWN_OPTIONS + 1;
export const PACKET_QUOTED_DPORT = PACKET_QUOTED_SPORT + 2;
/** The segment size that a text's SYN asks for; 0: none is shown. */
export const PACKET_TCP_SEGMENT = PACKET_QUOTED_DPORT + 2;
export const PACKET_QUOTED_SRC = PACKET_TCP_SEGMENT + 2;
export const PACKET_QUOTED_DST = PACKET_QUOTED_SRC + 16;
export const PACKET_NUMBER = PACKET_QUOTED_DST + 16;
export const PACKET_SIZE = PACKET_NUMBER + 8;

export const CAPTURE_INTERFACE_NONE = 0xffff;
export const VLAN_OTHER = 0xffff;

// PACKET_FLAGS
/** The reader filled the decoded part itself; `decode` leaves the record alone. */
export const PACKET_DECODED = 1 << 0;
/** The timestamp is there. */
export const PACKET_HAS_TIME = 1 << 1;
/** The timestamp counts from midnight of an unknown day. */
export const PACKET_TIME_OF_DAY = 1 << 2;
/** The capture says: received by the capturing host. */
export const PACKET_INBOUND = 1 << 3;
/** The capture says: sent by the capturing host (after its last hook). */
export const PACKET_OUTBOUND = 1 << 4;
/** Promiscuous: addressed to another host; the IP stack never sees it. */
export const PACKET_OTHER_HOST = 1 << 5;
/** The frame holds no IP packet (ARP, LLDP, STP, ...). */
export const PACKET_NOT_IP = 1 << 6;
/** capturedLength < originalLength. */
export const PACKET_TRUNCATED = 1 << 7;
/** MF is set or the fragment offset is not zero. */
export const PACKET_FRAGMENT = 1 << 8;
/** The fragment offset is not zero. */
export const PACKET_LATER_FRAGMENT = 1 << 9;
/** The MAC addresses are there. */
export const PACKET_HAS_MAC = 1 << 10;
/** The link type is not supported: nothing is known about the frame. */
export const PACKET_UNKNOWN_LINK = 1 << 11;
/** TCP sequence numbers are relative to the first of the flow (tcpdump text). */
export const PACKET_RELATIVE_SEQ = 1 << 12;
/** IPv6: there is an authentication header among the extension headers. */
export const PACKET_AUTHENTICATED = 1 << 13;
/** More fragments follow: MF, or the M flag of IPv6. */
export const PACKET_MORE_FRAGMENTS = 1 << 14;
/** IPv6: a fragment header is there, be the packet a fragment or not (RFC 6946). */
export const PACKET_FRAGMENT_HEADER = 1 << 15;
/** Put together behind the routing decision: its way begins at INPUT. */
export const PACKET_AT_INPUT = 1 << 16;
/** Put together of several fragments, which the kernel keeps apart in memory. */
export const PACKET_REASSEMBLED = 1 << 17;
/** An ICMPv6 error quotes more extension headers than are read. */
export const PACKET_DEEP_QUOTE = 1 << 18;
/** The timestamp is a date and time of day, in a zone that the capture does not name. */
export const PACKET_LOCAL_TIME = 1 << 19;
/** The sender's MAC address is there (cooked headers have no other). */
export const PACKET_HAS_SENDER = 1 << 20;
/** The IPv4 header of a packet without bytes says that it may not be cut. */
export const PACKET_DONT_FRAGMENT = 1 << 21;
/** Without KNOWN_IP_LENGTH: the packet is not shorter than is told. */
export const PACKET_LEAST_LENGTH = 1 << 22;

// PACKET_KNOWN: which decoded fields hold what the packet on the wire had. A field whose bit is missing
// was beyond the snap length, or is not spelt out by the text.
export const KNOWN_SRC = 1 << 0;
export const KNOWN_DST = 1 << 1;
export const KNOWN_PROTOCOL = 1 << 2;
/** Both ports (TCP, UDP, UDP-Lite, SCTP, DCCP). */
export const KNOWN_PORTS = 1 << 3;
export const KNOWN_TCP_FLAGS = 1 << 4;
/** tcpSeq, tcpAck, tcpWindow. */
export const KNOWN_TCP_SEQ = 1 << 5;
/** icmpType and icmpCode. */
export const KNOWN_ICMP = 1 << 6;
export const KNOWN_ICMP_ID = 1 << 7;
export const KNOWN_IP_LENGTH = 1 << 8;
export const KNOWN_TTL = 1 << 9;
export const KNOWN_TOS = 1 << 10;
export const KNOWN_IP_ID = 1 << 11;
/** The quoted header of an ICMP error, ports (or ICMP id) included. */
export const KNOWN_QUOTE = 1 << 12;
export const KNOWN_PAYLOAD_LENGTH = 1 << 13;
/** Whether it is a fragment, and its offset. */
export const KNOWN_FRAGMENT = 1 << 14;

// PACKET_SHOWN_OPTIONS: IPv4's, or hop-by-hop options that Linux does not discard the packet for.
/** None are shown, or the packet has bytes. */
export const SHOWN_OPTIONS_NONE = 0;
export const SHOWN_OPTIONS_SOUND = 1;
/** They are malformed. */
export const SHOWN_OPTIONS_BAD = 2;
/** They lead the packet along a route, and else are sound, as far as is told. */
export const SHOWN_OPTIONS_ROUTE = 3;
/** Not enough is told of them. */
export const SHOWN_OPTIONS_UNKNOWN = 4;

// PACKET_MALFORMED: the first thing wrong with the packet as it was on the wire.
export const MALFORMED_NONE = 0;
/** IPv4 or IPv6 version field, header length or total length is impossible: ip_rcv drops it. */
export const MALFORMED_IP = 1;
/** An IPv6 extension header runs beyond the packet. */
export const MALFORMED_EXTENSION = 2;
/** The transport header is longer than the packet (by the IP lengths). */
export const MALFORMED_TRANSPORT = 3;
/** TCP data offset below 5 or beyond the packet; UDP length so, or UDP-Lite's coverage, or no checksum there. */
export const MALFORMED_LENGTH = 4;

// Link types (LINKTYPE_* of the tcpdump group).
export const LINK_NULL = 0;
export const LINK_ETHERNET = 1;
export const LINK_RAW = 101;
export const LINK_LOOP = 108;
export const LINK_LINUX_SLL = 113;
export const LINK_IPV4 = 228;
export const LINK_IPV6 = 229;
export const LINK_LINUX_SLL2 = 276;
// DLT_RAW as some systems write it.
export const LINK_RAW_BSD = 12;
export const LINK_RAW_OPENBSD = 14;

// ── Batches and blocks ─────────────────────────────────────────────────────────────────────────────
/** Packets in one batch. */
export const BATCH_PACKETS = 2048;
/** Bytes of one block of the capture; larger than any packet we accept. */
export const BLOCK_SIZE = 1 << 21;
/** Room for the frames that a text capture spells out in hexadecimal, for one batch. */
export const ARENA_SIZE = 1 << 20;
/** Longest frame accepted: libpcap's MAXIMUM_SNAPLEN. */
export const FRAME_MAX = 262144;

// ── Scan ───────────────────────────────────────────────────────────────────────────────────────────
// An interface of a pcapng section: u32 nanoseconds in one of its ticks (0: an unusual clock), u32 link type.
export const SCAN_SOURCE_LINK_TYPE = 4;
export const SCAN_SOURCE_SIZE = 8;
/** Interfaces of one section that a scan knows; packets of others are left to the reader. */
export const SCAN_SOURCES_MAX = 1024;

// What a line of text has in front: nothing, a time of day, seconds since 1970, a date and a time of day, or the time
// since the first packet or since the one before.
export const TEXT_TIME_NONE = 0;
export const TEXT_TIME_DAY = 1;
export const TEXT_TIME_EPOCH = 2;
export const TEXT_TIME_CALENDAR = 3;
export const TEXT_TIME_RISING = 4;
export const TEXT_TIME_SUMMED = 5;

// ── Verdict record ─────────────────────────────────────────────────────────────────────────────────
// One per packet of a batch, written by `replay`.
//
//   0       1       2       3       4       5       6       7     byte
// ├───────┼───────┼───────┼───────┼───────┴───────┴───────┴───────┤
// │verdict│reason │ctState│ hook  │  rule (index, RULE_NONE)      │   0
// ├───────┼───────┼───────┼───────┼───────────────────────────────┤
// │reject │ flags │ table │   -   │  decider (index, RULE_NONE)   │   8
// ├───────┴───────┴───────┴───────┼───────────────────────────────┤
// │  outInterface                 │  undecidedRule                │  16
// ├───────────────────────────────┼───────────────────────────────┤
// │  srcRoute                     │  dstRoute                     │  24
// ├───────────────────────────────┴───────────────────────────────┤
// │  duplicateOf, u64 (packet number; 0: none)                    │  32
// ├───────────────────────────────────────────────────────────────┤
// │  judgedSrc, 4 words: as the filter table saw it               │  40
// │  judgedDst, 4 words                                           │  56
// ├───────────────┬───────────────┬───────────────────────────────┤
// │  judgedSport  │  judgedDport  │  inInterface                  │  72
// └───────────────┴───────────────┴───────────────────────────────┘  80
export const VERDICT_VERDICT = 0;
export const VERDICT_REASON = VERDICT_VERDICT + 1;
export const VERDICT_CT_STATE = VERDICT_REASON + 1;
/** Where the packet's walk ended: HOOK_*. */
export const VERDICT_HOOK = VERDICT_CT_STATE + 1;
/** The rule whose target ended the walk; RULE_NONE when no rule did. */
export const VERDICT_RULE = VERDICT_HOOK + 1;
/** One of REJECT_*; REJECT_NONE when nothing is answered. */
export const VERDICT_REJECT = VERDICT_RULE + 4;
export const VERDICT_FLAGS = VERDICT_REJECT + 1;
/** One of TABLE_*: where the walk ended. */
export const VERDICT_TABLE = VERDICT_FLAGS + 1;
/** The last matched rule that stands for a policy (RULE_DECIDES); RULE_NONE without one. */
export const VERDICT_DECIDER = VERDICT_TABLE + 2;
/** Index into the interface table; 0 when there is none. */
export const VERDICT_OUT_INTERFACE = VERDICT_DECIDER + 4;
/** For an unknown verdict: the rule whose match lacked the fact; RULE_NONE without one. */
export const VERDICT_UNDECIDED_RULE = VERDICT_OUT_INTERFACE + 4;
/** The route table's entry for the judged source and destination; ROUTE_NONE without. */
export const VERDICT_SRC_ROUTE = VERDICT_UNDECIDED_RULE + 4;
export const VERDICT_DST_ROUTE = VERDICT_SRC_ROUTE + 4;
export const VERDICT_DUPLICATE_OF = VERDICT_DST_ROUTE + 4;
/** Addresses and ports as the filter table saw them: after DNAT, before SNAT. */
export const VERDICT_JUDGED_SRC = VERDICT_DUPLICATE_OF + 8;
export const VERDICT_JUDGED_DST = VERDICT_JUDGED_SRC + 16;
export const VERDICT_JUDGED_SPORT = VERDICT_JUDGED_DST + 16;
export const VERDICT_JUDGED_DPORT = VERDICT_JUDGED_SPORT + 2;
/** As the out-interface. */
export const VERDICT_IN_INTERFACE = VERDICT_JUDGED_DPORT + 2;
export const VERDICT_SIZE = VERDICT_IN_INTERFACE + 4;

export const RULE_NONE = -1;
export const ROUTE_NONE = -1;

// VERDICT_VERDICT
export const VERDICT_ALLOW = 1;
export const VERDICT_DROP = 2;
/** The filter never sees it. */
export const VERDICT_UNFILTERED = 3;
export const VERDICT_UNKNOWN = 4;

// VERDICT_FLAGS
/** The flow was already under way when the capture began; its conntrack entry was assumed. */
export const VERDICT_MIDSTREAM = 1 << 0;
/** The packet travels in the reply direction of its flow. */
export const VERDICT_REPLY = 1 << 1;
/** The destination was translated (a Service's backend). */
export const VERDICT_DNAT = 1 << 2;
/** The capture shows the packet after the last hook: it was let through when it was captured. */
export const VERDICT_OBSERVED = 1 << 3;
/** A fragment whose datagram is not complete: its verdict comes with the packet that settles it. */
export const VERDICT_PENDING = 1 << 4;

// VERDICT_REASON. `src/report/reason.ts` has the sentence of each.
/** A rule with a terminating target, or the fall to a chain's policy. */
export const REASON_RULE = 1;
/** allow: no hook on the path has a rule that stops it, and the built-in chains' policies accept. */
export const REASON_CHAIN_POLICY = 2;
export const REASON_NOT_IP = 3;
export const REASON_OTHER_HOST = 4;
/** allow: source and destination are the same pod; the packet never leaves it. */
export const REASON_SAME_ENDPOINT = 5;
/** drop: the IP stack discards it before any rule (bad header). */
export const REASON_BAD_HEADER = 6;
/** drop: no route to the destination. */
export const REASON_NO_ROUTE = 7;
/** drop: the source address cannot come from there (fib_validate_source). */
export const REASON_MARTIAN = 8;
/** drop: no packet that arrives may go to such an address. */
export const REASON_MARTIAN_DESTINATION = 14;
/** drop: longer than the MTU of the way out, and not to be cut. */
export const REASON_TOO_LONG = 15;
/** drop: the IP stack discards it behind PREROUTING for the options in its header. */
export const REASON_OPTIONS = 26;
/** drop: the TTL is used up where the packet would be forwarded. */
export const REASON_TTL = 9;
/** drop: the route says so (blackhole, unreachable, prohibit). */
export const REASON_BLACKHOLE = 10;
/** drop: overlapping or oversized fragments, as the kernel discards them. */
export const REASON_BAD_FRAGMENTS = 11;
/** drop: the rest of the datagram did not come in time. */
export const REASON_INCOMPLETE = 13;
/** drop: no free address and port for the translated connection, or no address to translate to. */
export const REASON_NAT_FAILED = 12;
// unknown
/** Neither end is an address of the cluster. */
export const REASON_NO_ENDPOINT = 16;
/** The source lies in the cluster's ranges, but no object has it. */
export const REASON_MISSING_SRC = 17;
export const REASON_MISSING_DST = 18;
/** The source is a host name that nobody resolved. */
export const REASON_NAME_SRC = 19;
export const REASON_NAME_DST = 20;
/** The source or destination address is beyond the snap length. */
export const REASON_NO_ADDRESS = 21;
export const REASON_NO_PROTOCOL = 22;
export const REASON_NO_PORTS = 23;
export const REASON_NO_TCP_FLAGS = 24;
export const REASON_NO_ICMP = 25;
export const REASON_LINK_TYPE = 27;
/** The Service's backends would be judged differently, and the capture does not show which it was. */
export const REASON_BACKEND = 28;
/** More combinations of unknown facts than the walk explores. */
export const REASON_TOO_MANY_PATHS = 29;
/** The conntrack table is full. */
export const REASON_CONNTRACK_FULL = 30;
/** No tables for this address family were given. */
export const REASON_NO_TABLES = 31;
/** More rule visits than one packet may cost. */
export const REASON_TOO_MANY_RULES = 32;
/** The snapshot does not say on which node the pod runs, and traffic with its own node is special. */
export const REASON_NO_NODE = 33;
/** The destination is a Service whose backends are not in the snapshot. */
export const REASON_NO_BACKENDS = 34;
/** A rule's match or target is not modelled, and could change the verdict. */
export const REASON_NOT_MODELLED = 35;
/** A rule looks at bytes beyond the snap length, or at bytes that a text capture does not show. */
export const REASON_NO_PAYLOAD = 36;
/** A rule looks at the MAC address, which the capture does not show. */
export const REASON_NO_MAC = 37;
/** A rule looks at the time of a packet that has none. */
export const REASON_NO_TIME = 38;
/** A rule looks at the local socket that sent the packet. */
export const REASON_NO_SOCKET = 39;
/** A rule draws at random. */
export const REASON_RANDOM = 40;
/** The source port that the node chose is not known: the packet may or may not answer that flow. */
export const REASON_NAT_PORT = 41;
/** State that an earlier packet left (a set, a list, a counter) is not known. */
export const REASON_STATE = 42;
/** Several routes of equal rank lead to the destination. */
export const REASON_MULTIPATH = 43;
/** By which interface the packet arrived, is not known. */
export const REASON_NO_IN_INTERFACE = 44;
/** User space decides (NFQUEUE). */
export const REASON_QUEUE = 45;
/** The capture does not show all fragments of the datagram. */
export const REASON_NO_FRAGMENTS = 46;
/** A rule looks at the TTL, the type of service, the length or the like, which the text does not show. */
export const REASON_NO_HEADER = 47;
/** The set was given without its members, or is not modelled. */
export const REASON_NO_SET = 48;
/** Whether the node has joined the multicast group, is not known. */
export const REASON_MULTICAST = 49;
/** Both backends have rules in a table, and which come first makes a difference. */
export const REASON_TABLE_ORDER = 50;
/** By which interface the packet leaves, depends on what is not known. */
export const REASON_OUT_INTERFACE = 51;
/** The node's routes were not given. */
export const REASON_NO_ROUTES = 52;
/** The group of an interface, or the number of its name, was not told. */
export const REASON_NO_GROUP = 53;
/** More fragments wait for the rest of their datagram than are followed. */
export const REASON_MANY_FRAGMENTS = 54;
/** The node's dump has the connection in a flow table or a zone of one direction, which is not modelled. */
export const REASON_CONNECTION = 55;
/** The connection was there before, and its TCP windows or SCTP tags are not in the node's dump. */
export const REASON_WINDOW = 56;
/** drop: the node does not forward (ip_forward, conf.IF.forwarding). */
export const REASON_NO_FORWARDING = 57;
/** By which node of the cluster a connection comes, and so whose address it then has. */
export const REASON_BY_NODE = 58;
/** Whether a node masquerades what its pods send out of the pods' ranges. */
export const REASON_OUTGOING = 59;
/** Whether it fits the way out, or was put together of segments that do, or may be cut. */
export const REASON_SEGMENTS = 60;
/** The options in its header were not captured, or are not modelled. */
export const REASON_OPTIONS_UNKNOWN = 61;
/** unfiltered: a bridge hands it on, and no rule sees that. */
export const REASON_BRIDGED = 62;
/** unfiltered: no interface has its VLAN. */
export const REASON_NO_VLAN = 63;
/** Whether rules see what a bridge hands on (net.bridge.bridge-nf-call-iptables), is not known. */
export const REASON_BRIDGE_CALLS = 64;
/** What takes the frames of the interface is not modelled, or was not told. */
export const REASON_ASTRAY = 65;
/** Of manifests: by which of the node's interfaces it goes. */
export const REASON_NO_WAY = 66;
/** Whether the time of its connection was up: the kernel counts in ticks, and a dump in whole seconds. */
export const REASON_DEADLINE = 67;
/** Whether what the node itself answers has the connection of a packet that was refused. */
export const REASON_ANSWERED = 68;
/** SCTP's chunks are not in the capture's text. */
export const REASON_NO_CHUNKS = 69;
/** Of manifests: whether the node itself sent it, or a client whose address the node has replaced. */
export const REASON_MASQUERADED = 70;
/** Of manifests: how many nodes it has before it, which its TTL or its options may not pass. */
export const REASON_TTL_LEFT = 71;

// Hooks, in the kernel's order (NF_INET_*).
export const HOOK_PREROUTING = 0;
export const HOOK_INPUT = 1;
export const HOOK_FORWARD = 2;
export const HOOK_OUTPUT = 3;
export const HOOK_POSTROUTING = 4;
export const HOOK_COUNT = 5;

// Tables.
export const TABLE_RAW = 0;
export const TABLE_MANGLE = 1;
export const TABLE_NAT = 2;
export const TABLE_FILTER = 3;
export const TABLE_SECURITY = 4;
export const TABLE_COUNT = 5;

// Backends: iptables-legacy's tables and iptables-nft's are both active in one kernel.
export const BACKEND_LEGACY = 0;
export const BACKEND_NFT = 1;
export const BACKEND_COUNT = 2;

// ctstate bits, as `--ctstate` lists them (XT_CONNTRACK_STATE_*).
export const CT_INVALID = 1 << 0;
export const CT_ESTABLISHED = 1 << 1;
export const CT_RELATED = 1 << 2;
export const CT_NEW = 1 << 3;
export const CT_SNAT = 1 << 4;
export const CT_DNAT = 1 << 5;
export const CT_UNTRACKED = 1 << 6;

// What REJECT answers (`--reject-with`).
export const REJECT_NONE = 0;
export const REJECT_NET_UNREACHABLE = 1;
export const REJECT_HOST_UNREACHABLE = 2;
export const REJECT_PROTO_UNREACHABLE = 3;
export const REJECT_PORT_UNREACHABLE = 4;
export const REJECT_NET_PROHIBITED = 5;
export const REJECT_HOST_PROHIBITED = 6;
export const REJECT_ADMIN_PROHIBITED = 7;
export const REJECT_TCP_RESET = 8;
export const REJECT_IP6_NO_ROUTE = 9;
export const REJECT_IP6_ADM_PROHIBITED = 10;
export const REJECT_IP6_ADDR_UNREACHABLE = 11;
export const REJECT_IP6_PORT_UNREACHABLE = 12;
export const REJECT_IP6_POLICY_FAIL = 13;
export const REJECT_IP6_REJECT_ROUTE = 14;

// ── Matches ────────────────────────────────────────────────────────────────────────────────────────
// A match is a header and a payload, 4-byte aligned: kind u16, size u16 (header included, in bytes),
// invert u8, three bytes of zero; then the payload drawn at each kind.
export const MATCH_KIND = 0;
export const MATCH_SIZE = MATCH_KIND + 2;
export const MATCH_INVERT = MATCH_SIZE + 2;
export const MATCH_HEADER_SIZE = MATCH_INVERT + 4;

/** Payload: side u8 (SIDE_*), three zeros, value 4 words, mask 4 words. */
export const MATCH_ADDRESS = 1;
/** Payload: side u8 (SIDE_*: source is the in-interface), three zeros, name 16 bytes, mask 16 bytes. */
export const MATCH_INTERFACE = 2;
/** Payload: protocol u8, three zeros. */
export const MATCH_PROTOCOL = 3;
/** `-m tcp|udp|udplite|sctp|dccp`. Drawn in src/match/port.ts. The header's invert is not used. */
export const MATCH_PORT = 4;
/** Payload: side u8 (SIDE_*), count u8, two zeros, then count times first u16, last u16. */
export const MATCH_MULTIPORT = 5;
/** Drawn in src/match/conntrack.ts. The header's invert is not used. */
export const MATCH_CONNTRACK = 6;
/** Payload: value u32, mask u32. */
export const MATCH_MARK = 7;
/**
 * Payload: set u32, flags u8 (how many), side of each of up to six flags u8, MATCH_SET_* u8, comparison of packets u8,
 * of bytes u8, 0 u16, packets u64, bytes u64.
 */
export const MATCH_SET = 8;
/** Payload: type u8 (ICMP_TYPE_ANY: every type), code first u8, code last u8, family u8. */
export const MATCH_ICMP = 9;
/** Drawn in src/match/addrtype.ts. The header's invert is not used. */
export const MATCH_ADDRTYPE = 10;
/** Payload: chance u32; its outcome is not a function of the packet (`-m statistic --mode random`). */
export const MATCH_RANDOM = 11;
/** Payload: none; always true. Comments are not packed. */
export const MATCH_COMMENT = 12;
/** Payload: none; whether it holds is not known (a match that is not modelled). */
export const MATCH_OPAQUE = 13;
// Drawn in src/match/<name>.ts, which writes the payload, and read in assembly/match/<name>.ts.
export const MATCH_IPRANGE = 14;
export const MATCH_CONNMARK = 15;
export const MATCH_MAC = 16;
export const MATCH_PHYSDEV = 17;
export const MATCH_LIMIT = 18;
export const MATCH_HASHLIMIT = 19;
export const MATCH_NTH = 20;
export const MATCH_RECENT = 21;
export const MATCH_LENGTH = 22;
export const MATCH_TTL = 23;
export const MATCH_OWNER = 24;
export const MATCH_U32 = 25;
export const MATCH_STRING = 26;
export const MATCH_TIME = 27;
export const MATCH_BPF = 28;
export const MATCH_RPFILTER = 29;
export const MATCH_DSCP = 30;
export const MATCH_TOS = 31;
export const MATCH_ECN = 32;
export const MATCH_PKTTYPE = 33;
export const MATCH_ESP = 34;
export const MATCH_AH = 35;
export const MATCH_TCPMSS = 36;
export const MATCH_HELPER = 37;
export const MATCH_CONNLIMIT = 38;
export const MATCH_CONNBYTES = 39;
export const MATCH_QUOTA = 40;
export const MATCH_REALM = 41;
export const MATCH_DEVGROUP = 42;
export const MATCH_POLICY = 43;
export const MATCH_FRAGMENT = 44;
export const MATCH_CONNLABEL = 45;
export const MATCH_IPV6HEADER = 46;
export const MATCH_FRAG6 = 47;
export const MATCH_RT = 49;
export const MATCH_EUI64 = 50;
export const MATCH_TCP_FLAGS = 51;
export const MATCH_TCP_OPTION = 52;
export const MATCH_SCTP_CHUNKS = 53;
export const MATCH_DCCP = 54;
export const MATCH_STATE = 55;
export const MATCH_MH = 56;
export const MATCH_IPCOMP = 57;
export const MATCH_OPTIONS = 58;
export const MATCH_SRH = 59;

export const SIDE_SRC = 0;
export const SIDE_DST = 1;
/** multiport `--ports`: source or destination. */
export const SIDE_EITHER = 2;

export const ICMP_TYPE_ANY = 255;

// Types of addresses: a bit each, by RTN_*.
export const ADDRTYPE_UNSPEC = 1 << 0;
export const ADDRTYPE_UNICAST = 1 << 1;
export const ADDRTYPE_LOCAL = 1 << 2;
export const ADDRTYPE_BROADCAST = 1 << 3;
export const ADDRTYPE_ANYCAST = 1 << 4;
export const ADDRTYPE_MULTICAST = 1 << 5;
export const ADDRTYPE_UNREACHABLE = 1 << 7;
// Flags of MATCH_ADDRTYPE.
export const ADDRTYPE_INVERT_SRC = 1 << 0;
export const ADDRTYPE_INVERT_DST = 1 << 1;
export const ADDRTYPE_LIMIT_IN = 1 << 2;
export const ADDRTYPE_LIMIT_OUT = 1 << 3;

// What a MATCH_PORT looks at besides ports.
export const PORT_FLAGS = 1 << 0;
export const PORT_OPTION = 1 << 1;
export const PORT_CHUNKS = 1 << 2;
export const PORT_TYPES = 1 << 3;

// What a MATCH_CONNTRACK looks at.
export const CONNTRACK_STATE = 1 << 0;
export const CONNTRACK_PROTOCOL = 1 << 1;
export const CONNTRACK_STATUS = 1 << 2;
export const CONNTRACK_DIRECTION = 1 << 3;
export const CONNTRACK_EXPIRE = 1 << 4;
export const CONNTRACK_ADDRESSES = 1 << 5;
export const CONNTRACK_PORTS = 1 << 6;
/** Bytes of a side: address, mask, first and last port. */
export const CONNTRACK_SIDE_SIZE = 36;
// Bits of a connection's status (IPS_*).
export const STATUS_EXPECTED = 1 << 0;
export const STATUS_SEEN_REPLY = 1 << 1;
export const STATUS_ASSURED = 1 << 2;
export const STATUS_CONFIRMED = 1 << 3;

export const IPRANGE_SRC = 1 << 0;
export const IPRANGE_DST = 1 << 1;
export const IPRANGE_INVERT_SRC = 1 << 2;
export const IPRANGE_INVERT_DST = 1 << 3;

export const TTL_EQ = 0;
export const TTL_LT = 1;
export const TTL_GT = 2;

export const PKTTYPE_UNICAST = 0;
export const PKTTYPE_BROADCAST = 1;
export const PKTTYPE_MULTICAST = 2;
export const PKTTYPE_OTHERHOST = 3;

export const RPFILTER_LOOSE = 1 << 0;
export const RPFILTER_ACCEPT_LOCAL = 1 << 1;

// What `-m ecn` looks at.
export const ECN_IP = 1 << 0;
export const ECN_ECE = 1 << 1;
export const ECN_CWR = 1 << 2;

// Flags of MATCH_AH.
export const AH_INVERT_LENGTH = 1 << 0;
/** The reserved field is zero. */
export const AH_RESERVED = 1 << 1;

// What MATCH_FRAG6 wants of a fragment header besides its identification.
export const FRAG_RESERVED = 1 << 0;
export const FRAG_FIRST = 1 << 1;
export const FRAG_MORE = 1 << 2;
export const FRAG_LAST = 1 << 3;

// Flags of MATCH_OPTIONS.
export const OPTIONS_LENGTH = 1 << 0;
export const OPTIONS_INVERT_LENGTH = 1 << 1;

// Flags of MATCH_RT.
export const RT_TYPE = 1 << 0;
export const RT_INVERT_TYPE = 1 << 1;
export const RT_LENGTH = 1 << 2;
export const RT_INVERT_LENGTH = 1 << 3;
export const RT_RESERVED = 1 << 4;
export const RT_ADDRESSES = 1 << 5;
export const RT_LOOSE = 1 << 6;

/** MATCH_IPV6HEADER: others than those of the rule may be there. */
export const IPV6HEADER_SOFT = 1 << 0;

/** MATCH_REALM, MATCH_DEVGROUP: a name whose number only the node knows. */
export const NUMBER_UNKNOWN = 1 << 0;

// What `-m u32` does with a number.
export const U32_AND = 0;
export const U32_LEFT = 1;
export const U32_RIGHT = 2;
/** Goes where the number so far says, and reads there. */
export const U32_AT = 3;

// What `-m recent` does with the list, and how.
export const RECENT_SET = 1 << 0;
export const RECENT_CHECK = 1 << 1;
export const RECENT_UPDATE = 1 << 2;
export const RECENT_REMOVE = 1 << 3;
export const RECENT_TTL = 1 << 4;
export const RECENT_REAP = 1 << 5;
/** Of the destination, not the source. */
export const RECENT_DEST = 1 << 6;

// What `-m connbytes` counts, and of which direction.
export const CONNBYTES_PACKETS = 0;
export const CONNBYTES_BYTES = 1;
export const CONNBYTES_AVERAGE = 2;
export const CONNBYTES_ORIGINAL = 0;
export const CONNBYTES_REPLY = 1;
export const CONNBYTES_BOTH = 2;

// `-m hashlimit`: what tells entries apart, and how they count.
export const HASHLIMIT_SRC = 1 << 0;
export const HASHLIMIT_DST = 1 << 1;
export const HASHLIMIT_SPORT = 1 << 2;
export const HASHLIMIT_DPORT = 1 << 3;
export const HASHLIMIT_BYTES = 1 << 4;
export const HASHLIMIT_RATE = 1 << 5;
// Its payload; the terms of the bucket lie behind.
export const HASHLIMIT_TABLE = 0;
export const HASHLIMIT_FLAGS = 4;
export const HASHLIMIT_SRC_BITS = 6;
export const HASHLIMIT_DST_BITS = 7;
/** Milliseconds. */
export const HASHLIMIT_EXPIRE = 8;
export const HASHLIMIT_COLLECT = 12;
/** Most entries. */
export const HASHLIMIT_MAX = 16;
/** By bytes: how often an empty bucket is filled up. */
export const HASHLIMIT_REFILLS = 20;
/** By rate: milliseconds, then what a second has room for u64 and what an interval has u64. */
export const HASHLIMIT_INTERVAL = 24;
export const HASHLIMIT_RATE_SECOND = 28;
export const HASHLIMIT_RATE_ROOM = 36;
export const HASHLIMIT_TERMS = 44;

// A table that matches of one name share: address u32 (0 until it is made), size wanted u32, conflicts u8
// (a bit for each of its terms), three zeros.
export const SHARED_STATE_WANTED = 4;
export const SHARED_STATE_CONFLICTS = 8;
/** All of its terms. */
export const SHARED_STATE_ALL = 0xff;
export const SHARED_STATE_SIZE = 12;

export const STRING_IGNORE_CASE = 1 << 0;
export const STRING_BOYER_MOORE = 1 << 1;

export const TIME_CONTIGUOUS = 1 << 0;
export const TIME_KERNEL_ZONE = 1 << 1;

// ── Targets ────────────────────────────────────────────────────────────────────────────────────────
// What a target carries lies behind the rule's matches, 4-byte aligned, as src/target/<name>.ts writes
// it and assembly/target/<name>.ts reads it.
/** Counts and continues. */
export const TARGET_NONE = 0;
export const TARGET_ACCEPT = 1;
export const TARGET_DROP = 2;
export const TARGET_RETURN = 3;
/** Payload: REJECT_* u8. */
export const TARGET_REJECT = 4;
export const TARGET_JUMP = 5;
export const TARGET_GOTO = 6;
/** Payload: value u32, mask u32. */
export const TARGET_MARK = 7;
/** Payload: see NAT_RANGE_*. DNAT, SNAT and NETMAP have one; REDIRECT and MASQUERADE use its ports. */
export const TARGET_DNAT = 8;
export const TARGET_MASQUERADE = 9;
/** End of a built-in chain: its policy, and what RETURN does there. */
export const TARGET_POLICY_ACCEPT = 10;
export const TARGET_POLICY_DROP = 11;
export const TARGET_SNAT = 12;
export const TARGET_REDIRECT = 13;
export const TARGET_NETMAP = 14;
export const TARGET_CONNMARK = 15;
/** CT and NOTRACK. */
export const TARGET_CT = 16;
/** Drawn at SET_TARGET_PART_SIZE. */
export const TARGET_SET = 17;
/** LOG and what else the walk goes on behind as if nothing had happened. Payload: CONTINUE_* u8. */
export const TARGET_CONTINUE = 18;
export const TARGET_TTL = 19;
export const TARGET_TOS = 20;
/** Payload: mark u32, mask u32. */
export const TARGET_TPROXY = 22;
export const TARGET_NFQUEUE = 23;
/** What it does is not known: it may go on, accept or drop. */
export const TARGET_OPAQUE = 24;
export const TARGET_ECN = 25;
export const TARGET_TCPMSS = 26;
export const TARGET_TCPOPTSTRIP = 27;

/** The packet's mark is not known any more. */
export const CONTINUE_MARKS = 1 << 0;

// CT: flags u8.
export const CT_TARGET_NOTRACK = 1 << 0;
/** A helper follows the connection and expects others. */
export const CT_TARGET_HELPER = 1 << 1;
/** A zone or a timeout policy: which connection it is, and how long it lives, is not modelled. */
export const CT_TARGET_UNKNOWN = 1 << 2;

// CONNMARK: what it does, u8; bits to shift left, i8 (negative: right); then value u32 and mask u32 at 4, or for copies
// connection mask u32 and packet mask u32.
export const CONNMARK_SET = 0;
export const CONNMARK_SAVE = 1;
export const CONNMARK_RESTORE = 2;

// TTL and HL: how u8, value u8.
export const TTL_SET = 0;
export const TTL_DECREMENT = 1;
export const TTL_INCREMENT = 2;

// NAT range: first address 4 words, last address 4 words, first port u16, last port u16, base port u16,
// flags u8 (NAT_*), 0.
export const NAT_RANGE_FIRST = 0;
export const NAT_RANGE_LAST = 16;
export const NAT_RANGE_PORT_FIRST = 32;
export const NAT_RANGE_PORT_LAST = 34;
export const NAT_RANGE_PORT_BASE = 36;
export const NAT_RANGE_FLAGS = 38;
export const NAT_RANGE_SIZE = 40;
/** The range has addresses, ports. */
export const NAT_ADDRESSES = 1 << 0;
export const NAT_PORTS = 1 << 1;
/** `--random` or `--random-fully`: the port is drawn. */
export const NAT_RANDOM = 1 << 2;
/** `--persistent`. */
export const NAT_PERSISTENT = 1 << 3;
/** `--to-destination ADDRESS:PORT-PORT/BASE`. */
export const NAT_PORT_OFFSET = 1 << 4;

// ── Rules ──────────────────────────────────────────────────────────────────────────────────────────
// A rule has a number: the rules of both families are numbered table by table, chain by chain, and each chain
// ends in one more number, that of its end. Verdicts, paths and counters name rules by it.
//
// What the walk reads is the rule's record. The records of one chain are consecutive and end in one of their own:
// RETURN for a user chain, TARGET_POLICY_* for a built-in one. Chains whose rules do the same have their records in
// common.
//
//   0       1       2       3       4       5       6       7     byte
// ├───────────────────────────────┬───────────────────────────────┤
// │  matches (address)            │  matchesEnd (address)         │   0  the target's payload lies there
// ├───────┬───────┬───────────────┼───────────────────────────────┤
// │target │ flags │  -            │  targetArg                    │   8
// └───────┴───────┴───────────────┴───────────────────────────────┘  16
export const RULE_MATCHES = 0;
export const RULE_MATCHES_END = RULE_MATCHES + 4;
/** One of TARGET_*. */
export const RULE_TARGET = RULE_MATCHES_END + 4;
/** RULE_* bits. */
export const RULE_FLAGS = RULE_TARGET + 1;
/** JUMP, GOTO: the chain's place in its table. */
export const RULE_TARGET_ARG = RULE_FLAGS + 3;
export const RULE_SIZE = RULE_TARGET_ARG + 4;

// A chain, by its place in its table: number of its first rule u32, index of its first record u32.
export const CHAIN_NUMBER = 0;
export const CHAIN_RECORD = 4;
export const CHAIN_SIZE = 8;

// What was counted at a rule: packets u64, bytes u64. Counters lie in pages, by the rules' numbers; a page is there
// from the first packet on that is counted in it.
export const COUNTER_PACKETS = 0;
export const COUNTER_BYTES = 8;
export const COUNTER_SIZE = 16;
/** Counters of one page, as a power of two. */
export const COUNTER_PAGE_BITS = 6;

// RULE_FLAGS
/** The rule stands for a policy decision: a match of it becomes the verdict's decider. */
export const RULE_DECIDES = 1 << 0;
/** As RULE_DECIDES, but never instead of a rule that does. */
export const RULE_DECIDES_WEAKLY = 1 << 2;
/** The end of a chain, not a rule: it is walked, but neither counted nor numbered. */
export const RULE_IS_END = 1 << 1;

/** Deepest chain of jumps that is walked; the kernel allows as many as there are user chains, and refuses loops. */
export const JUMP_DEPTH_MAX = 65536;
/** Rules that one packet may visit, over all combinations of unknown facts. */
export const RULE_VISITS_MAX = 4000000;
/** Rules that one walk may match. */
export const PATH_RULES_MAX = 65536;
/** Combinations of unknown facts that are explored for one packet. */
export const FORK_PATHS_MAX = 4096;
/** Unknown facts that one walk may meet. */
export const FORK_DEPTH_MAX = 4096;

// ── Routes ─────────────────────────────────────────────────────────────────────────────────────────
// kind u8 ROUTE_*, flags u8, node u16 (0: unknown), interface u32, gateway 4 words (0: none), realm u32 or, of
// manifests, the tunnel's interface (0: nothing there is wrapped), MTU u32 (0: that of the interface).
export const ROUTE_KIND = 0;
export const ROUTE_FLAGS = 1;
export const ROUTE_NODE = 2;
export const ROUTE_INTERFACE = 4;
export const ROUTE_GATEWAY = 8;
export const ROUTE_REALM = 24;
export const ROUTE_TUNNEL = ROUTE_REALM;
export const ROUTE_MTU = 28;
export const ROUTE_SIZE = 32;
// ROUTE_FLAGS
export const ROUTE_MULTIPATH = 1 << 0;
/** The realm has a name whose number only the node knows. */
export const ROUTE_REALM_UNKNOWN = 1 << 1;
/** Of manifests: what goes there from node to node is wrapped, or is not; neither: nothing tells. */
export const ROUTE_WRAPPED = 1 << 2;
export const ROUTE_BARE = 1 << 3;
/** Behind another node, which is in the judged one's subnet, or is not; neither: nothing tells. */
export const ROUTE_NEAR = 1 << 4;
export const ROUTE_FAR = 1 << 5;
/** Of manifests: of a missing address: perhaps a node's own. */
export const ROUTE_PERHAPS_LOCAL = 1 << 6;
/** Routing tables: local, main, default. */
export const ROUTE_TABLES = 3;
export const ROUTE_UNICAST = 1;
export const ROUTE_LOCAL = 2;
export const ROUTE_MISSING = 3;
export const ROUTE_OUTSIDE = 4;
/** A Service's address whose translation is not known. */
export const ROUTE_UNTRANSLATED = 5;
export const ROUTE_BROADCAST = 6;
export const ROUTE_ANYCAST = 7;
export const ROUTE_MULTICAST = 8;
export const ROUTE_BLACKHOLE = 9;

// ── Interfaces ─────────────────────────────────────────────────────────────────────────────────────
// What an interface is that a capture names.
/** The tables know it. */
export const CAPTURED_TOLD = 0;
/**
 * Of manifests: none that rules ask for, or none of the node: then the packet goes its way. Of
 * nodes seen as one, each has names of its own.
 */
export const CAPTURED_PERHAPS_ELSEWHERE = 1;
/** The same, or one below any of those that rules ask for. */
export const CAPTURED_PERHAPS_BELOW = 2;
/** Of what a pod sends or gets perhaps that pod's own, which tells nothing of the node's. */
export const CAPTURED_PERHAPS_POD = 3;
/** Bytes of a name, zero-padded (IFNAMSIZ). Number 0 is no interface: the empty name. */
export const INTERFACE_SIZE = 16;
export const INTERFACES_MAX = 1 << 24;

// What a real node tells of an interface, by its number: flags u16, VLAN identifier plus one u16 (0: none),
// MAC 6 bytes as they lie in a frame, 0 u16, group u32, MTU for IPv4 u32 and for IPv6 u32 (0: not told), the
// interface that takes its frames u32 (0: none), the interface below u32 (0: none).
export const INTERFACE_LINK_FLAGS = 0;
export const INTERFACE_LINK_VLAN = 2;
export const INTERFACE_LINK_MAC = 4;
export const INTERFACE_LINK_GROUP = 12;
export const INTERFACE_LINK_MTU = 16;
export const INTERFACE_LINK_MTU6 = 20;
export const INTERFACE_LINK_UPPER = 24;
export const INTERFACE_LINK_LOWER = 28;
export const INTERFACE_LINK_SIZE = 32;
export const INTERFACE_LINK_EXISTS = 1 << 0;
export const INTERFACE_LINK_HAS_MAC = 1 << 1;
export const INTERFACE_LINK_LOOPBACK = 1 << 2;
export const INTERFACE_LINK_HAS_GROUP = 1 << 3;
export const INTERFACE_LINK_BRIDGE = 1 << 4;
/** Of a bridge: the rules of a family see what goes from port to port, or perhaps. */
export const INTERFACE_LINK_CALLS4 = 1 << 5;
export const INTERFACE_LINK_CALLS6 = 1 << 6;
export const INTERFACE_LINK_CALLS4_UNKNOWN = 1 << 7;
export const INTERFACE_LINK_CALLS6_UNKNOWN = 1 << 11;
/** What takes its frames is not modelled, or was not told. */
export const INTERFACE_LINK_ASTRAY = 1 << 8;
/** There are interfaces above it of which it was not told whether they take a VLAN, and which. */
export const INTERFACE_LINK_VLANS_UNKNOWN = 1 << 9;
/** Another interface lies below it. */
export const INTERFACE_LINK_STACKED = 1 << 10;

// One address from which a node of a cluster sends: node u16, family u8, tunnel u8 (1: of a device that
// wraps packets), 4 words.
export const NODE_ADDRESS_NODE = 0;
export const NODE_ADDRESS_FAMILY = 2;
export const NODE_ADDRESS_TUNNEL = 3;
export const NODE_ADDRESS_WORDS = 4;
export const NODE_ADDRESS_SIZE = 20;

// One address of an interface: interface u32, family u8, bits u8, flags u8, zero, 4 words.
export const INTERFACE_ADDRESS_INTERFACE = 0;
export const INTERFACE_ADDRESS_FAMILY = 4;
export const INTERFACE_ADDRESS_BITS = 5;
export const INTERFACE_ADDRESS_FLAGS = 6;
export const INTERFACE_ADDRESS_WORDS = 8;
export const INTERFACE_ADDRESS_SIZE = 24;
export const INTERFACE_ADDRESS_SECONDARY = 1 << 0;
/** Of link or host scope. */
export const INTERFACE_ADDRESS_NARROW = 1 << 1;

// ── Connections ────────────────────────────────────────────────────────────────────────────────────
// One that the node followed before the capture, or follows now: family u8, protocol u8, state u8 (TCP_*, SCTP's),
// flags u8, seconds left u32, seconds since it began u32, mark u32; addresses of 4 words each: original source
// and destination, reply source and destination; ports u16 in the same order.
export const CONNECTION_FAMILY = 0;
export const CONNECTION_PROTOCOL = 1;
export const CONNECTION_STATE = 2;
export const CONNECTION_FLAGS = 3;
export const CONNECTION_SECONDS = 4;
export const CONNECTION_AGE = 8;
/** CONNECTION_AGE where the dump does not tell when the connection began. */
export const CONNECTION_AGE_UNKNOWN = 0x7fffffff;
export const CONNECTION_MARK = 12;
export const CONNECTION_WORDS = 16;
export const CONNECTION_PORTS = 80;
export const CONNECTION_SIZE = 88;
// CONNECTION_FLAGS
export const CONNECTION_ANSWERED = 1 << 0;
export const CONNECTION_ASSURED = 1 << 1;
export const CONNECTION_SNAT = 1 << 2;
export const CONNECTION_DNAT = 1 << 3;
export const CONNECTION_BEYOND = 1 << 4;
export const CONNECTION_HELPED = 1 << 5;
/** It may be translated otherwise, or not be there. */
export const CONNECTION_VAGUE = 1 << 6;

// ── The node's switches (sysctl) ───────────────────────────────────────────────────────────────────
// Timeouts of connections: by state for TCP and SCTP.
export const TIMEOUT_TCP = 0;
export const TIMEOUT_SCTP = 16;
export const TIMEOUT_UDP = 32;
export const TIMEOUT_UDP_STREAM = 33;
export const TIMEOUT_ICMP = 34;
export const TIMEOUT_ICMPV6 = 35;
export const TIMEOUT_GRE = 36;
export const TIMEOUT_GRE_STREAM = 37;
export const TIMEOUT_GENERIC = 38;
export const TIMEOUT_COUNT = 39;
// What is switched for an interface: a byte each.
export const SWITCH_FORWARDING = 1 << 0;
export const SWITCH_FORWARDING6 = 1 << 1;
export const SWITCH_RP_STRICT = 1 << 2;
export const SWITCH_RP_LOOSE = 1 << 3;
export const SWITCH_ACCEPT_LOCAL = 1 << 4;
export const SWITCH_ROUTE_LOCALNET = 1 << 5;
export const SWITCH_SOURCE_ROUTE = 1 << 6;
export const SWITCH_REDIRECTS = 1 << 7;

// ── ipsets ─────────────────────────────────────────────────────────────────────────────────────────
// What entries of a set have; one with both addresses and a port has the port between them.
export const SET_FIELD_A = 1 << 0;
export const SET_FIELD_PORT = 1 << 1;
export const SET_FIELD_B = 1 << 2;
export const SET_FIELD_MARK = 1 << 3;
export const SET_FIELD_MAC = 1 << 4;
export const SET_FIELD_IFACE = 1 << 5;
// Flags of a set.
/** list:set. */
export const SET_LIST = 1 << 0;
/** bitmap: what lies outside of its range is not in it. */
export const SET_BITMAP = 1 << 1;
/** bitmap:port: no other protocols, and the port alone counts. */
export const SET_ONLY_TCP_UDP = 1 << 2;
/** hash:ip: the address of zeros is never in it. */
export const SET_NO_ZERO = 1 << 3;
/** Entries count packets and bytes. */
export const SET_COUNTERS = 1 << 4;
/** Of prefixes, whose entries may be `nomatch`. */
export const SET_NETS = 1 << 5;
export const SET_TIMEOUT = 1 << 6;
/** Entries have a mark for packets. */
export const SET_SKBINFO = 1 << 7;
/** A new entry takes the place of another when the set is full. */
export const SET_FORCEADD = 1 << 8;
/** Rules add or delete entries. */
export const SET_CHANGES = 1 << 9;
/** IPv4 prefixes, with or without a port: entries that nothing changes and that say nothing else (ipset-plain.ts). */
export const SET_PLAIN = 1 << 10;
/** Whoever is at some nodes of a cluster seen as one: it has no entries, but a bit for each node. */
export const SET_PLACE = 1 << 11;
/** The same, of nodes by which nothing comes from outside. */
export const SET_PLACE_SPARED = 1 << 12;
// Flags of an entry.
export const SET_ENTRY_NOMATCH = 1 << 0;
/** Its interface is the beginning of names. */
export const SET_ENTRY_WILDCARD = 1 << 1;
/** `--return-nomatch`: the last byte of MATCH_SET's flags. */
export const MATCH_SET_RETURN_NOMATCH = 1 << 0;
/** `! --update-counters`, `! --update-subcounters`. */
export const MATCH_SET_SKIP_COUNTERS = 1 << 1;
export const MATCH_SET_SKIP_SUBCOUNTERS = 1 << 2;
// How a counter is compared (IPSET_COUNTER_*); 0: not at all.
export const COUNTER_EQ = 1;
export const COUNTER_NE = 2;
export const COUNTER_LT = 3;
export const COUNTER_GT = 4;

/** A mark that manifests' tables set: nothing tells where the backend is but that it is chosen at its own node. */
export const MARK_STAYS = 0x1000000;

// What a set may hold beside its entries: addresses that are missing from the snapshot, or whatever.
export const INCOMPLETE_MISSING = 1;
export const INCOMPLETE_ANY = 2;
// An IpSet's fields (assembly/ipset-records.ts) that the host writes.
export const IPSET_FLAGS = 12;
export const IPSET_INCOMPLETE = 36;
export const IPSET_MASK = 40;
export const IPSET_MARK_MASK = 56;
export const IPSET_LOW = 60;
export const IPSET_HIGH = 64;
export const IPSET_MEMBERS = 68;
export const IPSET_MEMBER_COUNT = 72;
/** Most entries. */
export const IPSET_LIMIT = 76;
/** Seconds that entries live which no one says it of; 0: for ever. */
export const IPSET_TIMEOUT = 80;
/** Buckets of the kernel's own table. */
export const IPSET_HASH_SIZE = 84;
/** Address of u32[]: a bit for each node by its number, as setNodes has them; 0 without. */
export const IPSET_NODES = 88;
// One member of a list:set: its number u32, the address of the entry that holds what the list says of it u32.
export const LIST_MEMBER_SIZE = 8;
// A SetEntry's.
export const SET_ENTRY_A = 4;
export const SET_ENTRY_B = 20;
export const SET_ENTRY_PORT = 36;
export const SET_ENTRY_PROTOCOL = 38;
export const SET_ENTRY_BITS_A = 39;
export const SET_ENTRY_BITS_B = 40;
export const SET_ENTRY_FLAGS = 41;
export const SET_ENTRY_WORD = 48;
/** Nanoseconds since the first packet: there for sure before, gone for sure after; 0: for ever. */
export const SET_ENTRY_DEADLINE = 56;
export const SET_ENTRY_GONE_AT = 64;
export const SET_ENTRY_PACKETS = 72;
export const SET_ENTRY_BYTES = 80;
export const SET_ENTRY_MARK = 88;
export const SET_ENTRY_MARK_MASK = 92;

// SET: three parts (add, delete, map), then the timeout u32, flags u8 (SET_TARGET_*). A part: set u32, then
// flags u8 (how many; 0: there is no such part), side of each of up to six flags u8, 0 u8.
export const SET_TARGET_PART_SIZE = 12;
export const SET_TARGET_ADD = 0;
export const SET_TARGET_DELETE = 12;
export const SET_TARGET_MAP = 24;
export const SET_TARGET_TIMEOUT = 36;
export const SET_TARGET_FLAGS = 40;
/** `--exist`: an entry that is there begins anew. */
export const SET_TARGET_EXIST = 1 << 0;
/** `--timeout`. */
export const SET_TARGET_HAS_TIMEOUT = 1 << 1;
export const SET_TARGET_MAP_MARK = 1 << 2;

// ── Flow rows ──────────────────────────────────────────────────────────────────────────────────────
// Packets of one tuple and its reply that got one verdict; the tuple is that of the first packet. What the
// matcher keeps of them is written out so when it is asked for.
//
// ├───────────────────────────────┬───────────────────────────────┤
// │  packets, u64                                                 │   0
// │  bytes, u64                                                   │   8
// ├───────────────────────────────────────────────────────────────┤
// │  packet record of the first packet: tuple and number          │  16
// │  verdict record of the first packet                           │
// └───────────────────────────────────────────────────────────────┘
export const FLOW_PACKETS = 0;
export const FLOW_BYTES = FLOW_PACKETS + 8;
export const FLOW_PACKET = FLOW_BYTES + 8;
export const FLOW_VERDICT = FLOW_PACKET + PACKET_SIZE;
export const FLOW_SIZE = FLOW_VERDICT + VERDICT_SIZE;
/** A table of connections of which less than such a part expires at a time may be full. */
export const FULL_PART = 16;
/** Most flow rows; beyond it packets are counted in the totals only. */
export const FLOW_MAX = 1 << 22;

// Which row counted which packet: the lower half of its number, u32, and the row's place in the list, u32.
export const ROW_LOG_ROW = 4;
export const ROW_LOG_ENTRY = 8;
/** In place of a row: the packet is in none. */
export const ROW_LOG_NONE = 0xffffffff;

// ── Fragments ──────────────────────────────────────────────────────────────────────────────────────
// A fragment that waits for the rest of its datagram: its packet record, the verdict record that it gets,
// and what assembly/fragment.ts draws behind.
export const FRAGMENT_PACKET = 0;
export const FRAGMENT_VERDICT = FRAGMENT_PACKET + PACKET_SIZE;
export const FRAGMENT_OWN = FRAGMENT_VERDICT + VERDICT_SIZE;
/** Fragments that wait at a time. */
export const FRAGMENTS_MAX = 16384;
/** Datagrams that wait at a time. */
export const DATAGRAMS_MAX = 1024;
/** Packets behind a fragment in which the rest of its datagram has to come: so many verdicts are held back. */
export const FRAGMENT_REACH = 65536;

// ── Totals ─────────────────────────────────────────────────────────────────────────────────────────
// u64 each.
export const TOTAL_PACKETS = 0;
export const TOTAL_BYTES = 8;
/** Followed by the counts of VERDICT_DROP, VERDICT_UNFILTERED, VERDICT_UNKNOWN. */
export const TOTAL_ALLOW = 16;
export const TOTAL_FRAGMENTS = 48;
export const TOTAL_MALFORMED = 56;
export const TOTAL_TRUNCATED = 64;
export const TOTAL_DUPLICATES = 72;
export const TOTAL_MIDSTREAM = 80;
/** Packets whose flow did not fit the list of flows. */
export const TOTAL_FLOWS_LOST = 88;
/** Undecided packets that belong to no flow: they have no addresses, or none that can be read. */
export const TOTAL_WITHOUT_FLOW = 96;
export const TOTAL_SIZE = 104;

// ── Shares of several workers ──────────────────────────────────────────────────────────────────────
// What came up that no worker can decide from its share of the packets.
export const SHARE_WHOLE = 0;
/** Answers may come from anywhere: a source was translated, or nobody knows how. */
export const SHARE_TRANSLATION = 1;
/** As many connections or flows as may have been too many for all together. */
export const SHARE_FULL = 2;
/** Fragments that are put together behind rules. */
export const SHARE_FRAGMENTS = 3;

// ── Trace ──────────────────────────────────────────────────────────────────────────────────────────
// kind u8 TRACE_*, hook u8, table u8, outcome u8, rule i32, failed u32 (bit per match, first 32), mark u32.
export const TRACE_KIND = 0;
export const TRACE_HOOK = 1;
export const TRACE_TABLE = 2;
export const TRACE_OUTCOME = 3;
export const TRACE_RULE_INDEX = 4;
export const TRACE_FAILED = 8;
export const TRACE_MARK = 12;
export const TRACE_CT_STATE = 16;
export const TRACE_SIZE = 20;
/** Steps that are recorded; a longer walk is cut. */
export const TRACE_MAX = 65536;
export const TRACE_ENTER = 1;
export const TRACE_RULE = 2;
export const TRACE_RETURN = 3;
export const TRACE_POLICY = 4;
export const OUTCOME_NO = 0;
export const OUTCOME_YES = 1;
export const OUTCOME_UNKNOWN = 2;
export const OUTCOME_HOTDROP = 3;
