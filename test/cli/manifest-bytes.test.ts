/** Manifests whose bytes are read are read as the strings of them are. */
import { describe, expect, it } from "vitest";
import { ManifestBytes } from "../../src/cli/manifest-bytes.ts";
import { parseManifests } from "../../src/cluster/manifest.ts";
import type { ManifestText } from "../../src/cluster/manifest-object.ts";

const POD = `apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: { app: "shop", tier: 'web' }
  annotations:
    note: &note plain
`;

/** What is found in a text, and what is said of it. */
function found(text: ManifestText): unknown {
  const said: unknown[] = [];
  const objects = parseManifests([text], (diagnostic) => said.push(diagnostic));
  const read = objects.map((object) => ({
    value: object.value,
    labels: [...object.metadata.labels],
    places: [
      object.placeOf(["metadata", "labels", "tier"], "key"),
      object.placeOf(["metadata", "labels", "app"], 3),
      object.placeOf(["metadata", "annotations", "note"]),
    ],
  }));
  return { said, read };
}

function bytesOf(text: string): ManifestBytes {
  const bytes = ManifestBytes.of("pod.yaml", Buffer.from(text));
  if (bytes === undefined) throw new Error("not UTF-8");
  return bytes;
}

describe("ManifestBytes", () => {
  const plain = POD.replace("&note ", "");
  it.each([
    ["ASCII", plain],
    ["other characters", plain.replace("shop", "Käse 中 😀").replace("plain", "é")],
    ["carriage returns", plain.replaceAll("\n", "\r\n")],
    ["no line end", plain.trimEnd()],
    ["what the library reads", POD],
    ["a fault", plain.replace("name:", "name: é:")],
    ["nothing", ""],
  ])("reads %s as the string of it", (_, text) => {
    const bytes = bytesOf(text);
    expect(found(bytes)).toEqual(found({ file: "pod.yaml", text }));
    expect(bytes.text).toBe(text);
  });

  it("leaves out one byte order mark", () => {
    const bytes = bytesOf(`\ufeff${plain}`);
    expect(bytes.text).toBe(plain);
    expect(found(bytes)).toEqual(found({ file: "pod.yaml", text: plain }));
    expect(bytesOf("\ufeff\ufeffa").text).toBe("\ufeffa");
  });

  it.each([
    ["a byte that begins nothing", [0x61, 0xff]],
    ["half a character", [0xc3]],
    ["a surrogate", [0xed, 0xa0, 0x80]],
  ])("refuses %s", (_, bytes) => {
    expect(ManifestBytes.of("f", Buffer.from(bytes))).toBeUndefined();
  });

  it("makes no string of what the plain reader reads", () => {
    const bytes = bytesOf(plain);
    Object.defineProperty(bytes, "text", { get: () => expect.fail("asked for the text") });
    expect(found(bytes)).toMatchObject({
      said: [],
      read: [
        {
          labels: [
            ["app", "shop"],
            ["tier", "web"],
          ],
        },
      ],
    });
  });
});
