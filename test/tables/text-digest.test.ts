import { createHash } from "node:crypto";
import { sha1 } from "@noble/hashes/legacy.js";
import { sha224, sha256 } from "@noble/hashes/sha2.js";
import { sha3_224 } from "@noble/hashes/sha3.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { describe, expect, it } from "vitest";
import { TextDigest } from "../../src/tables/text-digest.ts";

/** Around the ends of blocks, longer than any text before, and short again; of one to four bytes a character. */
const TEXTS = [0, 1, 55, 56, 63, 64, 65, 111, 143, 144, 145, 288, 5000, 3].flatMap((length) =>
  ["a", "ö", "語", "𝛼"].map((character) => character.repeat(length)),
);

describe("TextDigest", () => {
  const digests = {
    sha1: new TextDigest(() => sha1.create()),
    sha224: new TextDigest(() => sha224.create()),
    sha256: new TextDigest(() => sha256.create()),
    "sha3-224": new TextDigest(() => sha3_224.create()),
  };
  it.each(Object.entries(digests))("%s of each text is as if it were alone", (name, digest) => {
    for (const text of TEXTS) {
      const expected = createHash(name).update(text).digest("hex");
      expect(bytesToHex(digest.of(text))).toBe(expected);
    }
  });
  it.each(Object.entries(digests))("%s of each text behind the digest before", (name, digest) => {
    let before = digest.of("");
    for (const text of TEXTS) {
      const expected = createHash(name).update(before).update(text).digest("hex");
      before = digest.of(text, before);
      expect(bytesToHex(before)).toBe(expected);
    }
  });
});
