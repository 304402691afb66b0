/**
 * Digests of texts, each made where the one before was: the library makes several buffers for one, and the names of a
 * large cluster's chains, sets and interfaces are tens of thousands of them.
 */

/** What the library's hashes have. */
interface Hash<Own> {
  readonly outputLen: number;
  update(bytes: Uint8Array): unknown;
  digestInto(digest: Uint8Array): unknown;
  /** Makes another as this one is. */
  _cloneInto(other: Own): unknown;
}

/** One hash function, of texts as UTF-8. */
export class TextDigest<Own extends Hash<Own>> {
  readonly #fresh: Own;
  readonly #used: Own;
  readonly #digest: Uint8Array;

  constructor(create: () => Own) {
    this.#fresh = create();
    this.#used = create();
    this.#digest = new Uint8Array(this.#fresh.outputLen);
  }

  /** The digest of a text; it holds until the next one. */
  of(text: string): Uint8Array {
    const used = this.#used;
    this.#fresh._cloneInto(used);
    used.update(encode(text));
    used.digestInto(this.#digest);
    return this.#digest;
  }
}

const ENCODER = new TextEncoder();
/** Most bytes that UTF-8 takes for what has the length 1. */
const UTF8_MAX = 3;
let encoded = new Uint8Array(1024);

/** The bytes hold until the next call. */
function encode(text: string): Uint8Array {
  const most = text.length * UTF8_MAX;
  if (most > encoded.length) encoded = new Uint8Array(2 * most);
  return encoded.subarray(0, ENCODER.encodeInto(text, encoded).written);
}
