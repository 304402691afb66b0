/**
 * Frames for the decoder's tests: one of every protocol, sent over a loopback interface (SCTP and DCCP
 * are written by hand), and functions that build the odd ones.
 */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/[0-9a-f]{2}/g) ?? [], (byte) => Number.parseInt(byte, 16));
}

export function bytes(...parts: readonly (number | Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => (typeof part === "number" ? [part] : [...part])));
}

/** A frame with some bytes replaced from `offset` on. */
export function patched(
  frame: Uint8Array,
  offset: number,
  ...values: readonly number[]
): Uint8Array {
  const copy = frame.slice();
  copy.set(values, offset);
  return copy;
}

const MACS = "020000000002020000000001";
const TCP = "c8cc0009c175bc6200000000a002ffd7fe3000000204ffd70402080a395840b9000000000103030a";

/** By protocol: Ethernet frames with IPv4 or IPv6. */
export const FRAMES = {
  tcp: hex(`${MACS}0800 4500003cade1400040068ed87f0000017f000001 ${TCP}`),
  tcpReset: hex(
    `${MACS}0800 450000280000400040063cce7f0000017f000001 0009c8cc00000000c175bc63501400006b1f0000`,
  ),
  tcp6: hex(
    `${MACS}86dd 60043b4e00280640 00000000000000000000000000000001 00000000000000000000000000000001` +
      "8aae00097a422d8a00000000a002ffc4003000000204ffc40402080a49395859000000000103030a",
  ),
  udp: hex(
    `${MACS}0800 4500003611dd400040112ad87f0000017f000001` +
      "a06026e10022fe3512340100000100000000000003646e7304746573740000010001",
  ),
  udp6: hex(
    `${MACS}86dd 60069805000d1140 00000000000000000000000000000001 00000000000000000000000000000001` +
      "c0c126e1000d002068656c6c6f",
  ),
  udplite: hex(`${MACS}0800 45000020f1ff400040884a547f0000017f000001 d7fa26e1000c21b26c697465`),
  icmpEcho: hex(`${MACS}0800 4500002009114000400133ca7f0000017f000001 080000001234000170696e67`),
  icmpError: hex(
    `${MACS}0800 45c00052090f0000400172da7f0000017f000001 0303d46c00000000` +
      "4500003611dd400040112ad87f0000017f000001" +
      "a06026e10022fe3512340100000100000000000003646e7304746573740000010001",
  ),
  icmpv6Echo: hex(
    `${MACS}86dd 6007449e000c3a40 00000000000000000000000000000001 00000000000000000000000000000001` +
      "80008eb11234000170696e67",
  ),
  icmpv6Error: hex(
    `${MACS}86dd 60041d18003d3a40 00000000000000000000000000000001 00000000000000000000000000000001` +
      "0104c98500000000" +
      "60069805000d1140 00000000000000000000000000000001 00000000000000000000000000000001" +
      "c0c126e1000d002068656c6c6f",
  ),
  // INIT chunk: length 20, tag 1, window 65536, one stream each way, first TSN 1.
  sctp: hex(
    `${MACS}0800 4500003400014000408400000a0000010a000002` +
      "9c400b590000000000000000 0100001400000001000100000001000100000001",
  ),
  // REQUEST with a long sequence number.
  dccp: hex(
    `${MACS}0800 4500002800014000402100000a0000010a000002` +
      "9c4013880500000001000000000000010000000000",
  ),
  gre: hex(`${MACS}0800 4500001800014000402f00000a0000010a000002 00000800`),
} as const;

/** An IPv4 header without options; the total length counts `payload`. */
export function ipv4(
  protocol: number,
  payload: Uint8Array,
  header: {
    readonly length?: number;
    readonly fragment?: number;
    readonly options?: readonly number[];
  } = {},
): Uint8Array {
  const options = header.options ?? [];
  const length = header.length ?? 20 + options.length + payload.length;
  return bytes(
    [0x45 + options.length / 4, 0, length >> 8, length & 0xff, 0x12, 0x34],
    [(header.fragment ?? 0) >> 8, (header.fragment ?? 0) & 0xff, 64, protocol, 0, 0],
    [10, 0, 0, 1, 10, 0, 0, 2],
    options,
    payload,
  );
}

/** An IPv6 header from 2001:db8::1 to 2001:db8::2. */
export function ipv6(next: number, payload: Uint8Array, length = payload.length): Uint8Array {
  const host = (last: number): number[] => [
    0x20,
    1,
    0xd,
    0xb8,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    last,
  ];
  return bytes([0x60, 0, 0, 0, length >> 8, length & 0xff, next, 64], host(1), host(2), payload);
}

/** An Ethernet frame. */
export function ethernet(type: number, payload: Uint8Array): Uint8Array {
  return bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, type >> 8, type & 0xff], payload);
}

/** A UDP datagram from port 1000 to port 53. */
export function udp(payload: Uint8Array, length = 8 + payload.length): Uint8Array {
  return bytes([0x03, 0xe8, 0, 53, length >> 8, length & 0xff, 0, 0], payload);
}

/** A TCP SYN from port 1000 to port 80, without options. */
export const SYN = hex("03e8005000000001000000005002fff000000000");
