import { describe, expect, it } from "vitest";
import { BytePlaces } from "../../src/cluster/byte-places.ts";
import { encodeText } from "../../src/cluster/text-bytes.ts";
import { makeRandom } from "../random.ts";

function placesOf(text: string): BytePlaces {
  const encoded = encodeText(text);
  if (encoded === undefined) throw new Error("half a character");
  return new BytePlaces("f", encoded);
}

describe("BytePlaces", () => {
  it.each(["ab", "aé中", "é😀"])("counts lines and columns of %s as strings do", (characters) => {
    const { below, pick } = makeRandom(7);
    const drawn = Array.from({ length: 5000 }, () =>
      below(40) === 0 ? "\n" : pick([...characters]),
    );
    const places = placesOf(drawn.join(""));
    let [offset, line, column] = [0, 1, 1];
    for (const character of drawn) {
      expect(places.placeAt(offset)).toEqual({ file: "f", line, column });
      offset += Buffer.byteLength(character);
      column += character.length;
      if (character === "\n") [line, column] = [line + 1, 1];
    }
    expect(places.placeAt(offset)).toEqual({ file: "f", line, column });
  });

  it.each([0, 63, 64, 65, 128])("counts up to the end of %i bytes", (length) => {
    const text = "é\n".repeat(length).slice(0, Math.floor(length / 3) * 2) + "x".repeat(length % 3);
    const places = placesOf(text);
    expect(Buffer.byteLength(text)).toBe(length);
    const [last = ""] = text.split("\n").slice(-1);
    const line = text.split("\n").length;
    expect(places.placeAt(length)).toEqual({ file: "f", line, column: last.length + 1 });
  });

  it("counts in one line longer than a block", () => {
    const places = placesOf(`${"😀".repeat(2000)}x`);
    expect(places.placeAt(8000, 3)).toEqual({ file: "f", line: 1, column: 4004 });
  });

  it("gives the text up to the end, however much is asked for", () => {
    const places = placesOf("a: é\nb");
    expect(places.textAt(3, 100)).toBe("é\nb");
    expect(places.textAt(3, 1)).toBe("é");
    expect(places.textAt(7, 10)).toBe("");
  });
});
