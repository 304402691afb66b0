import { isUtf8 } from "node:buffer";
import type { ManifestText } from "../cluster/manifest-object.ts";
import type { TextBytes } from "../cluster/text-bytes.ts";

/** A manifest of which the bytes were read. Its string is made once somebody asks for it. */
export class ManifestBytes implements ManifestText {
  readonly file: string;
  readonly encoded: TextBytes;
  #text: string | undefined;

  private constructor(file: string, bytes: Buffer) {
    this.file = file;
    this.encoded = { bytes, decode: (start, end) => bytes.toString("utf8", start, end) };
  }

  /** Undefined where the bytes are no UTF-8; a byte order mark is left out. */
  static of(file: string, bytes: Buffer): ManifestBytes | undefined {
    if (!isUtf8(bytes)) return undefined;
    const marked = bytes.toString("utf8", 0, 3) === "\ufeff";
    return new ManifestBytes(file, marked ? bytes.subarray(3) : bytes);
  }

  get text(): string {
    const { bytes, decode } = this.encoded;
    return (this.#text ??= decode(0, bytes.length));
  }
}
