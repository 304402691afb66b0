/** Captures from files, pipes and standard input, compressed in every way that people have them. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import * as timers from "node:timers/promises";
import * as zlib from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { hasZstd } from "../../src/cli/decompress.ts";
import { openSource } from "../../src/cli/source.ts";
import type { SourceOptions } from "../../src/cli/source.ts";
import type { Diagnostic } from "../../src/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "netverdict-source-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Bytes that compress about as well as a capture does, from a fixed generator. */
const CONTENT = Buffer.alloc(700_000);
for (let at = 0, state = 1; at < CONTENT.length; at += 1) {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  CONTENT[at] = at % 3 === 0 ? state >>> 24 : at & 15;
}

interface Outcome {
  readonly bytes: Buffer;
  readonly diagnostics: readonly Diagnostic[];
  /** As `severity CODE`. */
  readonly said: readonly string[];
}

async function readAll(
  path: string,
  options: Partial<SourceOptions> = {},
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<Outcome> {
  const diagnostics: Diagnostic[] = [];
  const onDiagnostic = (diagnostic: Diagnostic): void => {
    diagnostics.push(diagnostic);
  };
  const source = await openSource(path, { onDiagnostic, ...options });
  const chunks: Buffer[] = [];
  const into = new Uint8Array(50_000);
  if (source !== undefined) {
    for (let count = await source.read(into); count > 0; count = await source.read(into)) {
      chunks.push(Buffer.from(into.subarray(0, count)));
      await between();
    }
    expect(source.failed).toBe(diagnostics.some(({ severity }) => severity === "error"));
    source.close();
  }
  const said = diagnostics.map(({ severity, code }) => `${severity} ${code}`);
  return { bytes: Buffer.concat(chunks), diagnostics, said };
}

let files = 0;
function file(content: Uint8Array): string {
  const path = join(folder, `capture-${(files += 1)}`);
  writeFileSync(path, content);
  return path;
}

/** Compresses with a command; undefined, with a word about it, where the command is not installed. */
function compressedBy(command: string, args: readonly string[]): Buffer | undefined {
  const { status, stdout } = spawnSync(command, [...args], {
    input: CONTENT,
    maxBuffer: 1 << 24,
  });
  if (status === 0) return stdout;
  console.log(`skipped: ${command} ${args.join(" ")} does not run here`);
  return undefined;
}

describe("a plain file", () => {
  it("is read as it is", async () => {
    const { bytes, said } = await readAll(file(CONTENT));
    expect(bytes.equals(CONTENT)).toBe(true);
    expect(said).toEqual([]);
  });

  it.each([0, 1, 5, 6, 7])("of %i bytes is read", async (length) => {
    const { bytes } = await readAll(file(CONTENT.subarray(0, length)));
    expect(bytes.equals(CONTENT.subarray(0, length))).toBe(true);
  });
});

describe("a path that is no readable file gets one sentence", () => {
  const sentence = async (path: string): Promise<string> => {
    const { bytes, diagnostics } = await readAll(path);
    expect(bytes).toHaveLength(0);
    expect(diagnostics).toMatchObject([
      { severity: "error", code: "UNREADABLE_FILE", place: { file: path } },
    ]);
    return diagnostics[0]!.message;
  };

  it("when it is not there", async () => {
    expect(await sentence(join(folder, "nothing"))).toBe("there is no such file");
    expect(await sentence(join(file(CONTENT), "below"))).toBe("a part of the path is not a folder");
  });

  it("when it is a folder or a device", async () => {
    mkdirSync(join(folder, "sub"));
    expect(await sentence(join(folder, "sub"))).toBe("it is a folder, expected a capture file");
    expect(await sentence("/dev/zero")).toBe("it is a device or socket, expected a capture file");
  });

  it("when links lead in a circle", async () => {
    symlinkSync(join(folder, "loop"), join(folder, "loop"));
    expect(await sentence(join(folder, "loop"))).toBe("its symbolic links lead in a circle");
  });

  it.runIf(process.getuid?.() !== 0)("when there is no permission", async () => {
    const path = file(CONTENT);
    chmodSync(path, 0);
    expect(await sentence(path)).toBe("there is no permission to read it");
  });
});

describe("standard input", () => {
  it("hands on what comes as it comes", async () => {
    const stdin = new PassThrough();
    stdin.write(Buffer.from("0123456789"));
    const source = await openSource("-", { stdin, onDiagnostic: () => undefined });
    const into = new Uint8Array(100);
    // What was looked at to find a compression, then the rest of the piece.
    expect([await source!.read(into), await source!.read(into)]).toEqual([6, 4]);
    const waiting = source!.read(into);
    stdin.write(Buffer.from("abc"));
    expect(await waiting).toBe(3);
    stdin.end();
    expect(await source!.read(into)).toBe(0);
    source!.close();
  });

  it("that fails is damage with a sentence", async () => {
    const stdin = Readable.from(
      (function* () {
        yield Buffer.from("0123456789");
        throw Object.assign(new Error("gone"), { code: "EIO" });
      })(),
    );
    const { diagnostics } = await readAll("-", { stdin });
    expect(diagnostics).toMatchObject([
      { code: "UNREADABLE_FILE", message: "it cannot be read (EIO)", place: { file: "-" } },
    ]);
  });

  it("that is a terminal is not waited for", async () => {
    const stdin = Object.assign(new PassThrough(), { isTTY: true });
    const { diagnostics } = await readAll("-", { stdin });
    expect(diagnostics).toMatchObject([
      { message: "standard input is a terminal: pipe a capture into it" },
    ]);
  });

  it("may be compressed", async () => {
    const { bytes } = await readAll("-", { stdin: Readable.from([zlib.gzipSync(CONTENT)]) });
    expect(bytes.equals(CONTENT)).toBe(true);
  });
});

describe.each([
  ["gzip", (content: Uint8Array): Buffer | undefined => zlib.gzipSync(content)],
  [
    "zstd",
    (content: Uint8Array): Buffer | undefined =>
      hasZstd()
        ? zlib.zstdCompressSync(content, {
            params: { [zlib.constants.ZSTD_c_checksumFlag]: 1 },
          })
        : undefined,
  ],
])("%s", (name, compress) => {
  const compressed = compress(CONTENT);
  if (compressed === undefined) {
    it("is not in this Node", () => {
      console.log(`skipped: this Node has no ${name}`);
    });
    return;
  }

  it("is decompressed", async () => {
    const { bytes, said } = await readAll(file(compressed));
    expect(bytes.equals(CONTENT)).toBe(true);
    expect(said).toEqual([]);
  });

  it("in several members is one capture", async () => {
    const parts = [CONTENT.subarray(0, 1000), CONTENT.subarray(1000, 1000), CONTENT.subarray(1000)];
    const { bytes, said } = await readAll(
      file(Buffer.concat(parts.map((part) => compress(part)!))),
    );
    expect(bytes.equals(CONTENT)).toBe(true);
    expect(said).toEqual([]);
  });

  it("is the same to a reader that takes its time", async () => {
    const parts = [CONTENT.subarray(0, 300_000), CONTENT.subarray(300_000)];
    const several = Buffer.concat(parts.map((part) => compress(part)!));
    const { bytes, said } = await readAll(file(several), {}, () => timers.setImmediate());
    expect(bytes.equals(CONTENT)).toBe(true);
    expect(said).toEqual([]);
  });

  it("with bytes behind it is read, and warned of", async () => {
    const { bytes, said } = await readAll(file(Buffer.concat([compressed, Buffer.from("tail")])));
    expect(bytes.equals(CONTENT)).toBe(true);
    expect(said).toEqual(["warning BAD_COMPRESSION"]);
  });

  it("cut anywhere keeps what came before and says that it is cut", async () => {
    const small = compress(CONTENT.subarray(0, 3000))!;
    for (let length = 6; length < small.length; length += 7) {
      const { bytes, diagnostics } = await readAll(file(small.subarray(0, length)));
      expect(bytes.equals(CONTENT.subarray(0, bytes.length))).toBe(true);
      expect(diagnostics.map(({ message }) => message)).toEqual([
        `the ${name} data is unusable from here on: it is cut`,
      ]);
    }
    const { bytes } = await readAll(file(compressed.subarray(0, compressed.length - 20)));
    expect(bytes.length).toBeGreaterThan(CONTENT.length / 2);
  });

  it("with changed bytes is damage, never an exception", async () => {
    for (let at = 6; at < compressed.length; at += compressed.length >> 4) {
      const damaged = Buffer.from(compressed);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x55, at);
      const { bytes, said } = await readAll(file(damaged));
      if (said.length === 0) expect(bytes.equals(CONTENT)).toBe(true);
      else expect(said[0]).toBe("error BAD_COMPRESSION");
    }
  });

  it("that grows without end is stopped, with little memory", async () => {
    const bomb = compress(Buffer.alloc(64 << 20))!;
    const { bytes, said } = await readAll(file(bomb));
    expect(said).toEqual(["error LIMIT_EXCEEDED"]);
    expect(bytes.length).toBeLessThanOrEqual(Math.max(1 << 20, 200 * bomb.length));
  });

  it("is stopped at the limit of bytes", async () => {
    const { bytes, said } = await readAll(file(compressed), {
      limits: { ratio: 200, bytes: 100_000 },
    });
    expect(said).toEqual(["error LIMIT_EXCEEDED"]);
    expect(bytes.length).toBeLessThanOrEqual(100_000);
  });
});

describe("a gzip header", () => {
  it("may have extra data, a name, a comment and a checksum", async () => {
    const plain = zlib.gzipSync(CONTENT);
    const header = Buffer.from(plain.subarray(0, 10));
    header.writeUInt8(0x1e, 3);
    const optional = Buffer.from([2, 0, 1, 2, 0x61, 0, 0x62, 0x63, 0, 9, 9]);
    const { bytes, said } = await readAll(
      file(Buffer.concat([header, optional, plain.subarray(10)])),
    );
    expect(said).toEqual([]);
    expect(bytes.equals(CONTENT)).toBe(true);
  });

  it("with a wrong checksum behind it loses nothing, and says so", async () => {
    const plain = zlib.gzipSync(CONTENT);
    plain.writeUInt8(plain.readUInt8(plain.length - 8) ^ 1, plain.length - 8);
    const { bytes, diagnostics } = await readAll(file(plain));
    expect(bytes.equals(CONTENT)).toBe(true);
    expect(diagnostics[0]!.message).toContain("the checksum is wrong");
  });
});

describe("frames that are passed over", () => {
  const skipped = (length: number): Buffer => {
    const frame = Buffer.alloc(8 + length, 0x28);
    frame.writeUInt32LE(0x184d2a53, 0);
    frame.writeUInt32LE(length, 4);
    return frame;
  };
  const written = ["zstd", "lz4"].map((name) => [name, compressedBy(name, ["-q", "-c"])] as const);

  it.each(written.filter(([name]) => name !== "zstd" || hasZstd()))(
    "may come first (%s)",
    async (_, compressed) => {
      if (compressed === undefined) return;
      for (const lengths of [[4], [0, 0, 0], [70_000], new Array<number>(5000).fill(3)]) {
        const whole = Buffer.concat([...lengths.map(skipped), compressed, skipped(9)]);
        const { bytes, said } = await readAll(file(whole));
        expect(bytes.equals(CONTENT)).toBe(true);
        expect(said).toEqual([]);
        const cut = await readAll(file(whole.subarray(0, whole.length - 40)));
        expect(cut.diagnostics.map(({ code }) => code)).toEqual(["BAD_COMPRESSION"]);
      }
    },
  );

  it("are no compression by themselves", async () => {
    for (const content of [skipped(4), skipped(4).subarray(0, 10), skipped(2 << 20)]) {
      const { bytes, said } = await readAll(file(content));
      expect(bytes.equals(content)).toBe(true);
      expect(said).toEqual([]);
    }
  });
});

describe("what the commands write", () => {
  it.each([
    ["gzip", ["-9"]],
    ["zstd", ["-q", "-c"]],
    ["zstd", ["-q", "-c", "--long=27", "--no-check"]],
    ["lz4", ["-q", "-c"]],
    ["lz4", ["-q", "-c", "-B4", "-BD", "-BX"]],
    ["lz4", ["-q", "-c", "-B5", "-BI", "--no-frame-crc"]],
    ["lz4", ["-q", "-c", "-B7", "-9", "--content-size"]],
  ])("%s %j is read", async (command, args) => {
    const compressed = compressedBy(command, args);
    if (compressed === undefined) return;
    const { bytes, said } = await readAll(file(compressed));
    expect(bytes.equals(CONTENT)).toBe(true);
    expect(said).toEqual([]);
  });
});

describe("a compression that is not decompressed here", () => {
  it.each([
    ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4], "xz -dc"],
    ["bzip2", [0x42, 0x5a, 0x68, 0x39, 0x31, 0x41], "bzip2 -dc"],
    ["legacy lz4", [0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0], "lz4 -dc"],
    ["zip", [0x50, 0x4b, 0x03, 0x04, 0, 0], "unzip -p"],
  ])("(%s) comes with the command that does it", async (_, magic, command) => {
    const path = file(Uint8Array.from(magic));
    const { diagnostics } = await readAll(path);
    expect(diagnostics).toMatchObject([{ severity: "error", code: "UNSUPPORTED_COMPRESSION" }]);
    expect(diagnostics[0]!.message).toContain(
      `\`${command} ${path} | netverdict replay -r - ...\``,
    );
  });
});
