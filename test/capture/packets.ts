/**
 * The packets of pcap and pcapng files, told by a reader of its own that shares no code with src/capture:
 * what was written is compared with what was read by it.
 */

/** A packet as its file has it. */
export interface FilePacket {
  readonly bytes: string;
  readonly originalLength: number;
  /** Ticks; undefined where the file gives none. */
  readonly ticks: bigint | undefined;
  readonly interface: FileInterface | undefined;
  readonly section: FileSection;
  /** Hexadecimal, by code, in order; numbers in the byte order of the file. */
  readonly options: readonly FileOption[];
}

export interface FileInterface {
  readonly linkType: number;
  readonly snapLength: number;
  readonly name: string | undefined;
  /** The byte of if_tsresol. */
  readonly resolution: number;
  readonly options: readonly FileOption[];
}

export interface FileSection {
  readonly littleEndian: boolean;
  readonly options: readonly FileOption[];
  readonly interfaces: FileInterface[];
}

export interface FileOption {
  readonly code: number;
  readonly value: Buffer;
}

export interface FileContent {
  readonly packets: FilePacket[];
  readonly sections: FileSection[];
}

/** Reads a file up to its end, or to where it is damaged. */
export function readPackets(file: Uint8Array): FileContent {
  const bytes = Buffer.from(file);
  return bytes.readUInt32LE(0) === 0x0a0d0d0a ? readPcapng(bytes) : readPcap(bytes);
}

/** The comments of a packet, an interface or a section. */
export function commentsOf({ options }: { readonly options: readonly FileOption[] }): string[] {
  return options.filter(({ code }) => code === 1).map(({ value }) => value.toString());
}

/** What must stay as it was, in words: bytes, lengths, the time and the interface's name and link. */
export function whatStays({ packets }: FileContent): unknown[] {
  return packets.map((packet) => ({
    bytes: packet.bytes,
    originalLength: packet.originalLength,
    ticks: packet.ticks ?? 0n,
    resolution: packet.interface?.resolution ?? 6,
    linkType: packet.interface?.linkType ?? 147,
    name: packet.interface?.name,
  }));
}

function readPcap(bytes: Buffer): FileContent {
  const little = [0xa1b2c3d4, 0xa1b23c4d, 0xa1b2cd34].includes(bytes.readUInt32LE(0));
  const u32 = (at: number): number => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const magic = u32(0);
  const resolution = magic === 0xa1b23c4d ? 9 : 6;
  const header = magic === 0xa1b2cd34 ? 24 : 16;
  const captureInterface: FileInterface = {
    linkType: u32(20) & 0xffff,
    snapLength: u32(16),
    name: undefined,
    resolution,
    options: [],
  };
  const section = { littleEndian: little, options: [], interfaces: [captureInterface] };
  const packets: FilePacket[] = [];
  for (let at = 24; at + header <= bytes.length;) {
    const captured = u32(at + 8);
    if (captured > 262144 || at + header + captured > bytes.length) break;
    packets.push({
      bytes: bytes.toString("hex", at + header, at + header + captured),
      originalLength: u32(at + 12),
      ticks: BigInt(u32(at)) * 10n ** BigInt(resolution) + BigInt(u32(at + 4)),
      interface: captureInterface,
      section,
      options: [],
    });
    at += header + captured;
  }
  return { packets, sections: [section] };
}

function readPcapng(bytes: Buffer): FileContent {
  const packets: FilePacket[] = [];
  const sections: FileSection[] = [];
  let little = true;
  const u16 = (at: number): number => (little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));
  const u32 = (at: number): number => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const optionsOf = (from: number, to: number): FileOption[] => {
    const options: FileOption[] = [];
    for (let at = from; at + 4 <= to && u16(at) !== 0;) {
      const length = u16(at + 2);
      if (at + 4 + length > to) break;
      options.push({ code: u16(at), value: bytes.subarray(at + 4, at + 4 + length) });
      at += 4 + length + (-length & 3);
    }
    return options;
  };
  for (let at = 0; at + 12 <= bytes.length;) {
    if (bytes.readUInt32LE(at) === 0x0a0d0d0a) little = bytes.readUInt32LE(at + 8) === 0x1a2b3c4d;
    const type = u32(at);
    const total = u32(at + 4);
    const end = at + total - 4;
    if (total < 12 || total % 4 !== 0 || end + 4 > bytes.length || u32(end) !== total) break;
    const section = sections.at(-1);
    const add = (id: number, time: number, lengths: number, frame: number): void => {
      const captured = u32(lengths);
      packets.push({
        bytes: bytes.toString("hex", frame, frame + captured),
        originalLength: u32(lengths + 4),
        ticks: (BigInt(u32(time)) << 32n) | BigInt(u32(time + 4)),
        interface: section.interfaces[id],
        section,
        options: optionsOf(frame + captured + (-captured & 3), end),
      });
    };
    switch (type) {
      case 0x0a0d0d0a:
        sections.push({ littleEndian: little, options: optionsOf(at + 24, end), interfaces: [] });
        break;
      case 1: {
        const options = optionsOf(at + 16, end);
        const text = options
          .find(({ code }) => code === 2)
          ?.value.toString()
          .replace(/\0+$/, "");
        section.interfaces.push({
          linkType: u16(at + 8),
          snapLength: u32(at + 12),
          name: text === "" ? undefined : text,
          resolution: options.find(({ code }) => code === 9)?.value[0] ?? 6,
          options,
        });
        break;
      }
      case 2:
        add(u16(at + 8), at + 12, at + 20, at + 28);
        break;
      case 3: {
        const first = section.interfaces[0];
        const original = u32(at + 8);
        const captured = Math.min(original, first?.snapLength || original);
        packets.push({
          bytes: bytes.toString("hex", at + 12, at + 12 + captured),
          originalLength: original,
          ticks: undefined,
          interface: first,
          section,
          options: [],
        });
        break;
      }
      case 6:
        add(u32(at + 8), at + 12, at + 20, at + 28);
        break;
    }
    at = end + 4;
  }
  return { packets, sections };
}
