/** Blocks of pcapng files, made by hand. */

export const FRAME = [1, 2, 3, 4, 5];
export const TICKS = 1_700_000_000_123_456n;

/** Builds blocks of one byte order; each method gives a whole block. */
export class Blocks {
  readonly #littleEndian: boolean;

  constructor(littleEndian: boolean) {
    this.#littleEndian = littleEndian;
  }

  number(value: bigint | number, size: 2 | 4 | 8): number[] {
    const bytes: number[] = [];
    for (let at = 0n; at < BigInt(size); at += 1n)
      bytes.push(Number((BigInt.asUintN(64, BigInt(value)) >> (8n * at)) & 0xffn));
    return this.#littleEndian ? bytes : bytes.reverse();
  }

  u16(value: number): number[] {
    return this.number(value, 2);
  }

  u32(value: number): number[] {
    return this.number(value, 4);
  }

  block(type: number, body: readonly number[]): number[] {
    const length = this.u32(body.length + 12);
    return [...this.u32(type), ...length, ...body, ...length];
  }

  section(version: readonly [number, number] = [1, 0], length = -1n): number[] {
    const [major, minor] = version;
    const head = [...this.u32(0x1a2b3c4d), ...this.u16(major), ...this.u16(minor)];
    return this.block(0x0a0d0d0a, [...head, ...this.number(length, 8)]);
  }

  option(code: number, value: readonly number[], length = value.length): number[] {
    return [...this.u16(code), ...this.u16(length), ...padded(value)];
  }

  interface(options: readonly number[] = [], { linkType = 1, snapLength = 0 } = {}): number[] {
    const head = [...this.u16(linkType), ...this.u16(0), ...this.u32(snapLength)];
    return this.block(1, [...head, ...options]);
  }

  /** An Enhanced Packet Block. */
  packet({
    id = 0,
    ticks = TICKS,
    captured = FRAME.length,
    original = FRAME.length,
    options = [] as readonly number[],
  } = {}): number[] {
    return this.block(6, [
      ...this.u32(id),
      ...this.u32(Number(ticks >> 32n)),
      ...this.u32(Number(ticks & 0xffffffffn)),
      ...this.u32(captured),
      ...this.u32(original),
      ...padded(FRAME),
      ...options,
    ]);
  }

  simple(original: number, frame: readonly number[]): number[] {
    return this.block(3, [...this.u32(original), ...padded(frame)]);
  }

  /** The obsolete Packet Block. */
  old(id: number, options: readonly number[] = []): number[] {
    const ids = [...this.u16(id), ...this.u16(7)];
    const time = [...this.u32(Number(TICKS >> 32n)), ...this.u32(Number(TICKS & 0xffffffffn))];
    const lengths = [...this.u32(FRAME.length), ...this.u32(60)];
    return this.block(2, [...ids, ...time, ...lengths, ...padded(FRAME), ...options]);
  }
}

export const padded = (bytes: readonly number[]): number[] => [
  ...bytes,
  ...Array.from({ length: -bytes.length & 3 }, () => 0),
];
