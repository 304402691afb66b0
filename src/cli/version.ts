/** The package's version. */
import { readFileSync } from "node:fs";

/** package.json is two folders up from the sources, and three from the build. */
export function readVersion(): string {
  for (const path of ["../../package.json", "../../../package.json"]) {
    try {
      const parsed: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
      if (typeof parsed === "object" && parsed !== null && "version" in parsed) {
        return String(parsed.version);
      }
    } catch {
      // The other place it is.
    }
  }
  return "unknown";
}
