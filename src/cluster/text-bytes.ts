/** A text as its bytes in UTF-8: who reads them needs no string of it all, which takes memory and time. */
export interface TextBytes {
  /** Valid UTF-8. */
  readonly bytes: Uint8Array;
  /** Makes the string of those from `start` to before `end`, which begin and end whole characters. */
  readonly decode: (start: number, end: number) => string;
}

/** The bytes of a string; undefined where it holds half a character, which UTF-8 cannot say. */
export function encodeText(text: string): TextBytes | undefined {
  if (!text.isWellFormed()) return undefined;
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const ascii = bytes.length === text.length;
  return {
    bytes,
    decode: (start, end) =>
      ascii ? text.slice(start, end) : decoder.decode(bytes.subarray(start, end)),
  };
}
