/**
 * Digests of texts, each made where the one before was: the library makes several buffers for one, and the names of a
 * large cluster's chains, sets and interfaces are tens of thousands of them.
 */
import { encodeText } from "../net/text-bytes.ts";

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

  /**
   * The digest of a text; it holds until the next one.
   *
   * @param before bytes before it; they may be the last digest
   */
  of(text: string, before?: Uint8Array): Uint8Array {
    const used = this.#used;
    this.#fresh._cloneInto(used);
    if (before !== undefined) used.update(before);
    used.update(encodeText(text));
    used.digestInto(this.#digest);
    return this.#digest;
  }
}
