/**
 * `assembly/decode.ts` compiled on its own, and a call that decodes one frame with it.
 * The frame may lie at the very end of the memory, so that a read beyond it traps, or among bytes of
 * the caller's choice.
 */
import { instantiateSync } from "@assemblyscript/loader";
import asc from "assemblyscript/asc";
import { fileURLToPath } from "node:url";
import * as layout from "../../assembly/layout.ts";

/** The decoded part of a packet record, as values. Addresses of bytes count from the frame. */
export interface Decoded {
  readonly flags: number;
  readonly known: number;
  readonly family: number;
  readonly protocol: number;
  readonly ttl: number;
  readonly tos: number;
  readonly sport: number;
  readonly dport: number;
  readonly src: string;
  readonly dst: string;
  readonly icmpType: number;
  readonly icmpCode: number;
  readonly icmpId: number;
  readonly tcpFlags: number;
  readonly tcpOffset: number;
  readonly tcpWindow: number;
  readonly tcpSeq: number;
  readonly tcpAck: number;
  readonly ipLength: number;
  readonly payloadLength: number;
  readonly ipId: number;
  readonly fragmentOffset: number;
  readonly malformed: number;
  /** Undefined where the record has 0. */
  readonly network: number | undefined;
  readonly transport: number | undefined;
  readonly end: number | undefined;
  readonly srcMac: string;
  readonly dstMac: string;
  readonly etherType: number;
  readonly vlan: number;
  readonly quotedProtocol: number;
  readonly quotedSport: number;
  readonly quotedDport: number;
  readonly quotedSrc: string;
  readonly quotedDst: string;
}

export interface FrameOptions {
  /** LINK_ETHERNET unless given. */
  readonly linkType?: number;
  /** The frame's length unless given. */
  readonly originalLength?: number;
  readonly flags?: number;
  /** Puts the frame among bytes of this value, instead of at the end of the memory. */
  readonly fill?: number;
}

/** Decodes one frame. */
export type DecodeFrame = (frame: Uint8Array, options?: FrameOptions) => Decoded;

const PAGE = 65536;
// A record behind whatever the module keeps at the start, and room for the largest frame.
const RECORD = PAGE;
const PAGES = 2 + layout.FRAME_MAX / PAGE + 1;
const MARGIN = 256;

interface DecoderExports extends Record<string, unknown> {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  decode(packet: number): void;
}

/** Compiles the decoder as the release build does, and instantiates it. */
export async function loadDecoder(): Promise<DecodeFrame> {
  const { exports } = instantiateSync<DecoderExports>(await compileDecoder());
  const { memory, decode } = exports;
  memory.grow(PAGES - memory.buffer.byteLength / PAGE);
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer, RECORD, layout.PACKET_SIZE);
  return (frame, options = {}) => {
    let at = bytes.length - frame.length;
    if (options.fill !== undefined) {
      at -= MARGIN;
      bytes.fill(options.fill, at - MARGIN);
    }
    bytes.set(frame, at);
    bytes.fill(0, RECORD, RECORD + layout.PACKET_SIZE);
    view.setUint32(layout.PACKET_FRAME, at, true);
    view.setUint32(layout.PACKET_CAPTURED_LENGTH, frame.length, true);
    view.setUint32(layout.PACKET_ORIGINAL_LENGTH, options.originalLength ?? frame.length, true);
    view.setUint16(layout.PACKET_LINK_TYPE, options.linkType ?? layout.LINK_ETHERNET, true);
    view.setUint32(layout.PACKET_FLAGS, options.flags ?? 0, true);
    decode(RECORD);
    return decodedOf(view, at);
  };
}

async function compileDecoder(): Promise<Uint8Array<ArrayBuffer>> {
  let wasm: Uint8Array<ArrayBuffer> | undefined;
  const { error, stderr } = await asc.main(
    [
      "assembly/decode.ts",
      "--outFile",
      "decode.wasm",
      "--runtime",
      "stub",
      "--use",
      "abort=",
      "-O3",
      "--noAssert",
    ],
    {
      writeFile: (_name, contents) => {
        if (typeof contents !== "string") wasm = Uint8Array.from(contents);
      },
      listFiles: () => null,
    },
  );
  if (error !== null || wasm === undefined) throw new Error(`asc: ${stderr.toString()}`);
  return wasm;
}

function decodedOf(view: DataView, frame: number): Decoded {
  const u8 = (offset: number): number => view.getUint8(offset);
  const u16 = (offset: number): number => view.getUint16(offset, true);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  const place = (offset: number): number | undefined =>
    u32(offset) === 0 ? undefined : u32(offset) - frame;
  const family = u8(layout.PACKET_FAMILY);
  const address = (offset: number): string =>
    addressOf(
      family,
      [0, 4, 8, 12].map((n) => u32(offset + n)),
    );
  const mac = (offset: number): string =>
    [0, 1, 2, 3, 4, 5]
      .map((n) =>
        u8(offset + n)
          .toString(16)
          .padStart(2, "0"),
      )
      .join(":");
  return {
    flags: u32(layout.PACKET_FLAGS),
    known: u32(layout.PACKET_KNOWN),
    family,
    protocol: u8(layout.PACKET_PROTOCOL),
    ttl: u8(layout.PACKET_TTL),
    tos: u8(layout.PACKET_TOS),
    sport: u16(layout.PACKET_SPORT),
    dport: u16(layout.PACKET_DPORT),
    src: address(layout.PACKET_SRC),
    dst: address(layout.PACKET_DST),
    icmpType: u8(layout.PACKET_ICMP_TYPE),
    icmpCode: u8(layout.PACKET_ICMP_CODE),
    icmpId: u16(layout.PACKET_ICMP_ID),
    tcpFlags: u8(layout.PACKET_TCP_FLAGS),
    tcpOffset: u8(layout.PACKET_TCP_OFFSET),
    tcpWindow: u16(layout.PACKET_TCP_WINDOW),
    tcpSeq: u32(layout.PACKET_TCP_SEQ),
    tcpAck: u32(layout.PACKET_TCP_ACK),
    ipLength: u32(layout.PACKET_IP_LENGTH),
    payloadLength: u32(layout.PACKET_PAYLOAD_LENGTH),
    ipId: u32(layout.PACKET_IP_ID),
    fragmentOffset: u16(layout.PACKET_FRAGMENT_OFFSET),
    malformed: u8(layout.PACKET_MALFORMED),
    network: place(layout.PACKET_NETWORK),
    transport: place(layout.PACKET_TRANSPORT),
    end: place(layout.PACKET_END),
    srcMac: mac(layout.PACKET_SRC_MAC),
    dstMac: mac(layout.PACKET_DST_MAC),
    etherType: u16(layout.PACKET_ETHER_TYPE),
    vlan: u16(layout.PACKET_VLAN),
    quotedProtocol: u8(layout.PACKET_QUOTED_PROTOCOL),
    quotedSport: u16(layout.PACKET_QUOTED_SPORT),
    quotedDport: u16(layout.PACKET_QUOTED_DPORT),
    quotedSrc: address(layout.PACKET_QUOTED_SRC),
    quotedDst: address(layout.PACKET_QUOTED_DST),
  };
}

/** IPv4 dotted, IPv6 as eight groups without leading zeros. */
function addressOf(family: number, words: readonly number[]): string {
  if (family !== 6) return [24, 16, 8, 0].map((n) => ((words[0] ?? 0) >>> n) & 0xff).join(".");
  return words
    .flatMap((word) => [(word >>> 16).toString(16), (word & 0xffff).toString(16)])
    .join(":");
}

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
