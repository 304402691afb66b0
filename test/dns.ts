/** Writes DNS messages for tests. Shares no code with the reader. */

export interface DnsRecordSpec {
  readonly name: string;
  readonly type: "A" | "AAAA" | "CNAME" | "TXT";
  /** A name, or an address's bytes. */
  readonly data: string | readonly number[];
  readonly seconds?: number;
}

export interface DnsSpec {
  readonly name: string;
  readonly answers: readonly DnsRecordSpec[];
  /** A response without an error when absent. */
  readonly flags?: number;
  readonly questions?: number;
  /** Of the question; A when absent. */
  readonly type?: keyof typeof TYPES | undefined;
  readonly id?: number;
  /** Each suffix that was written before is pointed at. */
  readonly compressed?: boolean;
}

const TYPES = { A: 1, AAAA: 28, CNAME: 5, TXT: 16, ANY: 255 };

const number = (value: number, size: number): number[] =>
  Array.from({ length: size }, (_, index) => Math.floor(value / 256 ** (size - 1 - index)) % 256);

export function buildDns(spec: DnsSpec): Uint8Array {
  const { name, answers, flags = 0x8180, questions = 1, compressed = true } = spec;
  const { type: asked = "A", id = 0x1234 } = spec;
  const bytes = [...number(id, 2), ...number(flags, 2), ...number(questions, 2)];
  bytes.push(...number(answers.length, 2), 0, 0, 0, 0);
  const places = new Map<string, number>();
  const writeName = (text: string): void => {
    const labels = text.split(".");
    for (const [index, label] of labels.entries()) {
      const suffix = labels.slice(index).join(".").toLowerCase();
      const place = places.get(suffix);
      if (compressed && place !== undefined) {
        bytes.push(...number(0xc000 + place, 2));
        return;
      }
      places.set(suffix, bytes.length);
      bytes.push(label.length, ...Buffer.from(label));
    }
    bytes.push(0);
  };
  writeName(name);
  bytes.push(...number(TYPES[asked], 2), 0, 1);
  for (const { name: owner, type, data, seconds = 300 } of answers) {
    writeName(owner);
    bytes.push(...number(TYPES[type], 2), 0, 1, ...number(seconds, 4), 0, 0);
    const start = bytes.length;
    if (typeof data === "string") writeName(data);
    else bytes.push(...data);
    bytes.splice(start - 2, 2, ...number(bytes.length - start, 2));
  }
  return Uint8Array.from(bytes);
}
