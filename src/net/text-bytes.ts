/** The bytes of texts as UTF-8, each where the one before was: names of a large cluster are hundreds of thousands. */

const ENCODER = new TextEncoder();
/** Most bytes for what a text counts as 1. */
const UTF8_MAX = 3;
let bytes = new Uint8Array(1024);

/** Encodes a text; the bytes hold until the next one. */
export function encodeText(text: string): Uint8Array {
  const most = text.length * UTF8_MAX;
  if (most > bytes.length) bytes = new Uint8Array(2 * most);
  return bytes.subarray(0, ENCODER.encodeInto(text, bytes).written);
}
