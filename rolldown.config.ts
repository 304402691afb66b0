/**
 * The build of what is installed: modules that are loaded together lie in one file, those of other packages among them,
 * as Node takes longer to find and open four hundred files than to run what is in them. Types are tsc's.
 */
import { readdirSync, readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "rolldown";

const OWN_LICENSE = "Apache-2.0";

export default defineConfig({
  input: {
    index: "src/index.ts",
    "cli/bin": "src/cli/bin.ts",
    "cli/worker": "src/cli/worker.ts",
    "cli/side-worker": "src/cli/side-worker.ts",
  },
  // The library needs no Node: of other packages those builds are taken that need none.
  platform: "neutral",
  resolve: { mainFields: ["module", "main"] },
  // Files of the package's own import map are no modules.
  external: [/^#/, /^node:/],
  output: {
    dir: "dist/src",
    cleanDir: true,
    // Scripts of threads are looked for beside whoever starts them.
    chunkFileNames: "cli/[name].js",
  },
  plugins: [licenses()],
});

/** Keeps the licences of other packages beside what was taken of them. */
function licenses(): Plugin {
  return {
    name: "licenses",
    generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap((file) =>
        file.type === "chunk" ? file.moduleIds : [],
      );
      const folders = modules.flatMap(
        (id) => /.*\/node_modules\/(@[^/]+\/)?[^/]+/.exec(id.replaceAll("\\", "/"))?.[0] ?? [],
      );
      if (folders.length === 0) throw new Error("no other package was found in what is built");
      const texts = [...new Set(folders)].sort().map(licenseOf);
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: texts.join("\n\n") });
    },
  };
}

function licenseOf(folder: string): string {
  const { name, version, license } = JSON.parse(
    readFileSync(`${folder}/package.json`, "utf8"),
  ) as Readonly<Record<string, string>>;
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  // The text of our own licence lies in the package anyway.
  if (file === undefined && license !== OWN_LICENSE) throw new Error(`${name}: no licence's text`);
  const text = file === undefined ? "" : `\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}`;
  return `${name} ${version} (${license})${text}`;
}
